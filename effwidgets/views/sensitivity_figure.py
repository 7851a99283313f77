"""Sensitivity as curves: how far the outputs part the less is left, one line for each place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from effwidgets.views.families import family
from effwidgets.views.figures import LAYOUT, QUIET, SYMBOLS, shown
from effwidgets.views.sensitivity_rows import CurvePoint, CurveRow, SensitivityPayload, point_text

__all__ = ["AXES", "draw_figure"]

AXES: Final = {
    "kept": "Work left of the layers that change (share of their FLOPs)",
    "macs": "Saved of the model's FLOPs",
    "params": "Saved of the model's parameters",
}
"""What the curves may run over."""

_TOP = 8
# Each stands out from white and from #111111 by 3 to 1 at least; neighbours differ in lightness too.
_COLOURS: Final = ("#d1495b", "#2f80ed", "#c77700", "#12936f", "#9b6bdf", "#b3539b", "#7c8a00", "#00909e")
_FAINT: Final = "rgba(128,134,142,0.35)"
_GRID: Final = "rgba(128,134,142,0.22)"


def draw_figure(data: SensitivityPayload, by: str = "kept") -> Any:
    """Draw a line for each place; a few stand out, all others are faint: a menu chooses which.

    Args:
        data: the payload.
        by: what the curves run over, one of `AXES`.
    """
    from plotly import graph_objects

    rows = [row for row in data["rows"] if any(point["divergence"] is not None for point in row["points"])]
    choices = _choices(rows)
    looks = [_look(rows, chosen) for _, chosen in choices]
    figure = graph_objects.Figure(layout=_layout(data, by))
    for number, row in enumerate(rows):
        points = [point for point in row["points"] if point["divergence"] is not None]
        figure.add_scatter(
            x=[point[by] for point in points],  # type: ignore[literal-required]
            y=_heights(points, "divergence"),
            name=_name(row),
            mode="lines+markers",
            line={"color": looks[0]["line.color"][number], "width": looks[0]["line.width"][number]},
            marker={
                "symbol": SYMBOLS[family(row["family"]).shape],
                "size": looks[0]["marker.size"][number],
                "color": looks[0]["marker.color"][number],
            },
            showlegend=looks[0]["showlegend"][number],
            legendrank=number + 1,
            text=["<br>".join(shown(line, 140) for line in point_text(data, row, point)) for point in points],
            hovertemplate="%{text}<extra></extra>",
        )
    menus = [_menu(choices, looks)] if rows else []
    if data["metric"] and rows:
        menus.append(_scored(data, rows))
    figure.update_layout(updatemenus=menus)
    return figure


def _name(row: CurveRow) -> str:
    return f"{shown(row['label'], 30)} · {shown(row['technique'], 24)}"


def _heights(points: Sequence[CurvePoint], key: str) -> list[float | None]:
    # A logarithm has no zero: what does not part at all is left out of the line; its table has it.
    values = [point["divergence"] if key == "divergence" else point["score"] for point in points]
    return [None if value is None or (key == "divergence" and value <= 0) else value for value in values]


def _choices(rows: Sequence[CurveRow]) -> list[tuple[str, list[int]]]:
    # What may stand out, by number; the rows come most sensitive first.
    every = list(range(len(rows)))
    choices = [(f"The {min(_TOP, len(rows))} most sensitive", every[:_TOP])]
    if len(rows) > _TOP:
        choices.append((f"The {_TOP} least sensitive", every[-_TOP:]))
    for technique in dict.fromkeys(row["technique"] for row in rows):
        own = [number for number in every if rows[number]["technique"] == technique]
        many = f", {_TOP} most sensitive" if len(own) > _TOP else ""
        choices.append((f"{shown(technique, 30).capitalize()}{many}", own[:_TOP]))
    return choices


def _look(rows: Sequence[CurveRow], chosen: Sequence[int]) -> dict[str, list[Any]]:
    order = {number: place for place, number in enumerate(chosen)}
    colours = [_COLOURS[order[number] % len(_COLOURS)] if number in order else _FAINT for number in range(len(rows))]
    return {
        "line.color": colours,
        "marker.color": colours,
        "line.width": [2.5 if number in order else 1 for number in range(len(rows))],
        "marker.size": [8 if number in order else 3 for number in range(len(rows))],
        "showlegend": [number in order for number in range(len(rows))],
    }


# An open menu lies over the curves, so its ground is painted; plotly's own for what is active is #F4FAFF.
_BUTTONS: Final = {
    "bgcolor": "#dde2e8",
    "bordercolor": "#b9c1ca",
    "font": {"color": "#343b45", "size": 12},
    "x": 0,
    "xanchor": "left",
    "yanchor": "bottom",
    "pad": {"t": 4, "b": 6},
    "showactive": True,
}


def _menu(choices: Sequence[tuple[str, list[int]]], looks: Sequence[dict[str, list[Any]]]) -> dict[str, Any]:
    buttons = [
        {"label": label, "method": "restyle", "args": [look]} for (label, _), look in zip(choices, looks, strict=True)
    ]
    return {**_BUTTONS, "type": "dropdown", "buttons": buttons, "y": 1.0}


def _scored(data: SensitivityPayload, rows: Sequence[CurveRow]) -> dict[str, Any]:
    points = [[point for point in row["points"] if point["divergence"] is not None] for row in rows]
    buttons = [
        {
            "label": label,
            "method": "update",
            "args": [{"y": [_heights(one, key) for one in points]}, {"yaxis": axis, "shapes": shapes}],
        }
        for label, key, axis, shapes in (
            ("Divergence", "divergence", _divergence_axis(data), []),
            (shown(data["metric"], 24), "score", _score_axis(data), _base_line(data)),
        )
    ]
    return {
        **_BUTTONS,
        "type": "buttons",
        "direction": "right",
        "buttons": buttons,
        "x": 1,
        "xanchor": "right",
        "y": 1.0,
    }


def _axis(title: str) -> dict[str, Any]:
    line = {"gridcolor": _GRID, "linecolor": QUIET, "zeroline": False, "ticks": "outside", "tickcolor": QUIET}
    return {**line, "title": {"text": title}, "automargin": True}


def _divergence_axis(data: SensitivityPayload) -> dict[str, Any]:
    unit = f", {data['unit']}" * bool(data["unit"])
    axis = _axis(f"{data['divergence']}{unit}, less is better")
    places, words = _ticks([point["divergence"] for row in data["rows"] for point in row["points"]])
    return {**axis, "type": "log", "tickvals": places, "ticktext": words}


def _ticks(values: Sequence[float | None]) -> tuple[list[float], list[str]]:
    # Powers of ten; where there are fewer than two decades also what lies between.
    logs = [math.log10(value) for value in values if value]
    low, high = math.floor(min(logs, default=0)), math.ceil(max(logs, default=0))
    if max(logs, default=0) - min(logs, default=0) < 2:
        leads = (1, 2, 5) if max(logs, default=0) - min(logs, default=0) > 1 else (1, 1.5, 2, 3, 4, 5, 7)
        places = [lead * 10.0**power for power in range(low, high + 1) for lead in leads]
        return places, [f"{place:.3g}" for place in places]
    powers = range(low, high + 1, 1 + (high - low) // 9)
    return [10.0**power for power in powers], [f"10<sup>{power}</sup>" if power else "1" for power in powers]


def _score_axis(data: SensitivityPayload) -> dict[str, Any]:
    axis = _axis(f"{shown(data['metric'])}, {data['better']} is better")
    return {**axis, "type": "linear", "tickformat": ".0%" if data["as_share"] else ""}


def _base_line(data: SensitivityPayload) -> list[dict[str, Any]]:
    line = {"color": QUIET, "width": 1, "dash": "dot"}
    told = {"text": "as it is", "font": {"color": QUIET}, "textposition": "end"}
    return [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": data["base"], "y1": data["base"], "line": line,
             "label": told}]  # fmt: skip


def _layout(data: SensitivityPayload, by: str) -> dict[str, Any]:
    stronger = {"autorange": "reversed"} if by == "kept" else {"rangemode": "tozero"}
    return {
        **LAYOUT,
        "title": {"text": f"{shown(data['title'], 60)}: what each place suffers alone", "x": 0, "xref": "paper"},
        "height": 560,
        "margin": {"l": 12, "r": 12, "t": 104, "b": 12},
        "xaxis": {**_axis(f"{AXES[by]}, stronger to the right"), "tickformat": ".0%", **stronger},
        "yaxis": _divergence_axis(data),
        "hovermode": "closest",
        "legend": {"x": 1.02, "y": 1, "xanchor": "left", "yanchor": "top", "title": {"text": "Most sensitive first"}},
    }
