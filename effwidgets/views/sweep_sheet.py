"""A sweep as a table of typed columns, and as a table for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from effwidgets.records import Cost, Sweep, View
from effwidgets.units import shape_text
from effwidgets.views.sheet import Field, checked, csv_text, escaped, frame, pipe_table
from effwidgets.views.sweep_rows import COSTS, payload
from effwidgets.views.words import amount

__all__ = ["CSV", "FRAME", "MARKDOWN", "columns_of"]

_COSTS = (*(part.name for part in fields(Cost)), "inference_peak_bytes", "training_peak_bytes")
_USUAL = ("macs", "inference_peak_bytes", "saved_bytes", "training_peak_bytes")


def columns_of(found: Sweep) -> list[Field]:
    """Return a row for each size; no numbers where the model does not run."""
    points = found.points
    memories = [point.memory for point in points]
    return [
        Field(found.axis, "int", [point.size for point in points]),
        Field("inputs", "text", [" ".join("x".join(map(str, shape)) for shape in point.inputs) for point in points]),
        *(Field(key, "some_int", [point.value(key) for point in points]) for key in _COSTS),
        Field("inference_peak_at", "text", [None if one is None else one.inference_peak_at for one in memories]),
        Field("training_peak_at", "text", [None if one is None else one.training_peak_at for one in memories]),
        Field("uncounted_ops", "int", [sum(one.times for one in point.uncounted) for point in points]),
        Field("note", "text", [point.note for point in points]),
    ]


def draw_frame(found: Sweep) -> Any:
    """Return a ``pandas.DataFrame``; its ``attrs`` carry the formulas."""
    facts = {
        "model": found.model,
        "changed": list(found.changed),
        "growth": {growth.quantity: growth.formula() for growth in found.growth},
        "conventions": "MACs are multiply-accumulates; FLOPs = 2 x MACs.",
        "notes": list(found.notes),
    }
    return frame(columns_of(found), facts)


def draw_markdown(found: Sweep, depth: int = 1, columns: Sequence[str] | None = None) -> str:
    """Return a row for each size, by ``columns``, and how each of them grows; ``depth`` changes nothing in a sweep."""
    keys = checked(depth, columns, COSTS, _USUAL)
    data = payload(found)
    formulas = {row["key"]: row["formula"] for row in data["growth"]}
    shapes = {point.size: ", ".join(map(shape_text, point.inputs)) for point in found.points}
    rows = [
        [f"{row['size']:,}", shapes[row["size"]], *(amount(key, row["values"][key]) for key in keys)]
        for row in data["rows"]
    ]
    rows.append(["n", "", *(escaped(formulas.get(key, "")) for key in keys)])
    titles = {key: f"{title} (2 × MACs)" if key.endswith("macs") else title for key, title in COSTS.items()}
    head = [data["axis"].capitalize(), "Input", *(titles[key] for key in keys)]
    lines = pipe_table(head, rows, [True, False, *(True for _ in keys)])
    return "\n".join([*lines, "", f"{escaped(data['title'])} over {data['what']}, {data['mode']}."]) + "\n"


FRAME = View(shows=Sweep, medium="frame", draw=draw_frame, title="Sizes as a pandas table", default=True)
CSV = View(
    shows=Sweep, medium="csv", draw=lambda found: csv_text(columns_of(found)), title="Sizes as CSV", default=True
)
MARKDOWN = View(shows=Sweep, medium="markdown", draw=draw_markdown, title="Cost by size", default=True)
