"""Plans on the way from the dense model to the smallest: each with the least predicted loss for what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from effwidgets.records import Option, Plan, Profile, Step
from effwidgets.search.advice.places import DROPS
from effwidgets.search.fronts.axes import LATENCY
from effwidgets.search.selection.knapsack import Menu, Picks, frontier
from effwidgets.search.selection.space import Space
from effwidgets.transforms.foresee import foresee

__all__ = ["Offer", "Read", "foreseen", "loss_of", "offers"]

Read: TypeAlias = Callable[[Plan], "tuple[Profile, Mapping[str, float]] | None"]
"""From a plan to what the profile will be and how much of each axis it will take; None where it cannot be laid out."""

_ANCHORS: Final = (1.0, 0.4, 0.15, 0.05)
_EACH: Final = 40
_LEAST: Final = 1e-4  # a share of nothing has no logarithm
_COUNTED: Final = ("macs", "params", "param_bytes")

_Alone: TypeAlias = Mapping[Step, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A plan with what is predicted of it.

    Attributes:
        plan: the steps.
        options: what it was put together from.
        costs: by axis, the whole model's, in the axis's unit.
        loss: sum of the losses of the options alone.
    """

    plan: Plan
    options: tuple[Option, ...]
    costs: Mapping[str, float]
    loss: float

    @property
    def rank(self) -> tuple[float, float]:
        """What the better one of two has less of: loss, then the sum of the costs."""
        return self.loss, sum(self.costs.values())


def loss_of(option: Option) -> float:
    """Return what an option costs: its divergence, or the square of its error; 1 where neither could be measured.

    Both grow with the square of a small change, so those of independent changes add up.
    """
    if option.divergence is not None:
        return max(0.0, option.divergence)
    return 1.0 if option.error is None else option.error**2


def foreseen(profile: Profile, plan: Plan) -> Profile:
    """Return the profile after all steps, by arithmetic.

    Raises:
        TransformError: a step cannot be done, or does not foresee.
    """
    for step in plan:
        profile = foresee(profile, step)
    return profile


def offers(options: Sequence[Option], profile: Profile, axes: Sequence[str], read: Read) -> tuple[Offer, ...]:
    """Return plans, none of which another beats in loss and in every cost of ``axes``; the dense model's among them.

    They are frontiers of knapsacks. Costs of steps multiply rather than add up (half the channels of two neighbours
    leave a quarter of the layer between), so a knapsack adds logarithms: each unit's share of the model's cost times
    the logarithm of what it leaves of its own. Shares move on the way down, so the knapsack is laid anew from plans
    already found, at a few sizes; the costs of what comes out are read from the whole plan. Nothing of this looks at a
    budget.
    """
    space = Space(options, profile)
    by_step = {option.step: option for option in options}
    found: dict[Plan, Offer] = {}
    dense = read(Plan())
    if dense is None or not space.names:
        return ()
    held = Offer(plan=Plan(), options=(), costs=dense[1], loss=0.0)
    found[held.plan] = held
    alone = _alone(options, profile, dense[1], read)
    for anchor in _ANCHORS:
        base = _nearest(found.values(), held, axes, anchor)
        laid = read(base.plan)
        if laid is None:
            continue
        for plan, params in _frontier(space, by_step, (profile, laid[0]), axes, alone):
            if plan not in found and (made := read(plan)) is not None:
                parts = tuple(
                    by_step[step]
                    for name, choice in params.items()
                    for step in space.steps(name)[choice - 1 : choice]
                    if choice
                )
                found[plan] = Offer(plan=plan, options=parts, costs=made[1], loss=sum(map(loss_of, parts)))
    return _unbeaten(found.values(), axes)


def _nearest(found: Iterable[Offer], dense: Offer, axes: Sequence[str], share: float) -> Offer:
    def far(offer: Offer) -> float:
        left = [max(offer.costs[axis] / dense.costs[axis], _LEAST) for axis in axes if dense.costs[axis] > 0]
        return abs(math.log(min(left, default=1.0) / share))

    return min(found, key=far)


