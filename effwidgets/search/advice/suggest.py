"""Advice: what could be done, ranked by what it saves against what it was measured to cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from torch import nn

from effwidgets.errors import InputError
from effwidgets.profiling.calls import Call, Inputs, as_call
from effwidgets.profiling.profile import ProfileOptions
from effwidgets.profiling.profile import profile as profile_model
from effwidgets.profiling.shadow import check_module
from effwidgets.records import Option, Score, Suggestion, Suggestions
from effwidgets.search.advice.clashes import clashes_of
from effwidgets.search.advice.columns import Columns
from effwidgets.search.advice.goals import amount_now, as_goal, merit
from effwidgets.search.advice.survey import Survey, also, survey
from effwidgets.search.advice.words import headline, reason, risk_of, warnings
from effwidgets.search.selection.budget import amount_text
from effwidgets.search.selection.choose import by_path, choose
from effwidgets.transforms.calibration import calibration_of
from effwidgets.transforms.sound import check_answers, check_calibration
from effwidgets.transforms.trial import quiet_random

if TYPE_CHECKING:
    from effwidgets.search.clocks.pieces import Pieces
    from effwidgets.search.engine.options import Evaluate
    from effwidgets.transforms.calibration import Calibration

__all__ = ["Budgets", "suggest"]

Site: TypeAlias = tuple[str, tuple[str, ...]]

Budgets: TypeAlias = float | str | Mapping[str, float | str]
"""A share of what the model takes now (up to 1), an amount of the goal, or text such as "40%"; or these by cost."""


def suggest(  # noqa: PLR0913  a verb of the package: all but two have a default
    model: nn.Module,
    inputs: Inputs,
    *,
    goal: str = "macs",
    budget: Budgets | None = None,
    calibration: object = None,
    evaluate: Evaluate | None = None,
    check: Callable[[], None] | None = None,
    origin: str = "",
) -> Suggestions:
    """Rank what could be done to the model, each with what it saves and what it was measured to cost.

    Every registered transformation that serves the goal is tried at every place with a few settings, alone, on a copy
    that shares the model's tensors; one forward measures how far the outputs move. For each place the setting worth
    most is kept (`goals.merit`), and its time is measured on the piece of the model that it changes (`Pieces`). For the
    goal "latency_s" only what was measured to be faster is listed. With a budget, settings are those of a plan that
    keeps it, and ``chosen`` says which they are.

    Args:
        model: any module; it is not changed.
        inputs: what it is called with, as for `profile`.
        goal: what to save; one of `goals.GOALS`, a short name of one, or a registered metric that is better when lower.
        budget: see `Budgets`; of several costs all are kept.
        calibration: real inputs: a batch, a list of batches or a ``DataLoader``. The first batch is what the error is
            measured on; batch-norm statistics are estimated on all of them. None: ``inputs``, and no estimation.
        evaluate: scores a model; then every entry is carried out alone, repaired, and scored.
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
        >>> all(one.latency is not None and one.memory_after is not None for one in found)
        True
    """
    goal, call = as_goal(goal), as_call(inputs)
    check_module(model)
    with quiet_random():  # a loader that shuffles draws from the state of the whole process
        data = calibration_of(calibration, like=call)
    check_answers(model, call)
    if data is not None:
        check_calibration(model, data, call)
    known = profile_model(model, call, options=ProfileOptions(second_opinion=True))
    columns = Columns.of(model, call, known, data, check or _go_on)
    if goal == "latency_s" and columns.pieces is None:
        raise InputError("The model stands on meta and has no numbers to run with, so its time cannot be saved.")
    found = survey(model, call, goal=goal, calibration=data, check=check, profile=known, pieces=columns.pieces)
    best = _best(found)
    picked: tuple[Option, ...] = ()
    if budget is not None:
        picked, note = _picked(_Asked(model, call, found, data, check, columns.pieces), budget)
        best.update({option.site: option for option in picked})
        columns.notes.append(note)
    ranked = sorted(best.values(), key=_worth, reverse=True)
    sites = {option.site for option in picked}
    ranked = columns.remembered(columns.timed(ranked))
    scores: tuple[Score, ...] = ()
    if evaluate is not None:
        scores, ranked = columns.scored(ranked, evaluate)
    return Suggestions(
        model=type(model).__name__,
        goal=goal,
        cost=known.cost,
        memory=known.memory,
        suggestions=_suggestions(found, ranked, repaired=data is not None),
        skips=found.skips,
        chosen=tuple(place for place, option in enumerate(ranked) if option.site in sites),
        notes=tuple(columns.notes),
        latency=columns.whole() if ranked else None,
        scores=scores,
        origin=origin,
    )


def _go_on() -> None:
    pass


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


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    # What a plan for a budget is made from.
    model: nn.Module
    call: Call
    found: Survey
    data: Calibration | None
    check: Callable[[], None] | None
    pieces: Pieces | None


def _picked(asked: _Asked, budget: Budgets) -> tuple[tuple[Option, ...], str]:
    # The options of a plan that keeps the budget, and what is said of it.
    found = asked.found
    if not isinstance(budget, Mapping) and by_path(found.goal):
        reached = choose(asked.model, asked.call, found, budget, asked.check)
        after, now = reached.amount, amount_now(found.goal, found.profile)
        return reached.options, (
            f"{len(reached.options)} of these together keep the budget of {budget}: {amount_text(found.goal, after)} "
            f"of {found.goal}, {after / now:.0%} of now. Their errors were measured one by one and add up."
        )
    from effwidgets.search.selection.select import SelectOptions, select  # with all that sensitivity needs

    budgets = budget if isinstance(budget, Mapping) else {found.goal: budget}
    how = SelectOptions(options=found.options, calibration=asked.data, profile=found.profile)
    chosen, _ = select(asked.model, asked.call, budgets, how, asked.check)
    kept = ", ".join(f"{one.axis} {amount_text(one.axis, one.true)}" for one in chosen.budgets)
    options = {option.step: option for option in found.options}
    # Of a layer that is pruned too the rank may be another than was tried.
    fitted = [step for step in chosen.plan if step not in options]
    if fitted:
        more = also(asked.model, asked.call, found, fitted, (asked.data, asked.pieces))
        options |= {option.step: option for option in more}
    taken = tuple(options[step] for step in chosen.plan if step in options)
    note = f"{len(taken)} of these together keep the budgets, carried out and measured: {kept}."
    if len(taken) < len(chosen.plan):
        left = ", ".join(str(step) for step in chosen.plan if step not in options)
        note = f"The budgets are kept by {len(taken)} of these with what saves nothing alone, {left}: {kept}."
    return taken, note


def _suggestions(found: Survey, ranked: list[Option], *, repaired: bool) -> tuple[Suggestion, ...]:
    clashes = clashes_of(found.profile, [option.step for option in ranked])
    return tuple(
        _suggestion(found, option, others, repaired=repaired) for option, others in zip(ranked, clashes, strict=True)
    )


def _suggestion(found: Survey, option: Option, clashes: tuple[int, ...], *, repaired: bool) -> Suggestion:
    step, profile = option.step, found.profile
    said = found.warned.get(option.site, ()) if option.family not in _MEASURED else ()
    bad = warnings(profile, option.change, repaired=repaired or _exact(option), latency=option.latency)
    return Suggestion(
        step=step,
        family=option.family,
        headline=headline(profile, step),
        change=option.change,
        memory_after=option.memory_after,
        error=option.error,
        risk=risk_of(option.error),
        reason=reason(profile, step, option.error, option.energy, option.found),
        warnings=(*bad, *said),
        saving=option.saving,
        latency=option.latency,
        score=option.score,
        clashes=clashes,
    )


_MEASURED: Final = ("quantize", "sparsify")
"""Families whose own warnings tell of times on other machines: here they were measured."""


def _exact(option: Option) -> bool:
    # What leaves the outputs as they are leaves the statistics true.
    return option.family in ("fuse", "recompute")
