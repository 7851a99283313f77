"""Where a search begins: plans that are good already, and the options that they and others are made from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from torch import nn

from effwidgets.errors import EffError
from effwidgets.profiling.calls import Call
from effwidgets.profiling.profile import ProfileOptions
from effwidgets.profiling.profile import profile as profile_model
from effwidgets.records import Option, Plan, Profile
from effwidgets.search.advice.places import change_of, places_of, step_at
from effwidgets.search.fronts.axes import LATENCY
from effwidgets.search.selection.closing import closed
from effwidgets.search.selection.depth import depths, fewer_layers
from effwidgets.search.selection.ladder import level_plan, spread
from effwidgets.search.selection.offers import foreseen, offers
from effwidgets.search.selection.refine import Trials, refined, trials_of
from effwidgets.search.selection.scales import Scales, with_latency
from effwidgets.search.sensitivity.measure import sensitivity
from effwidgets.search.sensitivity.options import SensitivityOptions

if TYPE_CHECKING:
    from effwidgets.search.clocks.pieces import Pieces
    from effwidgets.search.engine.options import Evaluate
    from effwidgets.search.sensitivity.gauge import Gauged
    from effwidgets.transforms.calibration import Calibration

__all__ = ["FAMILIES", "Seeds", "seeds", "shares_for"]

_CUTS, _FACTORS, _DROPS = "prune", "factorize", "drop"

FAMILIES: Final = (_CUTS, _FACTORS, _DROPS)
"""Kinds of techniques that a search begins with: those that can be put together at will."""

_MOST_POINTS: Final = 60
"""So many settings are measured alone at most; fewer at each place of a large model, but two at least."""

_MOST_TRIALS: Final = 30
"""So many plans are carried out at most to make a small one better."""

_SMALL: Final = 0.02
"""About the share of the cost at which that is done: there uniform plans are farthest from the best."""

_FEW: Final = 24
"""Up to so many plans a small one is not made better: it would take longer than to try them all."""

_SHARES: Final = (0.5, 0.1, 0.25, 0.75, 0.05, 0.16, 0.35, 0.6, 0.9, 0.03)
"""Shares of the largest setting that pays, the most telling first: fronts are steep where little is left."""

_UNIFORM: Final = (0.85, 0.7, 0.59, 0.5, 0.42, 0.35, 0.3, 0.25, 0.21, 0.18, 0.15, 0.125, 0.1, 0.08)
"""Shares of channels that uniform plans keep; MACs go with the square."""

_BOTH: Final = ((0.75, 0.5), (0.5, 0.5), (0.5, 0.3), (0.3, 0.3), (0.25, 0.15), (0.12, 0.15))
"""Channels kept, then the level of the factors of what stays."""

_LEVELS: Final = (0.75, 0.5, 0.35, 0.2, 0.1)
"""Of factors alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """What a search begins with.

    Attributes:
        plans: each different; the first few spread over the whole range.
        options: what they are made from, and what a sampler draws from (`Space`); some were measured, all are counted.
        profile: of the dense model, with its groups.
        trials: how many models were made and measured on the way, without labels.
        closing: whether plans end by folding norms, since time is to be saved.
    """

    plans: tuple[Plan, ...]
    options: tuple[Option, ...]
    profile: Profile
    trials: int = 0
    closing: bool = False


@dataclass(frozen=True, slots=True)
class _Sized:
    plan: Plan
    share: float  # of the dense cost


