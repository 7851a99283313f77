"""The cells of a suggestion that are written alike in text and HTML."""

from __future__ import annotations

from effwidgets.units import percent_text
from effwidgets.views.wire import SuggestionRow, SuggestionsPayload
from effwidgets.views.words import share

__all__ = ["found_scores", "peak_text", "score_text", "time_text"]


def time_text(row: SuggestionRow) -> str:
    """Write the measured change of the time, with its sign and how far it may be off.

    >>> from typing import Any, cast
    >>> row: Any = {"latency": -0.125, "latency_error": 0.004}
    >>> time_text(row), time_text(cast("Any", {"latency": None, "latency_error": None}))
    ('−12.5% ± 0.4%', '–')
    """
    change, error = row["latency"], row["latency_error"]
    if change is None or error is None:
        return "–"
    sign = "−" if change < 0 else "+" if change > 0 else ""
    return f"{sign}{abs(change):.1%} ± {error:.1%}"


def peak_text(row: SuggestionRow, data: SuggestionsPayload) -> str:
    """Write the change of the inference peak as a share of it."""
    change, whole = row["inference_peak_bytes"], data["totals"]["inference_peak_bytes"]
    return "–" if change is None or not whole else percent_text(share(change, whole))


def score_text(score: float | None) -> str:
    """Write a score in four digits."""
    return "–" if score is None else f"{score:.4g}"


def found_scores(data: SuggestionsPayload) -> bool:
    """Say whether anything was scored, so that the column is worth its place."""
    return any(row["score"] is not None for row in data["rows"])
