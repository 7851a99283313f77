"""Forwards that add up, for some layers, what they are given and what is missing at their outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import prod

import torch
from torch import Tensor, nn

from effwidgets.profiling.calls import Call
from effwidgets.transforms.repair.following import Follower, Passing
from effwidgets.transforms.repair.least_squares import Sums
from effwidgets.transforms.repair.looking import Spot
from effwidgets.transforms.repair.remembered import Remembered
from effwidgets.transforms.rows import Places, choose_places, groups_of, rows_in, rows_out
from effwidgets.transforms.surgery import find_layer
from effwidgets.transforms.trial import answer

__all__ = ["Aims", "Found", "aims_of", "sums_of"]

_PARTS = 4  # every fourth sample is not fitted to
_RUNS = 8  # that samples are cut into where they are fewer than that


class _EnoughError(BaseException):
    """All that was looked for has passed: no need to run the rest. Not an Exception, which a forward may catch."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aims:
    """Of one call of a layer: the places looked at, which of them are not fitted to, and what should be there."""

    places: Places
    unseen: Tensor
    target: Tensor


@dataclass(slots=True, kw_only=True, eq=False)
class Found:
    """The sums of one layer, over rows that are fitted to and over others; ``scale (groups, out)`` of its outputs."""

    seen: Sums
    unseen: Sums
    scale: Tensor


@dataclass(slots=True, eq=False)
class _Given:
    # Of one call in the edited net: its rows, until its output arrives where it is compared.
    aims: Aims
    rows: Tensor = field(default_factory=lambda: torch.empty(0))


