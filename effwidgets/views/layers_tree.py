"""The layers of a profile as a tree for a terminal; what stands there many times is drawn once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from effwidgets.errors import InputError
from effwidgets.records import LayerProfile, Profile, View
from effwidgets.units import bytes_text, count_text, seconds_text, shape_text
from effwidgets.views.measures import at_least, gather, parents, values_of
from effwidgets.views.texttable import fold as break_lines
from effwidgets.views.texttable import plain
from effwidgets.views.words import clip

__all__ = ["TREE"]

_NARROWEST: Final = 40
_WIDEST: Final = 120  # a wider line is not read any better
_MOST: Final = 400  # lines: some screens of a terminal
_NAME: Final = 18  # letters that a name keeps before a column of numbers is left out
_KIND: Final = 30


@dataclass(frozen=True, slots=True)
class _Line:
    """One line: what stands before the name, and the layers that it stands for."""

    lead: str
    rows: tuple[int, ...]


class _Builder:
    """Walks the tree and folds what is built alike."""

    def __init__(self, profile: Profile, *, depth: int | None, fold: bool) -> None:
        self._layers = profile.layers
        self._depth = depth
        self._fold = fold
        self._below: list[list[int]] = [[] for _ in profile.layers]
        for row, parent in enumerate(parents(profile)):
            if parent >= 0:
                self._below[parent].append(row)
        self._builds = self._how_built()

    def _how_built(self) -> list[int]:
        """Return a number for each layer, the same where layers are built alike with all that is in them."""
        known: dict[object, int] = {}
        found = [0] * len(self._layers)
        for row in range(len(self._layers) - 1, -1, -1):
            layer = self._layers[row]
            held = tuple((one.name, one.shape, one.dtype, one.kind) for one in layer.tensors)
            inside = tuple((_label(self._layers[child]), found[child]) for child in self._below[row])
            build = (layer.kind, layer.config, held, layer.calls, layer.outputs, inside)
            found[row] = known.setdefault(build, len(known))
        return found

    def lines(self) -> Iterator[_Line]:
        """Yield the lines from the top."""
        yield _Line("", (0,))
        yield from self._inside((0,), "", 1)

    def _inside(self, rows: tuple[int, ...], lead: str, deep: int) -> Iterator[_Line]:
        if self._depth is not None and deep > self._depth:
            return
        # Layers drawn as one are built alike, so their children match one by one.
        places = list(zip(*(self._below[row] for row in rows), strict=True))
        groups = self._grouped(places)
        for index, group in enumerate(groups):
            last = index == len(groups) - 1
            members = tuple(row for place in group for row in place)
            yield _Line(f"{lead}{'└─ ' if last else '├─ '}", members)
            yield from self._inside(members, f"{lead}{'   ' if last else '│  '}", deep + 1)

    def _grouped(self, places: list[tuple[int, ...]]) -> list[list[tuple[int, ...]]]:
        groups: list[list[tuple[int, ...]]] = []
        for _, alike in groupby(places, key=lambda place: self._builds[place[0]]):
            run = list(alike)
            # Two leaves alike take two lines either way: they keep their names.
            enough = 2 if self._below[run[0][0]] else 3
            groups += [run] if self._fold and len(run) >= enough else [[place] for place in run]
        return groups


def _label(layer: LayerProfile) -> str:
    return layer.name.rpartition(".")[2]


def draw_tree(profile: Profile, depth: int | None = None, width: int | None = None, fold: bool = True) -> str:  # noqa: FBT001, FBT002  the one way in is Exported.tree, where it is keyword-only
    """Write the tree: the whole first, then each layer with what is inside it."""
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or depth < 0):
        raise InputError(f"depth is {depth!r}; a whole number from 0 on was expected, or None for the whole tree.")
    if width is not None and (isinstance(width, bool) or not isinstance(width, int) or width < _NARROWEST):
        raise InputError(f"width is {width!r}; a number of letters from {_NARROWEST} on was expected, or None.")
    wide = width or min(max(shutil.get_terminal_size((100, 24)).columns, _NARROWEST), _WIDEST)
    every = list(_Builder(profile, depth=depth, fold=fold).lines())
    shown = every[:_MOST]
    names = [f"{line.lead}{plain(_name(profile, line.rows))}" for line in shown]
    lines = [*_head(profile, wide), "", *_aligned(names, _columns(profile, shown), wide)]
    if len(every) > len(shown):
        lines.append(f"… and {len(every) - len(shown):,} more lines. Give a depth to see the top of each branch.")
    hidden = len(profile.layers) - sum(len(line.rows) for line in every)
    told = [f"Cut at depth {depth}: {hidden:,} layers are inside of those shown."] if hidden else []
    if at_least("macs", profile.uncounted):
        ops = ", ".join(dict.fromkeys(one.op for one in profile.uncounted if not one.backward))
        told.append(f"Not counted, so FLOPs are at least this: {ops}.")
    return "\n".join([*lines, *break_lines(told, width=wide)])


def _head(profile: Profile, wide: int) -> list[str]:
    ran = bool(profile.inputs)
    shapes = ", ".join(map(shape_text, profile.inputs))
    first = f"{clip(profile.model, 60)} · " + (f"input {shapes} · {profile.dtype}" if ran else "not run yet")
    second = f"{count_text(profile.cost.params)} parameters ({bytes_text(profile.memory.param_bytes)} with buffers)"
    if ran:
        least, hidden = (
            "at least " if at_least(key, profile.uncounted, profile.memory.hidden) else ""
            for key in ("macs", "saved_bytes")
        )
        second += f" · {least}{count_text(2 * profile.cost.macs)} FLOPs (2 × MACs)"
        second += f" · {hidden}{bytes_text(profile.memory.saved_bytes)} saved for backward"
    return break_lines([first, second], width=wide)


def _name(profile: Profile, rows: tuple[int, ...]) -> str:
    first = _label(profile.layers[rows[0]])
    if not first:
        return profile.model
    # Beneath folded blocks the members stand in different ones: those in the first block are named.
    home = profile.layers[rows[0]].name.rpartition(".")[0]
    end = _label(profile.layers[[row for row in rows if profile.layers[row].name.rpartition(".")[0] == home][-1]])
    return first if end == first else f"{first}–{end}"


def _columns(profile: Profile, lines: Sequence[_Line]) -> list[tuple[str, list[str], bool]]:
    """Return (head, cells, at the right); the last ones are left out first where there is no room."""
    layers = profile.layers
    kinds = [(f"{len(line.rows):,} × " if len(line.rows) > 1 else "") + layers[line.rows[0]].kind for line in lines]
    params = [sum(layers[row].cost.params for row in line.rows) for line in lines]
    found = [("Kind", [plain(clip(kind, _KIND)) for kind in kinds], False)]
    found.append(("Params", [count_text(value) for value in params], True))
    if not profile.inputs:
        return found
    macs = [sum(layers[row].cost.macs for row in line.rows) for line in lines]
    saved = [sum(layers[row].cost.saved_bytes for row in line.rows) for line in lines]
    outputs = [layers[line.rows[0]].outputs for line in lines]
    found.append(("FLOPs", [count_text(2 * value) for value in macs], True))
    if any(layer.latency is not None for layer in layers[1:]):
        found.append(("Latency", _latencies(profile, lines), True))
    found.append(("Saved", [bytes_text(value) for value in saved], True))
    found.append(("Output", [shape_text(shapes[0]) if shapes else "" for shapes in outputs], False))
    return found


def _latencies(profile: Profile, lines: Sequence[_Line]) -> list[str]:
    total = gather(values_of(profile, "latency_s"), parents(profile))
    return [seconds_text(sum(total[row] for row in line.rows)) for line in lines]


def _aligned(names: list[str], columns: list[tuple[str, list[str], bool]], wide: int) -> list[str]:
    kept = list(columns)
    wanted = max(map(len, (*names, "Layer")))
    while len(kept) > 1 and min(wanted, _NAME) + sum(map(_width, kept)) > wide:
        kept.pop()
    room = max(wide - sum(map(_width, kept)), 8)
    held = min(wanted, room)
    # A name that a column would cost is worth more than the column, as far as half of the line.
    while len(kept) > 2 and wanted > held and held < wide // 2:
        kept.pop()
        held = min(wanted, wide - sum(map(_width, kept)))
    heads = [name for name, _, _ in kept]
    lines = [_line("Layer", heads, kept, held)]
    lines.append("  ".join("─" * size for size in (held, *(_width(column) - 2 for column in kept))))
    for row, name in enumerate(names):
        lines.append(_line(clip(name, held), [cells[row] for _, cells, _ in kept], kept, held))
    return lines


def _width(column: tuple[str, list[str], bool]) -> int:
    return 2 + max(map(len, (column[0], *column[1])))


def _line(name: str, cells: list[str], columns: list[tuple[str, list[str], bool]], held: int) -> str:
    placed = [
        cell.rjust(_width(column) - 2) if column[2] else cell.ljust(_width(column) - 2)
        for cell, column in zip(cells, columns, strict=True)
    ]
    return "  ".join([name.ljust(held), *placed]).rstrip()


TREE = View(shows=Profile, medium="tree", draw=draw_tree, title="Tree of layers", default=True)
