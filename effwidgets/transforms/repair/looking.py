"""Where the layers to be fitted stand in the forward: their order, what they share, where models can be compared."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

from torch import Tensor, nn

from effwidgets.profiling.calls import Call, batch_of
from effwidgets.transforms.repair.following import Follower, Passing
from effwidgets.transforms.repair.units import Unit
from effwidgets.transforms.rows import choose_places, weight_matrix
from effwidgets.transforms.surgery import find_layer
from effwidgets.transforms.trial import answer

__all__ = ["Spot", "spots_of"]


_WORK: Final = 2e10  # multiplications for the sums of one layer: a second
_MOST: Final = 65536  # rows, however narrow the layer
_ENOUGH: Final = 12288  # rows, however wide
_SAMPLES: Final = 64  # that are looked at in any case


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A unit and where it stands.

    Attributes:
        unit: what is fitted.
        calls: how often it runs in one forward.
        summed: compare behind the residual sum that it writes into, so that what the other branch lost is made up too.
        norm: the batch norm directly behind it, that nothing else goes through.
        shared: its input is that of the spot before it, so that both can be fitted in one go.
        rows: how many rows of its inputs to look at in all.
        batches: how many batches give so many.
    """

    unit: Unit
    calls: int
    summed: bool
    norm: str | None
    shared: bool
    rows: int
    batches: int


@dataclass(slots=True, eq=False)
class _Seen:
    # A call: which one of the forward it was, and what was given.
    number: int
    given: weakref.ref[Tensor]
    places: int


def spots_of(twins: tuple[nn.Module, nn.Module], units: Sequence[Unit], batches: Sequence[Call]) -> tuple[Spot, ...]:
    """Run both stand-ins, the edited one and the original, and return the units that ran, in forward order.

    Left out is what does not run as often, or makes another kind of output, in the original.
    """
    twin, dense = twins
    now, norms = _looked(twin, {unit.layer: unit for unit in units}, batches[0])
    then, _ = _looked(dense, {unit.place: unit for unit in units}, batches[0])
    ran = [unit for unit in units if now.get(unit.layer) and len(now[unit.layer]) == len(then.get(unit.place, ()))]
    ran.sort(key=lambda unit: _held(now[unit.layer][0]).number)
    spots: list[Spot] = []
    sizes = [batch_of(batch) or 1 for batch in batches]
    for unit in ran:
        passings = now[unit.layer]
        norm, rows = passings[0].norm, _rows_for(find_layer(twin, unit.layer))
        alone = norm is not None and norms[norm] == len(passings) and all(each.norm == norm for each in passings)
        before = now[spots[-1].unit.layer] if spots else []
        single = len(passings) == 1 == len(before) and not passings[0].others
        spots.append(
            Spot(
                unit=unit,
                calls=len(passings),
                summed=_sums_alike(passings, then[unit.place], unit, now),
                norm=norm if alone else None,
                shared=single and _held(before[0]).given is _held(passings[0]).given,
                rows=rows,
                batches=_batches_for(rows, sum(_held(passing).places for passing in passings), sizes),
            )
        )
    return tuple(spots)


def _looked(
    twin: nn.Module, units: Mapping[str, Unit], batch: Call
) -> tuple[dict[str, list[Passing[_Seen]]], dict[str, int]]:
    found: dict[str, list[Passing[_Seen]]] = {}

    def enter(passing: Passing[_Seen], value: Tensor, output: Tensor) -> None:
        # One tensor has one weak reference, so these can be compared when it is gone.
        passing.held = _Seen(sum(map(len, found.values())), weakref.ref(value), _places(passing.module, output))
        found.setdefault(passing.key, []).append(passing)

    follower = Follower({name: find_layer(twin, name) for name in units}, enter, lambda _passing, _tensor: None)
    with follower.on(twin):
        answer(twin, batch)
    return found, follower.norms


def _held(passing: Passing[_Seen]) -> _Seen:
    if passing.held is None:
        raise LookupError(passing.key)  # `enter` has set it
    return passing.held


def _sums_alike(
    now: Sequence[Passing[_Seen]],
    then: Sequence[Passing[_Seen]],
    unit: Unit,
    all_now: Mapping[str, Sequence[Passing[_Seen]]],
) -> bool:
    # Both nets add it to something, behind the same batch norm; of several that are added, the last makes up for all.
    if not all(one.summed and other.summed and one.norm == other.norm for one, other in zip(now, then, strict=True)):
        return False
    others = {name for passing in now for name in passing.others}
    return all(_held(all_now[name][0]).number < _held(all_now[unit.layer][0]).number for name in others)


def _places(module: nn.Module, output: Tensor) -> int:
    return prod(choose_places(module, output, 1).shape)


def _rows_for(module: nn.Module) -> int:
    # Enough for its width, as many as can be added up in about a second, but not more than any layer needs.
    weight = module.weight
    width = int(weight_matrix(module, weight).shape[-1]) if isinstance(weight, Tensor) else 1
    return int(min(max(_WORK / width**2, min(4 * width, _ENOUGH)), _MOST))


def _batches_for(wanted: int, places: int, sizes: Sequence[int]) -> int:
    had = 0
    for number, size in enumerate(sizes):
        if places * had / sizes[0] >= wanted and had >= _SAMPLES:
            return number
        had += size
    return len(sizes)