def aims_of(dense: nn.Module, spots: Sequence[Spot], batches: Sequence[Call]) -> dict[str, list[list[Aims]]]:
    """Run the original and keep what each spot should make: by its layer, for each batch, for each of its calls."""
    by_place = {spot.unit.place: spot for spot in spots}
    found: dict[str, list[list[Aims]]] = {spot.unit.layer: [] for spot in spots}

    def enter(passing: Passing[Aims], _value: Tensor, output: Tensor) -> None:
        spot = by_place[passing.key]
        number = len(found[spot.unit.layer]) - 1
        if number >= spot.batches:
            return
        calls = found[spot.unit.layer][-1]
        seed = number * 1009 + len(calls)
        places = choose_places(passing.module, output, -(-spot.rows // spot.batches), seed=seed)
        unseen = _unseen(places, int(output.shape[0]) if output.dim() > 1 else 1, number, spot.batches)
        calls.append(Aims(places=places, unseen=unseen, target=_kept(spot, passing.module, output, places)))
        passing.held = calls[-1]

    def arrive(passing: Passing[Aims], whole: Tensor) -> None:
        spot, held = by_place[passing.key], passing.held
        if spot.summed and held is not None:
            calls = found[spot.unit.layer][-1]
            target = _kept(spot, passing.module, whole, held.places)
            calls[next(number for number, call in enumerate(calls) if call is held)] = Aims(
                places=held.places, unseen=held.unseen, target=target
            )

    with Follower({place: find_layer(dense, place) for place in by_place}, enter, arrive).on(dense):
        for batch in batches[: max(spot.batches for spot in spots)]:
            for calls in found.values():
                calls.append([])
            answer(dense, batch)
    return found


def _kept(spot: Spot, module: nn.Module, output: Tensor, places: Places) -> Tensor:
    rows = rows_out(module, output, places)
    kept = spot.unit.kept
    rows = rows if kept is None else rows[:, list(kept)]
    return rows if output.dtype is torch.float64 else rows.float()


def _unseen(places: Places, samples: int, batch: int, batches: int) -> Tensor:
    # Every fourth sample of all, counted through the batches; of fewer than four, every fourth stretch of places.
    count = max(1, prod(places.shape))
    if samples * batches < _PARTS:
        return (places.index * _RUNS // count) % _PARTS == _PARTS - 1
    return (batch * samples + places.index * samples // count) % _PARTS == _PARTS - 1


def sums_of(
    twin: tuple[nn.Module, Remembered],
    spots: Sequence[Spot],
    aims: dict[str, list[list[Aims]]],
    batches: Sequence[Call],
) -> dict[str, Found]:
    """Run the edited stand-in as far as needed, and add up for each spot, by its layer, what is missing.

    Left out is a spot that did not arrive where it is compared.

    Args:
        twin: the stand-in, and what its layers are known to answer.
        spots: that are fitted from what they are given now; none of them before another.
        aims: what `aims_of` returned.
        batches: the calibration data.
    """
    model, remembered = twin
    by_layer = {spot.unit.layer: spot for spot in spots}
    modules = {layer: find_layer(model, layer) for layer in by_layer}
    found: dict[str, Found] = {}
    counts: Counter[str] = Counter()
    arrived: Counter[str] = Counter()
    current: dict[str, list[Aims]] = {}

    def done(passing: Passing[_Given], whole: Tensor) -> None:
        given, passing.held = passing.held, None
        if given is not None:
            _add(found, by_layer[passing.key], passing, given, (whole, model))
            arrived[passing.key] += 1
        if arrived.total() >= sum(map(len, current.values())):
            raise _EnoughError

    def enter(passing: Passing[_Given], value: Tensor, output: Tensor) -> None:
        spot, calls = by_layer[passing.key], current[passing.key]
        aim = calls[counts[passing.key]] if counts[passing.key] < len(calls) else None
        counts[passing.key] += 1
        if aim is not None:
            passing.held = _Given(aim, rows_in(passing.module, value, aim.places))
            if not spot.summed:
                done(passing, output)

    for number, batch in enumerate(batches[: max(spot.batches for spot in spots)]):
        counts.clear()
        arrived.clear()
        current = {layer: aims[layer][number] for layer in by_layer}
        with (
            suppress(_EnoughError),
            Follower(modules, enter, done).on(model),
            remembered.on(model, number, list(modules.values())),
        ):
            answer(model, batch)
    return found


def _add(
    found: dict[str, Found], spot: Spot, passing: Passing[_Given], given: _Given, where: tuple[Tensor, nn.Module]
) -> None:
    whole, twin = where
    module, target = passing.module, given.aims.target.double()
    missing = target - rows_out(module, whole, given.aims.places)
    scale = _scale(twin, passing.norm if spot.summed else None, missing)
    missing = torch.where(scale != 0, missing / scale.where(scale != 0, torch.ones_like(scale)), 0.0)
    groups = groups_of(module)
    rows, missing = given.rows, missing.reshape(len(missing), groups, -1)
    good = rows.isfinite().flatten(1).all(1) & missing.isfinite().flatten(1).all(1)
    if spot.unit.layer not in found:
        sizes = (groups, rows.shape[-1], missing.shape[-1])
        found[spot.unit.layer] = Found(
            seen=Sums(*sizes, rows), unseen=Sums(*sizes, rows), scale=scale.reshape(groups, -1)
        )
    for sums, part in _split(found[spot.unit.layer], given.aims.unseen, good):
        sums.add(rows[part], missing[part], float(target[part].square().sum()))


def _split(found: Found, unseen: Tensor, good: Tensor) -> Iterator[tuple[Sums, Tensor]]:
    yield found.seen, good & ~unseen
    yield found.unseen, good & unseen


def _scale(twin: nn.Module, norm: str | None, like: Tensor) -> Tensor:
    # By how much the batch norm behind the layer multiplies; outputs that it all but silences cannot make anything up.
    if norm is None:
        return like.new_ones(like.shape[1])
    module = find_layer(twin, norm)
    variance, weight = module.running_var, getattr(module, "weight", None)
    scale = (variance.double() + module.eps).rsqrt()  # type: ignore[operator]
    scale = scale if weight is None else scale * weight.detach().double()
    return torch.where(scale.abs() > 1e-6 * scale.abs().max(), scale, 0.0)
