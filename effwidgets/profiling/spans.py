"""What autograd keeps inside of modules, and which layer hands its output to which: read off the tallies of one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from effwidgets.profiling.memory import Cell
from effwidgets.records import Group, Handed, Span

if TYPE_CHECKING:
    from effwidgets.profiling.coupling.saved import Kept
    from effwidgets.profiling.ends import Ends
    from effwidgets.profiling.recorder import Tally

__all__ = ["carried", "handed_of", "spans_of", "staying"]

_MARK = "\0"  # stands in no layer's name


def spans_of(tallies: Mapping[str, Tally], kept: Sequence[Kept]) -> tuple[Span, ...]:
    """Return the spans of the modules with others inside, when a forward with gradients has run.

    Args:
        tallies: of every module by its path, parents before children.
        kept: each storage that autograd keeps, its bytes, and the layer for which they are counted.
    """
    shared = _shared(tallies, kept)
    return tuple(
        Span(
            layer=name,
            given=len(ends.given),
            shared_bytes=sum(size for _, size in shared[name]),
            input_bytes=sum(size for _, size in _added(name, ends)),
            last=ends.last,
            tail=ends.tail,
            writes=ends.writes,
        )
        for name, tally in tallies.items()
        if name and tally.calls == 1 and name in shared and (ends := tally.ends) is not None
    )


def staying(tallies: Mapping[str, Tally], kept: Sequence[Kept], spans: Sequence[Span]) -> list[Kept]:
    """Return the storages that stay when a span is run again, under a mark, to be followed beside those of layers."""
    shared = _shared(tallies, kept)
    return [
        (cell, size, f"{_MARK}{span.layer}")
        for span in spans
        for cell, size in (*shared[span.layer], *_added(span.layer, tallies[span.layer].ends))
    ]


def carried(groups: Sequence[Group], spans: Sequence[Span]) -> tuple[tuple[Group, ...], tuple[Span, ...]]:
    """Return groups that were made with `staying` storages without them, and the spans with what these carry."""
    found: dict[str, list[tuple[str, int, int]]] = {}
    plain = []
    for group in groups:
        own = tuple((name, each) for name, each in group.saved_at if not name.startswith(_MARK))
        for name, each in group.saved_at:
            if name.startswith(_MARK):
                found.setdefault(name[len(_MARK) :], []).append((group.name, group.channels, each))
        marked = len(own) < len(group.saved_at)
        plain.append(replace(group, saved_at=own, saved_bytes_each=sum(each for _, each in own)) if marked else group)
    return tuple(plain), tuple(replace(span, carried=tuple(found.get(span.layer, ()))) for span in spans)


def _shared(tallies: Mapping[str, Tally], kept: Sequence[Kept]) -> dict[str, list[tuple[Cell, int]]]:
    # Of each module with others inside: storages counted for it or below that somebody outside of it keeps too.
    parents = dict.fromkeys(name.rpartition(".")[0] for name in tallies if name)
    found: dict[str, list[tuple[Cell, int]]] = {name: [] for name in parents}
    for cell, size, first in kept:
        if len(cell.keepers) > 1:
            for name in _above(first):
                if name in found and not all(_within(keeper, name) for keeper in cell.keepers):
                    found[name].append((cell, size))
    return found


def _above(name: str) -> Iterator[str]:
    # The module itself and all around it but the model.
    while name:
        yield name
        name = name.rpartition(".")[0]


def _within(keeper: str, name: str) -> bool:
    return keeper == name or keeper.startswith(f"{name}.")


def _added(name: str, ends: Ends | None) -> list[tuple[Cell, int]]:
    # Its inputs that nobody else keeps; those of the model do not count.
    cells = {id(cell): (cell, size) for cell, size in (() if ends is None else ends.given) if cell is not None}
    return [(cell, size) for cell, size in cells.values() if all(_within(keeper, name) for keeper in cell.keepers)]


def handed_of(tallies: Mapping[str, Tally]) -> tuple[Handed, ...]:
    """Return who hands the one tensor that it returns to whom, among modules that ran once.

    Modules that hold no others to one another, and modules that do to others of the same parent. Where something else
    reads it too, an operation in between or after, that is said.
    """
    parents = {name.rpartition(".")[0] for name in tallies if name and not name.endswith(".parametrizations")}
    once = [(t.name, t.ends) for name, t in tallies.items() if t.calls == 1 and name and t.ends is not None]
    found = []
    for among in ([one for one in once if one[0] not in parents], [one for one in once if one[0] in parents]):
        makers = {
            (_key(name, parents), id(ends.returned[0])): (name, ends)
            for name, ends in among
            if ends.returned is not None and ends.returned[0] is not None
        }
        for name, ends in among:
            cell = ends.given[0][0] if ends.alone else None
            maker, made = makers.get((_key(name, parents), id(cell)), ("", None))
            if cell is None or made is None or maker == name or made.versions[1] != ends.versions[0]:
                continue
            found.append(Handed(maker=maker, taker=name, shared=_shared_with(cell, maker, name)))
    return tuple(found)


def _shared_with(cell: Cell, maker: str, taker: str) -> bool:
    return not all(_within(reader, maker) or _within(reader, taker) for reader in cell.readers)


def _key(name: str, parents: set[str]) -> str | None:
    return name.rpartition(".")[0] if name in parents else None
