"""Plans from near-dense to very small, of each kind and mixed, in an order that spreads over the range at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from torch import nn

from effwidgets.errors import EffError
from effwidgets.profiling.calls import Inputs, as_call
from effwidgets.records import Plan, Profile
from effwidgets.search.advice.places import places_of, steps_at
from effwidgets.search.advice.survey import Survey, survey
from effwidgets.search.selection.choose import path
from effwidgets.transforms.apply import hypothetical
from effwidgets.transforms.base import TRANSFORMS

if TYPE_CHECKING:
    from effwidgets.profiling.calls import Call
    from effwidgets.transforms.calibration import Calibration

__all__ = ["ladder", "level_plan", "spread"]

T = TypeVar("T")

_LEVELS = (0.75, 0.5, 0.35, 0.25, 0.15)
"""Shares of the largest setting that pays, for factors and bottlenecks."""

_CHANNELS = (0.9, 0.75, 0.6, 0.5, 0.35, 0.25)
"""Shares of the channels kept; MACs go with the square."""

_BOTH = ((0.75, 0.5), (0.6, 0.5), (0.5, 0.35))
"""Channels kept, then the level of the factors of what stays: a product goes further than either alone."""

_BUDGETS = (0.9, 0.8, 0.65, 0.5, 0.4, 0.3, 0.2)
"""Shares of the MACs at which a plan is taken from the path of the steps worth most."""

_CUTS, _FACTORS = "prune", "factorize"

_NEAR = 0.98  # two plans with MACs and parameters within 2% of each other are one


@dataclass(frozen=True, slots=True)
class _Rung:
    plan: Plan
    profile: Profile

    def alike(self, other: _Rung) -> bool:
        # Of the same kinds and hardly different in size: it would be one mark on the plot.
        if {step.transform for step in self.plan} != {step.transform for step in other.plan}:
            return False
        one, two = self.profile.cost, other.profile.cost
        return all(min(pair) >= _NEAR * max(pair) for pair in ((one.macs, two.macs), (one.params, two.params)))


def ladder(
    model: nn.Module,
    inputs: Inputs,
    *,
    calibration: Calibration | None = None,
    check: Callable[[], None] | None = None,
    most: int = 24,
) -> tuple[Plan, ...]:
    """Return at most ``most`` plans, each different, the first few spread over the whole range of MACs.

    Each family of transformations at one level everywhere; channels cut, then what stays factored; and the mix of the
    steps worth most by measured error (`survey`), under a series of budgets.

    Args:
        model: the dense model; it is not changed.
        inputs: what it is called with.
        calibration: real inputs to measure errors on; None: ``inputs``.
        check: called between steps; it may raise `Cancelled`.
        most: how many plans at most.
    """
    call = as_call(inputs)
    found = survey(model, call, calibration=calibration, check=check)
    rungs: list[_Rung] = []
    # The mix first: of two plans alike, the one that was measured stays.
    for rung in itertools.chain(_mixed(model, call, found, check), _uniform(model, call, found.profile)):
        if check is not None:
            check()
        if not any(rung.alike(other) for other in rungs):
            rungs.append(rung)
    rungs.sort(key=lambda rung: (rung.profile.cost.macs, rung.profile.cost.params))
    return tuple(rung.plan for rung in spread(_thinned(rungs, most)))


def _mixed(model: nn.Module, call: Call, found: Survey, check: Callable[[], None] | None) -> Iterator[_Rung]:
    budgets = [share * found.profile.cost.macs for share in _BUDGETS]
    for waypoint in path(model, call, found, check):
        if not budgets:
            return
        if waypoint.profile.cost.macs <= budgets[0]:
            budgets = [budget for budget in budgets if budget < waypoint.profile.cost.macs]
            yield _Rung(waypoint.plan, waypoint.profile)


def _uniform(model: nn.Module, call: Call, profile: Profile) -> Iterator[_Rung]:
    families = dict.fromkeys(transform.family for _, transform in TRANSFORMS.items())
    for family in families:
        for level in _levels(family, profile):
            yield from _laid(model, call, profile, level_plan(family, profile, level))
    if not {_CUTS, _FACTORS} <= set(families):
        return
    for channels, level in _BOTH:
        cut = level_plan(_CUTS, profile, channels)
        for rung in _laid(model, call, profile, cut):
            yield from _laid(model, call, profile, cut + level_plan(_FACTORS, rung.profile, level))


def _levels(family: str, profile: Profile) -> tuple[float, ...]:
    places, _ = places_of(profile, [family])
    pays = any(knob.break_even is not None for place in places for knob in place.site.knobs)
    return _LEVELS if pays else _CHANNELS


def level_plan(family: str, profile: Profile, level: float) -> Plan:
    """Return the plan with every place of one family at the same level; see `places.steps_at`."""
    places, _ = places_of(profile, [family])
    return Plan(steps=tuple(steps_at(places, profile, level)))


def _laid(model: nn.Module, call: Call, known: Profile, plan: Plan) -> Iterator[_Rung]:
    # One plan or none: what cannot even be laid out on a shadow is not tried.
    if len(plan):
        try:
            yield _Rung(plan, hypothetical(model, plan, call, known=known, backward=False))
        except EffError:
            return


def _thinned(rungs: list[_Rung], most: int) -> list[_Rung]:
    # Too many: of the two neighbours closest in MACs, the dearer one goes, as often as needed.
    kept = list(rungs)
    while len(kept) > max(most, 1):
        gaps = [kept[place + 1].profile.cost.macs - kept[place].profile.cost.macs for place in range(len(kept) - 1)]
        kept.pop(gaps.index(min(gaps)) + 1)
    return kept


def spread(items: Sequence[T]) -> list[T]:
    """Reorder so that every beginning of the list is spread over the whole: the middle, the quarters, the eighths.

    >>> spread([0, 1, 2, 3, 4, 5, 6])
    [3, 1, 5, 0, 2, 4, 6]
    """
    order: list[T] = []
    spans = [(0, len(items))]
    while spans:
        below = []
        for low, high in spans:
            if low < high:
                middle = (low + high) // 2
                order.append(items[middle])
                below += [(low, middle), (middle + 1, high)]
        spans = below
    return order
