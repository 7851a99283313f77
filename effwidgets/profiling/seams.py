"""What autograd keeps in and around a module, from who keeps each storage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from effwidgets.profiling.ends import Held
from effwidgets.profiling.memory import Cell
from effwidgets.profiling.recorder import Tally
from effwidgets.records import Seam, Shape

__all__ = ["seams_of"]

_PICTURE, _ROWS = 4, 2  # dimensions


def seams_of(tallies: Mapping[str, Tally], kept: Sequence[tuple[Cell, int, str]]) -> tuple[Seam, ...]:
    """Return the seams of the modules that have one, when a forward with gradients has run.

    Args:
        tallies: of every module by its path, parents before children.
        kept: each storage that autograd keeps, its bytes, and the layer for which they are counted.
    """
    inside, whole = dict.fromkeys(tallies, 0), {name: tally.saved_bytes for name, tally in tallies.items()}
    for cell, size, _ in kept:
        inside[_common(cell.keepers)] += size
    parents = set()
    for name in reversed(list(tallies)):
        if name:
            parent = name.rpartition(".")[0]
            parents.add(parent)
            inside[parent] += inside[name]
            whole[parent] += whole[name]
    found = []
    for name, tally in tallies.items():
        if name and tally.calls == 1 and _asked(name in parents, tally.inputs, tally.outputs):
            seam = _seam(tally, inside[name], whole[name])
            if seam is not None:
                found.append(seam)
    return tuple(found)


def _asked(parent: bool, inputs: Sequence[Shape] | None, outputs: Sequence[Shape] | None) -> bool:  # noqa: FBT001
    # A picture in, a picture or rows out; rows in, rows out; the same shape in and out: blocks and heads. In other
    # layers nobody is interested.
    if not inputs or not outputs:
        return False
    if parent and inputs[0] == outputs[0]:
        return True
    before, after = len(inputs[0]), len(outputs[0])
    return (parent and before == _PICTURE and after in (_PICTURE, _ROWS)) or before == after == _ROWS


def _seam(tally: Tally, inside: int, whole: int) -> Seam | None:
    ends = tally.ends
    if ends is None or not ends.alone or ends.returned is None:
        return None
    (given,), returned = ends.given, ends.returned
    if ends.writes or (given[0] is not None and given[0] is returned[0]):
        return None  # it hands its input on, or writes into it
    return Seam(
        layer=tally.name,
        whole_bytes=whole,
        inside_bytes=inside,
        input_bytes=_added(given, tally.name),
        output_bytes=_added(returned, tally.name),
        keeps_input=given[0] is None or _keeps(given[0], tally.name),
        keeps_output=returned[0] is not None and _keeps(returned[0], tally.name),
        reads_input=given[0] is not None and tally.name in given[0].readers,
    )


def _within(keeper: str, name: str) -> bool:
    return keeper == name or keeper.startswith(f"{name}.")


def _added(held: Held, name: str) -> int:
    cell, size = held
    return 0 if cell is None or any(not _within(keeper, name) for keeper in cell.keepers) else size


def _keeps(cell: Cell, name: str) -> bool:
    return any(_within(keeper, name) for keeper in cell.keepers)


def _common(keepers: Iterable[str]) -> str:
    # The innermost module that all of them are, or are below of.
    paths = [keeper.split(".") if keeper else [] for keeper in keepers]
    shared: list[str] = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return ".".join(shared)
