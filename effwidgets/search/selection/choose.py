"""A plan for a budget: step after step, each time the one worth most, profiled after each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from torch import nn

from effwidgets.errors import EffError, InputError
from effwidgets.metrics.base import METRICS
from effwidgets.profiling.calls import Call, Inputs, as_call
from effwidgets.profiling.profile import profile as profile_model
from effwidgets.records import Cost, Memory, Option, Plan, Profile, Suggestions
from effwidgets.search.advice.goals import ADDED, LATENCY, SENT, amount_now, merit
from effwidgets.search.advice.places import change_of, holders
from effwidgets.search.advice.survey import Survey
from effwidgets.search.fronts.axes import is_measured
from effwidgets.search.selection.budget import amount_text, limit_of
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.hypothetical import LEFT_OUT, Drafts

__all__ = ["Waypoint", "by_path", "choose", "path", "plan_for"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waypoint:
    """A plan on the way down.

    Attributes:
        options: what it is made of.
        plan: their steps, in the order in which they are done.
        profile: of the model that it would make.
        amount: how much of the goal that model takes.
    """

    options: tuple[Option, ...]
    plan: Plan
    profile: Profile
    amount: float


def by_path(goal: str) -> bool:
    """Say whether a `path` leads to a budget for ``goal``: what is measured, as time is, no profile of a plan holds.

    >>> by_path("macs"), by_path("latency_s")
    (True, False)
    """
    return goal != LATENCY and not (goal in METRICS and is_measured(METRICS[goal]))


def path(model: nn.Module, call: Call, survey: Survey, check: Callable[[], None] | None = None) -> Iterator[Waypoint]:
    """Yield plans, each saving more than the one before, until nothing is left that saves.

    Each time the step worth most (`merit`) is added, or a step already chosen goes to a stronger setting. Savings are
    those of the model as it is by then, since they do not add up: a plan is really laid out on a shadow and profiled.
    Errors are those measured alone. Steps of two kinds never meet in one layer; groups of channels may.
    """
    chosen: dict[tuple[str, tuple[str, ...]], Option] = {}
    now = survey.profile
    amount = amount_now(survey.goal, now)
    left = list(survey.options)
    drafts = Drafts(model, call, known=survey.profile)
    while left:
        if check is not None:
            check()
        moves = [(_worth(option, chosen, now, survey), -place) for place, option in enumerate(left)]
        worth, place = max(moves)
        if worth <= 0:
            return
        option = left.pop(-place)
        trial = {**chosen, option.site: option}
        plan = _plan_of(trial.values(), survey.profile)
        try:
            backward = survey.goal == "training_peak_bytes"
            after = drafts.profile(plan, backward=backward)
        except EffError:  # two steps that do not go together; the next best may
            continue
        complete = not any(note.startswith(LEFT_OUT) for note in after.notes)
        lower = _amount(survey, after, trial.values())
        if complete and lower < amount:
            chosen, now, amount = trial, after, lower
            yield Waypoint(options=tuple(chosen.values()), plan=plan, profile=now, amount=amount)


def _amount(survey: Survey, after: Profile, options: Iterable[Option]) -> float:
    # What codes save of a file beyond the bytes in memory no profile holds. Steps share no layer, so it adds up.
    now = amount_now(survey.goal, after)
    if survey.goal != SENT:
        return now
    whole = survey.profile.cost.param_bytes
    return now - sum(option.saving * whole + option.change.param_bytes for option in options if _codes(option))


def _codes(option: Option) -> bool:
    return TRANSFORMS[option.step.transform].phase == "format"


def _worth(option: Option, chosen: dict[tuple[str, tuple[str, ...]], Option], now: Profile, survey: Survey) -> float:
    held = chosen.get(option.site)
    if held is not None:
        more = (option.error or 0.0) - (held.error or 0.0)
        return merit(option.saving - held.saving, max(0.0, more))
    mine = holders(survey.profile, option.step)
    for other in chosen.values():
        both_prune = option.step.transform == other.step.transform == "channel_prune"
        if not both_prune and mine & holders(survey.profile, other.step):
            return 0.0
    change = change_of(now, option.step)
    if change is None or survey.goal not in ("macs", "params", "param_bytes"):
        return merit(option.saving, option.error)
    return merit(-int(getattr(change, survey.goal)) / amount_now(survey.goal, survey.profile), option.error)


def _plan_of(options: Iterable[Option], profile: Profile) -> Plan:
    # Pruning first, because factors are laid out for the channels that stay; then in the order of the forward.
    order = {layer.name: place for place, layer in enumerate(profile.layers)}
    ranked = sorted(options, key=lambda option: (option.family != "prune", order.get(option.step.layers[0], 0)))
    return Plan(steps=tuple(option.step for option in ranked))


def choose(
    model: nn.Module,
    call: Call,
    survey: Survey,
    budget: float | str,
    check: Callable[[], None] | None = None,
) -> Waypoint:
    """Return the first plan on the `path` that keeps the budget.

    Raises:
        InputError: the budget leaves nothing, or cannot be reached; the message says what can.
    """
    limit = limit_of(budget, survey.goal, amount_now(survey.goal, survey.profile))
    now = reached = amount_now(survey.goal, survey.profile)
    for waypoint in path(model, call, survey, check):
        reached = waypoint.amount
        if reached <= limit:
            return waypoint
    raise InputError(
        f"A budget of {budget!r} for {survey.goal} ({amount_text(survey.goal, limit)}) cannot be reached with what was "
        f"found: the smallest is {amount_text(survey.goal, reached)}, {reached / max(now, 1):.0%} of now. "
        f"Ask for that; choose() and explore() try plans that go further."
    )


def plan_for(suggestions: Suggestions, budget: float | str, model: nn.Module, inputs: Inputs) -> Plan:
    """Return a plan out of a list of suggestions that keeps a budget for the goal of the list.

    Args:
        suggestions: what to choose from; each is taken as it stands, or not at all. For a goal that is measured, as
            time is, the rank of a layer that is pruned too may be another, and the plan is carried out to see.
        budget: a share of what the model takes now (up to 1), an amount, or text such as "40%".
        model: the model that the list was made for.
        inputs: what it is called with.

    Raises:
        InputError: the budget leaves nothing, or the list cannot reach it; the message says what it can reach.
    """
    call = as_call(inputs)
    profile = profile_model(model, call)
    # Of what is measured the list says itself what each saves.
    whole = max(1, amount_now(suggestions.goal, profile)) if by_path(suggestions.goal) else 1
    options = tuple(
        Option(
            step=one.step,
            family=one.family,
            change=one.change,
            saving=one.saving or _saving(one.memory_after, one.change, suggestions.goal, profile) / whole,
            latency=one.latency,
            error=one.error,
            unit=tuple(sorted(holders(profile, one.step))),
        )
        for one in suggestions
    )
    if not by_path(suggestions.goal):
        from effwidgets.search.selection.select import SelectOptions, select  # with all that sensitivity needs

        return select(model, call, {suggestions.goal: budget}, SelectOptions(options=options, profile=profile))[0].plan
    survey = Survey(goal=suggestions.goal, profile=profile, options=options, skips=suggestions.skips)
    return choose(model, call, survey, budget).plan


def _saving(memory: Memory | None, change: Cost, goal: str, profile: Profile) -> int:
    if goal == "inference_peak_bytes":
        return 0 if memory is None else profile.memory.inference_peak_bytes - memory.inference_peak_bytes
    if goal == "saved_bytes":
        return 0 if memory is None else profile.memory.saved_bytes - memory.saved_bytes
    if goal not in ADDED:
        return 0  # the list says itself what each saves of these
    return -int(getattr(change, goal))