def seeds(  # noqa: PLR0913  all but two have a default
    model: nn.Module,
    call: Call,
    *,
    calibration: Calibration | None = None,
    goals: tuple[str, ...] = ("macs",),
    check: Callable[[], None] | None = None,
    most: int = 24,
    evaluate: Evaluate | None = None,
    pieces: Pieces | None = None,
    gauge: Gauged = "auto",
) -> Seeds:
    """Return at most ``most`` plans to begin with, and the options of the space around them.

    From near-dense to a hundredth of the cost, close together where little is left, and as many of each kind as there
    are: plans of the least predicted loss (`offers`), from what each setting was measured to cost alone, of prunings
    only and of all; and uniform ones, the same share everywhere, which need no measurement to be right and are hard to
    beat where much goes: of prunings, of factorizations, of both, and of fewer blocks, narrower. Prunings alone have
    the most places, as what is both cut and factored to a few hundredths was seen to train badly; where time comes
    first, fewer blocks have, and every plan ends by folding norms.

    Args:
        model: the dense model; it is not changed.
        call: what it is called with.
        calibration: real inputs to measure on, without labels; None: the call itself, and nothing is repaired.
        goals: the costs that are to be saved; the first decides where plans are laid.
        check: called between steps; it may raise `Cancelled`.
        most: how many plans at most.
        evaluate: scores a model; where it is given, each setting is scored too (`Option.score`).
        gauge: how outputs are compared with the model's.
        pieces: times pieces; with "latency_s" among the goals plans are laid for the time too.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8))
        >>> found = seeds(model, Call((torch.eye(64),)), most=6)
        >>> len(found.plans), len(set(found.plans)) == len(found.plans)
        (6, True)
    """
    go_on = check or _never
    profile = profile_model(model, call, options=ProfileOptions(second_opinion=True))
    shares = shares_for(profile)
    how = SensitivityOptions(families=FAMILIES, shares=shares, calibration=calibration, evaluate=evaluate, gauge=gauge)
    options = sensitivity(model, call, options=how, check=check).options
    timed = pieces is not None and LATENCY in goals
    if pieces is not None and timed:
        options = with_latency(options, pieces)
    counted = next((goal for goal in goals if goal in ("macs", "params", "param_bytes")), "macs")
    bench = Trials(model=model, call=call, profile=profile, calibration=calibration, check=go_on, gauge=gauge)
    cut, thin = list(_cut(profile, counted, go_on)), list(_thin(bench, counted))
    first = goals[:1] == (LATENCY,)
    rows = [] if first else [list(_factored(profile, counted, go_on))]
    if calibration is not None and not first and most > _FEW:
        rows.append(list(_better(bench, cut, counted)))
    for axis in _axes(goals, counted, timed=timed):
        scales = Scales(model=model, call=call, profile=profile, axes=(axis,), pieces=pieces, check=go_on)
        cuts = tuple(option for option in options if option.family == _CUTS)
        rows += [list(_allocated(scales, found)) for found in (cuts, options) if found]
    plans = spread(_mixed([*rows, cut, thin] if first and thin else [*rows, thin, cut], most))
    closing = LATENCY in goals
    return Seeds(
        plans=tuple(dict.fromkeys(closed(profile, plan) if closing else plan for plan in plans)),
        options=(*options, *_unmeasured(profile, options)),
        profile=profile,
        trials=len(options) + bench.done,
        closing=closing,
    )


def _axes(goals: tuple[str, ...], counted: str, *, timed: bool) -> tuple[str, ...]:
    if not timed:
        return (counted,)
    return (LATENCY,) if goals[0] == LATENCY else (counted, LATENCY)


def _thin(bench: Trials, axis: str) -> Iterator[_Sized]:
    found = depths(bench.profile, bench.loss, _MOST_TRIALS)
    for plan in fewer_layers(bench.profile, found):
        yield from _sized(bench.profile, axis, plan)


def _better(bench: Trials, row: Sequence[_Sized], axis: str) -> Iterator[_Sized]:
    small = min(row, key=lambda one: abs(math.log(max(one.share, 1e-6) / _SMALL)), default=None)
    if small is None or trials_of(small.plan) > _MOST_TRIALS:
        return
    whole = float(getattr(bench.profile.cost, axis))

    def size(plan: Plan) -> float:
        return float(getattr(foreseen(bench.profile, plan).cost, axis)) / whole

    plan, _ = refined(small.plan, bench.profile, size, bench.loss)
    yield _Sized(plan, size(plan))


