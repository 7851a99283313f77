"""Where it hurts: a line for each place, the most sensitive first."""

from __future__ import annotations

from effwidgets.records import Sensitivity, View
from effwidgets.views.sensitivity_figure import AXES, draw_figure
from effwidgets.views.sensitivity_html import draw_html
from effwidgets.views.sensitivity_map import draw_map
from effwidgets.views.sensitivity_rows import CurveRow, SensitivityPayload, divergence_text, kept_text, payload
from effwidgets.views.texttable import Column, fold, plain, table
from effwidgets.views.words import clip, score_text

__all__ = ["FIGURE", "HTML", "MAP", "TEXT", "payload"]

_ROWS = 60


def draw_text(found: Sensitivity) -> str:
    """Write a line for each place: the divergence with three shares of its work left, and the strongest setting."""
    data = payload(found)
    lines = [f"Sensitivity of {plain(clip(data['title']))}: {data['said']}", ""]
    heads = [
        Column("Place"),
        Column("Technique"),
        *(Column(f"{kept_text(kept)} left", right=True) for kept in data["kept"]),
    ]
    heads += [Column("Strongest", right=True), Column("gives", right=True)]
    heads += [Column(data["metric"], right=True)] if data["metric"] else []
    rows = [_row(data, row) for row in data["rows"][:_ROWS]]
    lines += table(heads, rows) if rows else ["There is no place to try."]
    if len(data["rows"]) > len(rows):
        lines.append(f"… and {len(data['rows']) - len(rows):,} more places.")
    unit = f", in {data['unit']}" * bool(data["unit"])
    said = f"{data['divergence']} of the outputs{unit}; 0 is no change. Left is the share of the FLOPs of the layers."
    base = "" if data["base"] is None else f" As it is: {data['metric']} {_score(data, data['base'])}."
    return "\n".join([*lines, "", *fold([said + base, *data["notes"]]), *fold(data["skips"][:12], indent="  ")])


def _row(data: SensitivityPayload, row: CurveRow) -> list[str]:
    last = row["points"][-1] if row["points"] else None
    cells = [clip(row["label"], 40), row["technique"], *map(divergence_text, row["at"])]
    cells += ["–", "–"] if last is None else [kept_text(last["kept"]), divergence_text(last["divergence"])]
    return [*cells, *([_score(data, None if last is None else last["score"])] if data["metric"] else [])]


def _score(data: SensitivityPayload, value: float | None) -> str:
    return score_text(value, as_share=data["as_share"])


TEXT = View(shows=Sensitivity, medium="text", draw=draw_text, title="Sensitivity by place", default=True)
HTML = View(
    shows=Sensitivity,
    medium="html",
    draw=lambda found: draw_html(payload(found)),
    title="Sensitivity by place",
    default=True,
)
FIGURE = View(
    shows=Sensitivity,
    medium="figure",
    draw=lambda found, by=None: draw_figure(payload(found), by or "kept"),
    title="Sensitivity curves",
    default=True,
    by=tuple(AXES),
)
MAP = View(shows=Sensitivity, medium="figure", draw=lambda found: draw_map(payload(found)), title="Sensitivity map")