def _frontier(
    space: Space, by_step: Mapping[Step, Option], models: tuple[Profile, Profile], axes: Sequence[str], alone: _Alone
) -> Iterator[tuple[Plan, dict[str, int]]]:
    menus = []
    for name in space.names:
        options = [by_step[step] for step in space.steps(name)]
        rows = [
            [
                alone[option.step][axis] if axis in alone.get(option.step, ()) else _logarithm(option, axis, *models)
                for axis in axes
            ]
            for option in options
        ]
        losses = [0.0, *map(loss_of, options)]
        menus.append(Menu(np.asarray(losses), np.asarray([[0.0] * len(axes), *rows])))
    picks = frontier(menus)
    for place in _spaced(picks):
        params = space.settled(dict(zip(space.names, picks.choices[place].tolist(), strict=True)))
        yield space.plan(params), params


def _spaced(picks: Picks) -> list[int]:
    # Evenly over the logarithm of the costs.
    total = picks.costs.sum(1)
    cells = ((total - total.min()) / max(np.ptp(total), _LEAST) * _EACH).astype(int)
    _, first = np.unique(cells, return_index=True)
    return sorted(first.tolist())


def _alone(options: Iterable[Option], dense: Profile, costs: Mapping[str, float], read: Read) -> _Alone:
    # A peak, or a stranger's metric, is no sum over layers: what an option leaves of it is read from the option alone.
    # Most options lower no peak, for it stands elsewhere then; so what they leave of all outputs counts as well.
    read_alone = [axis for axis in costs if axis not in (*_COUNTED, LATENCY)]
    found: dict[Step, dict[str, float]] = {}
    for option in options if read_alone else ():
        laid = read(Plan(steps=(option.step,)))
        if laid is None:
            continue
        after, left = laid
        outputs = after.cost.output_bytes / max(dense.cost.output_bytes, 1)
        found[option.step] = {
            axis: math.log(max(left[axis] / costs[axis], _LEAST) * (max(outputs, _LEAST) if "bytes" in axis else 1.0))
            for axis in read_alone
            if costs[axis] > 0
        }
    return found


def _logarithm(option: Option, axis: str, dense: Profile, now: Profile) -> float:
    if axis == LATENCY and option.latency is not None:
        timed = option.latency
        share = timed.before_s / timed.whole_s if timed.whole_s > 0 else 0.0
        if option.family == DROPS:
            return math.log(max(1 + timed.share, _LEAST))
        return share * math.log(max(timed.after_s / max(timed.before_s, 1e-12), _LEAST))
    field = axis if axis in _COUNTED else "macs"
    unit = set(option.unit) | set(option.step.layers)
    own = _held(dense, unit, field)
    if own <= 0 or getattr(now.cost, field) <= 0:
        return 0.0
    if option.family == DROPS:  # all of it goes, of which there is no logarithm
        return math.log(max(1 - _held(now, unit, field) / float(getattr(now.cost, field)), _LEAST))
    left = max(1 + float(getattr(option.change, field)) / own, _LEAST)
    return _held(now, unit, field) / float(getattr(now.cost, field)) * math.log(left)


def _held(profile: Profile, unit: set[str], field: str) -> float:
    # What the layers of a unit, and what now stands in their place, take themselves.
    return float(
        sum(
            getattr(layer.self_cost, field)
            for layer in profile.layers
            if layer.name in unit or any(layer.name.startswith(f"{name}.") for name in unit if name)
        )
    )


def _unbeaten(found: Iterable[Offer], axes: Sequence[str]) -> tuple[Offer, ...]:
    kept: list[Offer] = []
    for offer in sorted(found, key=lambda one: one.rank):
        if not any(all(other.costs[axis] <= offer.costs[axis] for axis in axes) for other in kept):
            kept.append(offer)
    return tuple(kept)