def _unmeasured(profile: Profile, measured: Sequence[Option]) -> Iterator[Option]:
    # The settings between those that were measured, so that a sampler has a fine choice.
    known = {option.step for option in measured}
    units = {option.site: option.unit for option in measured}
    for place in places_of(profile, FAMILIES)[0]:
        steps = dict.fromkeys(step_at(place, share) for share in _SHARES)
        for step in steps:
            change = change_of(profile, step)
            site = (step.transform, step.layers)
            if step not in known and site in units and change is not None and min(change.macs, change.params) < 0:
                saving = -change.macs / profile.cost.macs if profile.cost.macs else 0.0
                yield Option(step=step, family=place.transform.family, unit=units[site], change=change, saving=saving)


def _allocated(scales: Scales, options: Sequence[Option]) -> Iterator[_Sized]:
    axis, profile = scales.axes[0], scales.profile
    known = replace(scales, options={option.step: option for option in options})
    whole = known.of(profile, axis, ())
    for one in offers(options, profile, (axis,), known.read):
        if len(one.plan):
            yield _Sized(one.plan, one.costs[axis] / whole)


def _never() -> None:
    """Stop nothing."""


def shares_for(profile: Profile) -> tuple[float, ...]:
    """Return the settings to measure at each place, fewer where there are many places.

    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8))
    >>> shares_for(profile_model(net, Call((torch.eye(64),))))[:3]
    (0.9, 0.75, 0.6)
    """
    places = max(1, len(places_of(profile, FAMILIES)[0]))
    count = min(len(_SHARES), max(2, _MOST_POINTS // places))
    return tuple(sorted(_SHARES[:count], reverse=True))


def _cut(profile: Profile, axis: str, check: Callable[[], None]) -> Iterator[_Sized]:
    for share in _UNIFORM:
        check()
        yield from _sized(profile, axis, level_plan(_CUTS, profile, share))


def _factored(profile: Profile, axis: str, check: Callable[[], None]) -> Iterator[_Sized]:
    for share, level in _BOTH:
        check()
        first = level_plan(_CUTS, profile, share)
        try:
            after = foreseen(profile, first)
        except EffError:  # one that cannot be told by arithmetic
            continue
        yield from _sized(profile, axis, first + level_plan(_FACTORS, after, level))
    for level in _LEVELS:
        check()
        yield from _sized(profile, axis, level_plan(_FACTORS, profile, level))


def _sized(profile: Profile, axis: str, plan: Plan) -> Iterator[_Sized]:
    try:
        after = foreseen(profile, plan)
    except EffError:
        return
    whole = getattr(profile.cost, axis)
    if len(plan) and whole and getattr(after.cost, axis) < whole:
        yield _Sized(plan, getattr(after.cost, axis) / whole)


def _mixed(rows: Sequence[Sequence[_Sized]], most: int) -> list[Plan]:
    # The same number of each kind, twice as many of the last; then what is left of all, until there are enough.
    known: dict[Plan, _Sized] = {}
    everything = [one for row in rows for one in row]
    for place, row in enumerate((*rows, everything)):
        behind = len(rows) - place
        quota = most - len(known) if behind <= 1 else (most - len(known)) // (behind + 1)
        fresh = {one.plan: one for one in row if one.plan not in known}
        known |= {one.plan: one for one in _thinned(fresh.values(), quota)}
    return [one.plan for one in sorted(known.values(), key=lambda one: one.share)]


def _thinned(row: Iterable[_Sized], most: int) -> list[_Sized]:
    # Of the two neighbours closest by the logarithm of their size, the dearer one goes, as often as needed.
    kept = sorted(row, key=lambda one: one.share)
    while len(kept) > max(0, most):
        gaps = [_far(one, two) for one, two in itertools.pairwise(kept)]
        kept.pop(gaps.index(min(gaps)) + 1 if gaps else 0)
    return kept


def _far(one: _Sized, two: _Sized) -> float:
    # Below a hundredth a model is hardly worth a place of its own.
    return math.log(max(two.share, 0.01) / max(one.share, 0.01)) if two.share > 0 else 0.0
