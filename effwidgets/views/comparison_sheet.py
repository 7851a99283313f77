"""A comparison as a table of typed columns, and as a table for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from effwidgets.records import Comparison, Cost, View
from effwidgets.units import seconds_text
from effwidgets.views.comparison_rows import COLUMNS, payload
from effwidgets.views.sheet import Field, checked, csv_text, escaped, frame, pipe_table
from effwidgets.views.signed import part_text, signed_amount
from effwidgets.views.words import amount

__all__ = ["CSV", "FRAME", "MARKDOWN", "columns_of"]

_COSTS = tuple(part.name for part in fields(Cost))


def columns_of(found: Comparison) -> list[Field]:
    """Return a row for each layer of either profile: what became of it, then each cost before, after and its change."""
    layers = found.layers
    told = ["; ".join(map(str, layer.facts)) for layer in layers]
    columns = [
        Field("layer", "text", [layer.name for layer in layers]),
        Field("state", "text", [layer.state for layer in layers]),
        Field("part_of", "text", [layer.part_of for layer in layers]),
        Field("kind_before", "text", [layer.before_kind for layer in layers]),
        Field("kind_after", "text", [layer.after_kind for layer in layers]),
        Field("facts", "text", told),
    ]
    for key in _COSTS:
        columns.append(Field(f"{key}_before", "int", [getattr(layer.before, key) for layer in layers]))
        columns.append(Field(f"{key}_after", "int", [getattr(layer.after, key) for layer in layers]))
        columns.append(Field(f"{key}_change", "int", [getattr(layer.change, key) for layer in layers]))
        columns.append(Field(f"own_{key}_change", "int", [getattr(layer.own_change, key) for layer in layers]))
    columns.append(Field("latency_before_s", "float", [layer.latency_before_s for layer in layers]))
    columns.append(Field("latency_after_s", "float", [layer.latency_after_s for layer in layers]))
    return columns


def draw_frame(found: Comparison) -> Any:
    """Return a ``pandas.DataFrame``; its ``attrs`` carry the warnings."""
    facts = {
        "before": found.before.model,
        "after": found.after.model,
        "conventions": "MACs are multiply-accumulates; FLOPs = 2 x MACs; a change is after minus before.",
        "warnings": list(found.warnings),
        "notes": list(found.notes),
    }
    return frame(columns_of(found), facts)


def draw_markdown(found: Comparison, depth: int = 1, columns: Sequence[str] | None = None) -> str:
    """Return the totals, before, after and change; and the layers down to ``depth`` that differ, by ``columns``."""
    keys = checked(depth, columns, COLUMNS, tuple(COLUMNS))
    data = payload(found)
    rows = [
        [row["title"], _amount(row["key"], row["before"]), _amount(row["key"], row["after"]),
         signed_amount(row["key"], _less(row["after"], row["before"])), part_text(row["before"], row["after"])]
        for row in data["totals"]
    ]  # fmt: skip
    lines = pipe_table(["", "Before", "After", "Change", "%"], rows, [False, True, True, True, True])
    inside = [row for row in data["rows"] if 0 < row["depth"] <= depth]
    if inside:
        titles = {key: "FLOPs (2 × MACs)" if key == "macs" else title for key, title in COLUMNS.items()}
        head = ["Layer", "What", *(f"{titles[key]}{when}" for key in keys for when in (", before", ", after"))]
        cells = [
            [escaped(row["name"]), escaped(" ".join(filter(None, (row["kind"], row["told"])))),
             *(amount(key, side.get(key)) for key in keys for side in (row["before"], row["after"]))]
            for row in inside
        ]  # fmt: skip
        lines += ["", *pipe_table(head, cells, [False, False, *([True] * (2 * len(keys)))])]
    said = f"{escaped(data['title'])}, input {escaped(data['inputs'])}. Numbers count what is inside of a layer."
    return "\n".join([*lines, "", " ".join([said, *map(escaped, data["warnings"])])]) + "\n"


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _amount(key: str, value: float | None) -> str:
    return seconds_text(value) if key == "latency_s" and value is not None else amount(key, value)


FRAME = View(shows=Comparison, medium="frame", draw=draw_frame, title="Layers as a pandas table", default=True)
CSV = View(
    shows=Comparison, medium="csv", draw=lambda found: csv_text(columns_of(found)), title="Layers as CSV", default=True
)
MARKDOWN = View(shows=Comparison, medium="markdown", draw=draw_markdown, title="Before and after", default=True)
