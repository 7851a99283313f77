"""A candidate as an Optuna trial, and back: what its dashboard shows, and what we read again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from effwidgets.errors import InputError, StoreError
from effwidgets.records import Budget, Candidate, Plan
from effwidgets.search.fronts.axes import place_on
from effwidgets.search.store.base import Header, plan_key

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, TrialState

__all__ = [
    "CANDIDATE",
    "CLAIM",
    "NOTE",
    "NUMBER",
    "PLAN",
    "RUNG",
    "candidate_in",
    "constraints_of",
    "finished",
    "outcome",
    "template",
]

PLAN, RUNG, CLAIM, NUMBER, CANDIDATE, NOTE = "plan", "rung", "claim", "number", "candidate", "note"
"""The user attributes of a trial. ``number`` is for readers: it counts the plans in the order of the log."""

_LARGEST_INT, _LARGEST = 2**40, 1e15


def template(candidate: Candidate, number: int, owner: str) -> FrozenTrial:
    """Return a running trial that claims the plan of ``candidate`` for ``owner``: all in one entry of a log."""
    from optuna.trial import TrialState, create_trial

    params, distributions = _params(candidate.plan)
    attributes = _attributes(candidate, number, owner)
    return create_trial(state=TrialState.RUNNING, params=params, distributions=distributions, user_attrs=attributes)


def finished(
    candidate: Candidate, owner: str, end: tuple[TrialState, tuple[float, ...] | None], limits: Mapping[str, float]
) -> FrozenTrial:
    """Return a trial that is over: a result without a claim of its own, such as one that was measured once more."""
    from optuna.trial import create_trial

    params, distributions = _params(candidate.plan)
    return create_trial(
        state=end[0],
        values=end[1],
        params=params,
        distributions=distributions,
        user_attrs={**_attributes(candidate, candidate.number, owner), CANDIDATE: candidate.to_json()},
        system_attrs=dict(limits),
    )


def _attributes(candidate: Candidate, number: int, owner: str) -> dict[str, Any]:
    return {
        RUNG: candidate.rung,
        PLAN: plan_key(candidate.plan),
        "steps": "; ".join(map(str, candidate.plan)) or "the dense model",
        "source": candidate.source,
        "seed": candidate.seed,
        CLAIM: owner,
        NUMBER: number,
    }


def _params(plan: Plan) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    # Numbers alone: a range must be the same in all trials, which the values of text are not; ``steps`` has all of it.
    from optuna.distributions import FloatDistribution, IntDistribution

    params: dict[str, Any] = {}
    distributions: dict[str, BaseDistribution] = {}
    for step in plan:
        place = ", ".join(step.layers[:2]) + (f" +{len(step.layers) - 2}" if len(step.layers) > 2 else "")
        numbers = {
            name: value
            for name, value in step.settings
            if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST_INT
        }
        for name, value in (numbers or {"done": 1}).items():
            full = f"{step.transform} {place} {name}"
            while full in params:
                full += "'"
            params[full] = value
            distributions[full] = (
                IntDistribution(-_LARGEST_INT, _LARGEST_INT)
                if isinstance(value, int)
                else FloatDistribution(-_LARGEST, _LARGEST)
            )
    return params, distributions


def outcome(candidate: Candidate, header: Header) -> tuple[TrialState, tuple[float, ...] | None]:
    """Return the state and the values of a finished trial.

    One that is scored but lacks an objective, such as a latency that is measured near the front only, is "pruned":
    Optuna knows no complete trial with a value missing.
    """
    from optuna.trial import TrialState

    if candidate.state != "done":
        return TrialState.FAIL, None
    values = (candidate.score(), *(place_on(axis, candidate) for axis in header.objectives))
    known = tuple(float(value) for value in values if value is not None and math.isfinite(value))
    return (TrialState.COMPLETE, known) if len(known) == len(values) else (TrialState.PRUNED, None)


def constraints_of(candidate: Candidate, budgets: tuple[Budget, ...]) -> dict[str, float]:
    """Return by how much a candidate is beyond each budget, as a share of it; 0 and below keeps it.

    The keys are those under which Optuna looks for constraints.
    """
    beyond: dict[str, float] = {}
    for budget in budgets:
        place = place_on(budget.axis, candidate)
        if place is not None and math.isfinite(place):
            beyond[f"constraints:{budget.axis}"] = (place - budget.limit) / (abs(budget.limit) or 1.0)
    return beyond


def candidate_in(attributes: Mapping[str, Any], number: int, where: str) -> Candidate:
    """Read the record of a finished trial.

    Raises:
        StoreError: it is not one that this effwidgets wrote.
    """
    import dataclasses

    try:
        known = Candidate.from_json(str(attributes[CANDIDATE]))
    except InputError as error:
        raise StoreError(
            f"Candidate {number} in {where} cannot be read: {error} Nothing was changed. Open it with the effwidgets "
            "that wrote it, or begin in another place."
        ) from error
    return known if known.number == number else dataclasses.replace(known, number=number)
