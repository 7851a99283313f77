"""What candidates are compared by: the costs that every profile holds, and what the registered metrics read from it."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final

from effwidgets.metrics.base import METRICS
from effwidgets.metrics.cost import amount
from effwidgets.records import Candidate, Profile, Score

__all__ = ["AXES", "LATENCY", "SHORT", "cost_axes", "full_name", "known_costs", "measures_of", "place_on"]

AXES = ("macs", "params", "param_bytes", "inference_peak_bytes")
"""The costs that stand in every candidate, the default first."""


LATENCY = "latency_s"
"""The cost that is measured on whole models, near the front only."""


SHORT: Final = {"bytes": "param_bytes", "peak_bytes": "inference_peak_bytes", "latency": LATENCY}
"""What may be written for the longer names."""


def full_name(cost: str) -> str:
    """Return the full name of a cost; one that is no short name comes back as it is.

    >>> full_name("bytes"), full_name("macs")
    ('param_bytes', 'macs')
    """
    return SHORT.get(cost, cost)


def cost_axes(also: Collection[str] = ()) -> tuple[str, ...]:
    """Return the axes that a front can be drawn against: `AXES`, then the other metrics that are better when lower.

    What is measured rather than counted is among them only where it is asked for in ``also``.
    """
    counted = tuple(
        name
        for name, metric in METRICS.items()
        if name not in AXES and metric.better == "lower" and (name in also or not is_measured(metric))
    )
    return AXES + counted + tuple(name for name in also if name == LATENCY and name not in counted)


def known_costs() -> tuple[str, ...]:
    """Return every cost that a search can save: those that are measured too."""
    return cost_axes((LATENCY, *METRICS))


def is_measured(metric: object) -> bool:
    """Say whether a metric reads what was timed: it has a number only where that was done."""
    return bool(getattr(metric, "measured", False))


def measures_of(profile: Profile) -> tuple[tuple[Score, ...], str]:
    """Return what the metrics beside `AXES` read from a profile, and in a line which of them could not.

    A metric may be a stranger's: one that raises, or returns no finite number, costs only its own value.
    """
    found: list[Score] = []
    failed: list[str] = []
    for name, metric in METRICS.items():
        if name in AXES or (is_measured(metric) and getattr(profile, "latency", None) is None):
            continue
        try:
            value = float(metric.measure(profile))
        except Exception as error:  # noqa: BLE001  a plug-in's code
            failed.append(f"The metric {name} could not be measured: {type(error).__name__}: {error}.")
        else:
            if math.isfinite(value):
                found.append(Score(metric=name, value=value))
            else:
                failed.append(f"The metric {name} is {value} here.")
    return tuple(found), " ".join(failed)


def place_on(axis: str, candidate: Candidate) -> float | None:
    """Return where a candidate stands on an axis; None before it was built, and where its metric gave no number."""
    if axis in AXES:
        if candidate.cost is None or candidate.memory is None:
            return None
        return float(amount(axis, candidate.cost, candidate.memory))
    return next((score.value for score in candidate.measures if score.metric == axis), None)
