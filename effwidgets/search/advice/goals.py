"""What can be saved: costs that add up, peaks, what is sent, what is measured, and any registered metric."""

from __future__ import annotations

from typing import Final

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.metrics.base import METRICS
from effwidgets.metrics.cost import amount
from effwidgets.records import Profile
from effwidgets.search.fronts.axes import SHORT
from effwidgets.transforms.base import Transform

__all__ = ["ADDED", "GOALS", "LATENCY", "SENT", "amount_now", "as_goal", "merit", "serves"]

LATENCY: Final = "latency_s"
SENT: Final = "download_bytes"

GOALS: Final = (
    "macs",
    "params",
    "param_bytes",
    "inference_peak_bytes",
    "saved_bytes",
    "training_peak_bytes",
    SENT,
    LATENCY,
)
"""What can be saved, beside the registered metrics that are better when lower.

``saved_bytes`` and ``training_peak_bytes`` are memory of training, ``download_bytes`` is what the weights take as a
file, under their codes where a format has some, ``latency_s`` is measured on this machine.
"""

ADDED: Final = ("macs", "params", "param_bytes", "saved_bytes")
"""Costs whose change is arithmetic."""

_ALIASES: Final = {**SHORT, "training_bytes": "saved_bytes", "download": SENT}

_DOUBT: Final = 0.02
_TRAINING: Final = frozenset({"saved_bytes", "training_peak_bytes"})
_SERVED: Final = {
    "quantize": frozenset({"param_bytes", SENT, LATENCY}),
    "sparsify": frozenset({SENT}),
    "recompute": _TRAINING,
    "fuse": frozenset({LATENCY}),
}
"""By family, what its steps are there for. Families that change shapes serve every goal, as far as they save it."""

_LEFT: Final = frozenset({"reversible", "fuse", "two_four"})
"""Done when a plan names them: one changes what the model computes, one compiles for minutes, one needs other kernels
than torch has on most machines."""


def as_goal(name: str) -> str:
    """Return the name of a goal; "bytes", "peak_bytes", "training_bytes", "download" and "latency" are short for one.

    Raises:
        UnknownNameError: no such goal, and no metric that is better when lower; the message lists those there are.

    >>> as_goal("bytes"), as_goal("macs")
    ('param_bytes', 'macs')
    """
    found = _ALIASES.get(name, name)
    if found in GOALS or (found in METRICS and METRICS[found].better == "lower"):
        return found
    others = [key for key, metric in METRICS.items() if metric.better == "lower" and key not in GOALS]
    raise UnknownNameError("goal", name, (*GOALS, *others, *_ALIASES))


def amount_now(goal: str, profile: Profile) -> float:
    """Return how much of a goal a profiled model takes.

    Raises:
        UnknownNameError: no such goal.
        InputError: the profile holds no number for it.
    """
    goal = as_goal(goal)
    if goal == SENT:
        return profile.cost.param_bytes  # as it is; codes are a matter of single layers
    if goal == "training_peak_bytes":
        if profile.memory.training_peak_bytes is None:
            raise InputError(f"The profile of {profile.model} holds no training peak: profile it with backward=True.")
        return profile.memory.training_peak_bytes
    if goal in GOALS and goal != LATENCY:
        return amount(goal, profile.cost, profile.memory)
    return METRICS[goal].measure(profile)


def merit(saving: float, error: float | None) -> float:
    """Return what a step is worth: the share that it saves over the output error it costs, ``saving / (0.02 + error)``.

    The 0.02 says that errors below 2% are not told apart; so a large saving at a small error comes before a tiny one
    at none. An error that could not be measured counts as 1.

    >>> merit(0.2, 0.08) > merit(0.01, 0.0), merit(0.2, 0.08) > merit(0.3, 0.6)
    (True, True)
    """
    return saving / (_DOUBT + (1.0 if error is None else error))


def serves(transform: Transform, goal: str) -> bool | None:
    """Say whether steps of a transformation are tried for a goal; None where they would be, but for an expert alone.

    One of a family that nobody knows is tried for every goal.
    """
    if transform.name in _LEFT or not getattr(transform, "advised", True):
        return None
    served = _SERVED.get(transform.family)
    return True if served is None else goal in served or goal not in GOALS
