"""A sensitivity as a table of typed columns, a row for each setting, and as a table for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from effwidgets.records import Cost, Sensitivity, View
from effwidgets.views.sensitivity_rows import KEPT, divergence_text, kept_text, payload
from effwidgets.views.sheet import Field, checked, csv_text, escaped, frame, pipe_table
from effwidgets.views.words import score_text

__all__ = ["CSV", "FRAME", "MARKDOWN", "columns_of"]

_COSTS = tuple(part.name for part in fields(Cost))
_COLUMNS = {**{f"at_{kept:g}": f"{kept_text(kept)} left" for kept in KEPT}, "strongest": "Strongest", "score": "Score"}


def columns_of(found: Sensitivity) -> list[Field]:
    """Return a row for each point, place by place in the order of the layers."""
    pairs = [(row, point) for row in found.rows for point in row.points]
    names = dict.fromkeys(score.metric for _, point in pairs for score in point.scores)
    scores = [{score.metric: score.value for score in point.scores} for _, point in pairs]
    return [
        Field("layers", "text", [" ".join(row.layers) for row, _ in pairs]),
        Field("transform", "text", [row.transform for row, _ in pairs]),
        Field("family", "text", [row.family for row, _ in pairs]),
        Field("settings", "text", [" ".join(f"{k}={v}" for k, v in point.step.settings) for _, point in pairs]),
        Field("kept", "float", [point.kept for _, point in pairs]),
        Field("divergence", "float", [point.divergence for _, point in pairs]),
        Field("error", "float", [point.error for _, point in pairs]),
        *(Field(f"score_{name}", "float", [values.get(name) for values in scores]) for name in names),
        *(Field(f"{key}_change", "int", [getattr(point.change, key) for _, point in pairs]) for key in _COSTS),
        Field("seconds", "float", [point.seconds for _, point in pairs]),
        Field("note", "text", [point.note for _, point in pairs]),
    ]


def draw_frame(found: Sensitivity) -> Any:
    """Return a ``pandas.DataFrame``; its ``attrs`` say what the divergence is and on how many samples."""
    facts = {
        "model": found.model,
        "divergence": payload(found)["divergence"],
        "base": {score.metric: score.value for score in found.base},
        "fitted": found.fitted,
        "held_out": found.held_out,
        "complete": found.complete,
        "conventions": "kept: share of the MACs left of the layers that change; a change is after minus before.",
        "notes": list(found.notes),
    }
    return frame(columns_of(found), facts)


def draw_markdown(found: Sensitivity, depth: int = 1, columns: Sequence[str] | None = None) -> str:
    """Return a row for each place, most sensitive first, by ``columns``; ``depth`` changes nothing here."""
    data = payload(found)
    usual = tuple(key for key in _COLUMNS if key != "score" or data["metric"])
    keys = checked(depth, columns, _COLUMNS, usual)
    titles = {**_COLUMNS, "score": escaped(data["metric"]) or "Score"}
    rows = []
    for row in data["rows"]:
        last = row["points"][-1] if row["points"] else None
        cells = {f"at_{kept:g}": divergence_text(value) for kept, value in zip(data["kept"], row["at"], strict=True)}
        cells["strongest"] = (
            "–" if last is None else f"{divergence_text(last['divergence'])} at {kept_text(last['kept'])}"
        )
        cells["score"] = score_text(None if last is None else last["score"], as_share=data["as_share"])
        rows.append([escaped(row["label"]), escaped(row["technique"]), *(cells.get(key, "–") for key in keys)])
    head = ["Place", "Technique", *(titles[key] for key in keys)]
    lines = pipe_table(head, rows, [False, False, *(True for _ in keys)])
    unit = f" in {data['unit']}" * bool(data["unit"])
    said = f"{escaped(data['title'])}: {data['divergence']}{unit}, {escaped(data['said'])}."
    return "\n".join([*lines, "", said]) + "\n"


FRAME = View(shows=Sensitivity, medium="frame", draw=draw_frame, title="Settings as a pandas table", default=True)
CSV = View(
    shows=Sensitivity,
    medium="csv",
    draw=lambda found: csv_text(columns_of(found)),
    title="Settings as CSV",
    default=True,
)
MARKDOWN = View(shows=Sensitivity, medium="markdown", draw=draw_markdown, title="Sensitivity by place", default=True)
