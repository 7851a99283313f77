"""What a sensitivity is drawn from: a curve for each place, the most sensitive first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from effwidgets.records import DIVERGENCES, Sensitivity, SensitivityPoint, SensitivityRow
from effwidgets.units import seconds_text
from effwidgets.views.wire import VERSION
from effwidgets.views.words import clip, is_share, places, score_text, settings_text

__all__ = [
    "KEPT",
    "CurvePoint",
    "CurveRow",
    "SensitivityPayload",
    "divergence_text",
    "kept_text",
    "payload",
    "point_text",
]

KEPT = (0.75, 0.5, 0.25)
"""Shares of the work left at which curves are compared."""


class CurvePoint(TypedDict):
    """One setting. ``macs`` and ``params`` are shares of the whole model that it saves."""

    settings: str
    kept: float
    macs: float
    params: float
    divergence: float | None
    error: float | None
    score: float | None
    note: str


class CurveRow(TypedDict):
    """One place: a technique at some layers, its settings from weak to strong."""

    transform: str
    family: str
    layers: list[str]
    label: str
    technique: str
    at: list[float | None]
    """The divergence with each of ``kept`` left, between settings; None beyond the last."""
    planned: int
    points: list[CurvePoint]


class SensitivityPayload(TypedDict):
    """A sensitivity, the most sensitive place first."""

    view: Literal["sensitivity"]
    version: int
    origin: str
    title: str
    divergence: str
    unit: str
    metric: str
    better: str
    base: float | None
    as_share: bool
    rows: list[CurveRow]
    kept: list[float]
    """Those of `KEPT` that some curve reaches; ``at`` of each row goes with them."""
    done: int
    planned: int
    said: str
    skips: list[str]
    notes: list[str]


def payload(found: Sensitivity) -> SensitivityPayload:
    """Return what a sensitivity is drawn from; places without one divergence come last."""
    ranked = found.ranked()
    reached = [kept for kept in KEPT if any(_at(row, kept) is not None for row in ranked)]
    last = [row for row in found.rows if row not in ranked]
    base = found.base[0] if found.base else None
    scores = [point.score for point in found.points]
    return {
        "view": "sensitivity",
        "version": VERSION,
        "origin": found.origin,
        "title": found.model,
        "divergence": DIVERGENCES[found.divergence][:1].upper() + DIVERGENCES[found.divergence][1:],
        "unit": "nats" if found.divergence == "kl" else "",
        "metric": "" if base is None else base.metric,
        "better": found.better,
        "base": None if base is None else base.value,
        "as_share": base is not None and is_share(base.metric, [base.value, *scores]),
        "rows": [_row(found, row, reached) for row in (*ranked, *last)],
        "kept": reached,
        "done": len(found.points),
        "planned": sum(row.planned for row in found.rows),
        "said": _said(found),
        "skips": [f"{skip.transform} at {places(skip.layers)}: {skip.reason}" for skip in found.skips],
        "notes": list(found.notes),
    }


def _at(row: SensitivityRow, kept: float) -> float | None:
    # Beyond the last setting nothing is known; a hundredth is the rounding of a rank.
    known = [point.kept for point in row.points if point.divergence is not None]
    inside = bool(known) and min(known) - 0.01 <= kept <= max(known) + 0.01
    return row.at(kept) if inside else None


def _row(found: Sensitivity, row: SensitivityRow, reached: Sequence[float]) -> CurveRow:
    return {
        "transform": row.transform,
        "family": row.family,
        "layers": list(row.layers),
        "label": places(row.layers),
        "technique": row.transform.replace("_", " "),
        "at": [_at(row, kept) for kept in reached],
        "planned": row.planned,
        "points": [_point(found, point) for point in row.points],
    }


def _point(found: Sensitivity, point: SensitivityPoint) -> CurvePoint:
    whole = found.cost
    return {
        "settings": settings_text(point.step),
        "kept": point.kept,
        "macs": -point.change.macs / whole.macs if whole.macs else 0.0,
        "params": -point.change.params / whole.params if whole.params else 0.0,
        "divergence": point.divergence,
        "error": point.error,
        "score": point.score,
        "note": point.note,
    }


def _said(found: Sensitivity) -> str:
    on = f"on {found.held_out:,} sample{'s' * (found.held_out != 1)} held out" if found.fitted else "on the inputs"
    made = f"fitted and repaired with {found.fitted:,} others" if found.fitted else "nothing repaired"
    planned, done = sum(row.planned for row in found.rows), len(found.points)
    stand = f"{done:,} settings" if found.complete else f"{done:,} of {planned:,} settings so far"
    return f"{stand}, each alone, {made}, {on}; {seconds_text(found.seconds)}"


def divergence_text(value: float | None) -> str:
    """Write a divergence or an error to two digits.

    >>> divergence_text(0.01234), divergence_text(4.2e-7), divergence_text(0.0), divergence_text(None)
    ('0.012', '4.2e-07', '0', '–')
    """
    return "–" if value is None else f"{value:.2g}"


def kept_text(value: float) -> str:
    """Write a share of the work that is left.

    >>> kept_text(0.5)
    '50%'
    """
    return f"{value:.0%}"


def point_text(data: SensitivityPayload, row: CurveRow, point: CurvePoint) -> list[str]:
    """Say in short lines what one point is."""
    lines = [f"{clip(row['label'], 60)} · {row['technique']}, {point['settings']}"]
    lines.append(f"{kept_text(point['kept'])} of its work left, {point['macs']:.1%} of the model's FLOPs saved")
    unit = f" {data['unit']}" * bool(data["unit"])
    if point["divergence"] is not None:
        lines.append(f"{data['divergence']} {divergence_text(point['divergence'])}{unit}")
    if point["error"] is not None:
        lines.append(f"outputs move by {point['error']:.2%}")
    if point["score"] is not None:
        lines.append(f"{data['metric']} {score_text(point['score'], as_share=data['as_share'])}")
    return [*lines, *([clip(point["note"], 120)] if point["note"] else [])]
