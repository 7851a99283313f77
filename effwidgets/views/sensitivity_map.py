"""Sensitivity as a map: a line for each place, its settings from weak to strong, red where it hurts."""

from __future__ import annotations

import math
from typing import Any, Final

from effwidgets.views.figures import LAYOUT, QUIET, shown
from effwidgets.views.sensitivity_rows import (
    CurvePoint,
    CurveRow,
    SensitivityPayload,
    divergence_text,
    kept_text,
    point_text,
)

__all__ = ["draw_map"]

_MOST: Final = 120
_ROW = 20
# All of it is light enough for black numbers (6 to 1 on the last), on a page of any theme.
_SCALE: Final = ((0.0, "#fdf3dc"), (0.35, "#fbc97f"), (0.7, "#f58f5b"), (1.0, "#e5586b"))
_FEW_COLUMNS: Final = 8  # more than these leave no room for a number in each tile


def draw_map(data: SensitivityPayload) -> Any:
    """Draw a tile for each setting, the most sensitive place on top; its colour is the logarithm of the divergence."""
    from plotly import graph_objects

    rows = [row for row in data["rows"] if any(point["divergence"] for point in row["points"])][:_MOST]
    width = max((len(row["points"]) for row in rows), default=0)
    names = [f"{shown(row['label'], 36)} · {shown(row['technique'], 20)}" for row in rows]
    names = [name if names.count(name) == 1 else f"{name} ({place})" for place, name in enumerate(names)]
    tiles = [[_tile(row["points"], place) for place in range(width)] for row in rows]
    low = min(
        (math.log10(point["divergence"]) for row in rows for point in row["points"] if point["divergence"]), default=0
    )
    figure = graph_objects.Figure(layout=_layout(data, len(rows), width))
    figure.add_heatmap(
        x=list(range(1, width + 1)),
        y=names,
        z=[[_height(tile, low) for tile in line]
           for line in tiles],
        text=[["" if tile is None else _said(tile) for tile in line] for line in tiles],
        texttemplate="%{text}" if width <= _FEW_COLUMNS else "",
        textfont={"size": 11, "color": "#000"},
        customdata=[
            ["" if tile is None else _hover(data, row, tile) for tile in line]
            for row, line in zip(rows, tiles, strict=True)
        ],
        hovertemplate="%{customdata}<extra></extra>",
        hoverongaps=False,
        colorscale=_SCALE,
        xgap=2,
        ygap=2,
        colorbar=_bar(data),
    )  # fmt: skip
    return figure


def _tile(points: list[CurvePoint], place: int) -> CurvePoint | None:
    return points[place] if place < len(points) else None


def _height(tile: CurvePoint | None, low: float) -> float | None:
    # No divergence at all has the colour of the least there is.
    if tile is None or tile["divergence"] is None:
        return None
    return math.log10(tile["divergence"]) if tile["divergence"] else low


def _said(tile: CurvePoint) -> str:
    return f"{kept_text(tile['kept'])}: {divergence_text(tile['divergence'])}"


def _hover(data: SensitivityPayload, row: CurveRow, tile: CurvePoint) -> str:
    return "<br>".join(shown(line, 140) for line in point_text(data, row, tile))


def _bar(data: SensitivityPayload) -> dict[str, Any]:
    values = [math.log10(point["divergence"]) for row in data["rows"] for point in row["points"] if point["divergence"]]
    ticks = list(range(math.floor(min(values, default=0)), math.ceil(max(values, default=0)) + 1))
    ticks = ticks[:: 1 + len(ticks) // 8]
    unit = f", {data['unit']}" * bool(data["unit"])
    return {
        "title": {"text": f"{data['divergence']}{unit}", "side": "right"},
        "tickvals": ticks,
        "ticktext": [f"10<sup>{tick}</sup>" if tick else "1" for tick in ticks],
        "tickcolor": QUIET,
        "thickness": 14,
        "outlinewidth": 0,
    }


def _layout(data: SensitivityPayload, rows: int, width: int) -> dict[str, Any]:
    plain = {"showgrid": False, "zeroline": False, "ticks": "", "automargin": True}
    steps = list(range(1, width + 1))
    words = ["weakest", *("" for _ in steps[1:-1]), "strongest"] if width > 1 else ["the one setting"] * width
    return {
        **LAYOUT,
        "title": {"text": f"{shown(data['title'], 60)}: what each setting does alone", "x": 0, "xref": "paper"},
        "height": 150 + _ROW * max(rows, 4),
        "xaxis": {**plain, "tickvals": steps, "ticktext": words, "side": "top"},
        "yaxis": {**plain, "autorange": "reversed", "type": "category", "dtick": 1, "tickfont": {"size": 11}},
    }
