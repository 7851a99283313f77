"""A model at several sizes of its input, and how each cost grows."""

from __future__ import annotations

from effwidgets.records import Sweep, View
from effwidgets.views.sweep_figure import draw_figure
from effwidgets.views.sweep_html import draw_html
from effwidgets.views.sweep_rows import COSTS, SizeRow, SweepPayload, payload
from effwidgets.views.texttable import Column, fold, plain, table
from effwidgets.views.words import amount, clip

__all__ = ["FIGURE", "HTML", "TEXT", "payload"]

_SHOWN = ("macs", "inference_peak_bytes", "saved_bytes", "training_peak_bytes")


def draw_text(found: Sweep) -> str:
    """Write a sweep for a terminal: each size, how each cost grows, and the layers that make it grow."""
    data = payload(found)
    head = [f"{plain(clip(data['title']))} over {data['what']}", plain(data["changed"]), data["mode"]]
    lines = [" · ".join(filter(None, head)), "", *_sizes(data)]
    if data["growth"]:
        rows = [[row["title"], row["kind"], row["formula"], row["remark"]] for row in data["growth"]]
        lines += ["", *table([Column(name) for name in ("Cost", "Grows", f"n is {data['what']}", "How sure")], rows)]
    if data["layers"]:
        columns = [Column("Grows most"), Column("Layer"), Column("Share", right=True), Column("")]
        layers = [
            [COSTS[row["key"]], clip(row["layer"], 48) or "the model itself", f"{row['share']:.0%}", row["formula"]]
            for row in data["layers"]
        ]
        lines += ["", *table(columns, layers)]
    lines += ["", "FLOPs are 2 × MACs of matrix-like work. Formulas hold at these sizes; elsewhere they extrapolate."]
    return "\n".join([*lines, *fold(data["notes"])])


def _sizes(data: SweepPayload) -> list[str]:
    columns = [Column(data["axis"].capitalize(), right=True), *(Column(COSTS[key], right=True) for key in _SHOWN)]
    lines = table([*columns, Column("Peaks at")], [_row(row) for row in data["rows"]])
    for row in data["rows"]:
        if row["note"]:
            lines += fold([f"At {row['size']:,}: {clip(row['note'], 400)}"])
    return lines


def _row(row: SizeRow) -> list[str]:
    if row["values"]["macs"] is None:
        return [f"{row['size']:,}", *("–" for _ in _SHOWN), "does not run, see below"]
    numbers = [f"{'≥ ' * row['least'][key]}{amount(key, row['values'][key])}" for key in _SHOWN]
    named = [
        clip(at, 24) or "the model itself"
        for at in (row["inference_peak_at"], row["training_peak_at"])
        if at is not None
    ]
    return [f"{row['size']:,}", *numbers, ", ".join(dict.fromkeys(named))]


TEXT = View(shows=Sweep, medium="text", draw=draw_text, title="Cost by size", default=True)
HTML = View(
    shows=Sweep, medium="html", draw=lambda found: draw_html(payload(found)), title="Cost by size", default=True
)
FIGURE = View(
    shows=Sweep, medium="figure", draw=lambda found: draw_figure(payload(found)), title="Cost by size", default=True
)
