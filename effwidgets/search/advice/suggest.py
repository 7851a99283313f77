"""Advice: what could be done, ranked by what it saves against what it was measured to cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeAlias

from torch import nn

from effwidgets.errors import EffError
from effwidgets.profiling.calls import Call, Inputs, as_call
from effwidgets.profiling.shadow import check_module
from effwidgets.records import Option, Plan, Profile, Suggestion, Suggestions
from effwidgets.search.advice.survey import Survey, amount_now, merit, survey
from effwidgets.search.advice.words import headline, reason, risk_of, warnings
from effwidgets.search.selection.budget import amount_text
from effwidgets.search.selection.choose import Waypoint, choose
from effwidgets.transforms.apply import hypothetical
from effwidgets.transforms.calibration import calibration_of
from effwidgets.transforms.sound import check_answers, check_calibration
from effwidgets.transforms.trial import quiet_random

__all__ = ["suggest"]

Site: TypeAlias = tuple[str, tuple[str, ...]]

_MOST_PROFILED = 24  # a list shows about so many rows at once; the rest is profiled when it is ticked


def suggest(  # noqa: PLR0913  a verb of the package: all but two have a default
    model: nn.Module,
    inputs: Inputs,
    *,
    goal: str = "macs",
    budget: float | str | None = None,
    calibration: object = None,
    check: Callable[[], None] | None = None,
    origin: str = "",
) -> Suggestions:
    """Rank places where the model could be made smaller, each with what it saves and what it was measured to cost.

    Every registered transformation is tried at every place with a few settings, alone, on a copy that shares the
    model's tensors; one forward measures how far the outputs move. For each place the setting worth most is kept
    (`survey.merit`). With a budget, settings are those of a plan that keeps it, and ``chosen`` says which they are.

    Args:
        model: any module; it is not changed.
        inputs: what it is called with, as for `profile`.
        goal: what to save; one of `survey.GOALS`.
        budget: a share of what the model takes now (up to 1), an amount of the goal, or text such as "40%".
        calibration: real inputs: a batch, a list of batches or a ``DataLoader``. The first batch is what the error is
            measured on; batch-norm statistics are estimated on all of them. None: ``inputs``, and no estimation.
        check: called before each trial; it may raise `Cancelled`.
        origin: name of the session that asks.

    Raises:
        UnknownNameError: no such goal.
        InputError: a budget that leaves nothing or cannot be reached; the message says what can.
        ModelError: the model's forward fails.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8))
        >>> found = suggest(model, torch.eye(64))
        >>> found.suggestions != () and all(one.change.macs < 0 for one in found)
        True
    """
    call = as_call(inputs)
    check_module(model)
    with quiet_random():  # a loader that shuffles draws from the state of the whole process
        data = calibration_of(calibration, like=call)
    check_answers(model, call)
    if data is not None:
        check_calibration(model, data, call)
    found = survey(model, call, goal=goal, calibration=data, check=check)
    best = _best(found)
    picked: tuple[Option, ...] = ()
    notes: tuple[str, ...] = ()
    if budget is not None:
        reached = choose(model, call, found, budget, check)
        picked = reached.options
        best.update({option.site: option for option in picked})
        notes = (_reached(found, reached, budget),)
    ranked = sorted(best.values(), key=_worth, reverse=True)
    listed = [_suggestion(found, option, repaired=data is not None) for option in ranked]
    return Suggestions(
        model=type(model).__name__,
        goal=goal,
        cost=found.profile.cost,
        memory=found.profile.memory,
        suggestions=tuple(_with_memory(model, call, found.profile, listed, check)),
        skips=found.skips,
        chosen=tuple(place for place, option in enumerate(ranked) if option in picked),
        notes=notes,
        origin=origin,
    )


def _best(found: Survey) -> dict[Site, Option]:
    # At each place the setting that is worth most.
    best: dict[Site, Option] = {}
    for option in found.options:
        held = best.get(option.site)
        if held is None or _worth(option) > _worth(held):
            best[option.site] = option
    return best


def _worth(option: Option) -> float:
    return merit(option.saving, option.error)


def _reached(found: Survey, reached: Waypoint, budget: float | str) -> str:
    after, now = amount_now(found.goal, reached.profile), amount_now(found.goal, found.profile)
    return (
        f"{len(reached.options)} of these together keep the budget of {budget}: {amount_text(found.goal, after)} of "
        f"{found.goal}, {after / now:.0%} of now. Their errors were measured one by one and add up."
    )


def _suggestion(found: Survey, option: Option, *, repaired: bool) -> Suggestion:
    step, profile = option.step, found.profile
    return Suggestion(
        step=step,
        family=option.family,
        headline=headline(profile, step),
        change=option.change,
        error=option.error,
        risk=risk_of(option.error),
        reason=reason(profile, step, option.error, option.energy, option.found),
        warnings=warnings(profile, option.change, repaired=repaired),
    )


def _with_memory(
    model: nn.Module, call: Call, known: Profile, listed: list[Suggestion], check: Callable[[], None] | None
) -> Iterator[Suggestion]:
    for place, one in enumerate(listed):
        if place >= _MOST_PROFILED:
            yield one
            continue
        if check is not None:
            check()
        try:
            memory = hypothetical(model, Plan(steps=(one.step,)), call, known=known).memory
        except EffError:  # the trial itself went well; only this number is missing
            yield one
        else:
            yield replace(one, memory_after=memory)
