"""The Pareto view as a plotly figure, for papers and reports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from effwidgets.views.families import family
from effwidgets.views.figures import QUIET, SYMBOLS, TEMPLATE, shown
from effwidgets.views.rungs import source_text, way_up
from effwidgets.views.scale import staircase
from effwidgets.views.wire import CandidateRow, ParetoPayload
from effwidgets.views.words import amount, score_writer, shown_name

__all__ = ["draw_figure"]


def draw_figure(data: ParetoPayload) -> Any:
    """Return a scatter over the default cost axis: one trace for each family, and the front as a staircase."""
    from plotly import graph_objects

    axis = data["axes"][0]
    rows = [row for row in data["candidates"] if row["values"].get(axis) is not None]
    rows = [row for row in rows if row["values"]["score"] is not None]
    figure = graph_objects.Figure(layout=_layout(data, axis))
    front = {number: row for number in data["fronts"].get(axis, []) for row in rows if row["number"] == number}
    if front:
        right = 1.04 * max(_at(row, axis) for row in rows)
        steps = staircase([(_at(row, axis), row["values"]["score"] or 0.0) for row in front.values()], right)
        figure.add_scatter(
            x=[cost for cost, _ in steps],
            y=[score for _, score in steps],
            mode="lines",
            line={"color": "#2b62cf", "width": 2},
            name="Front",
            hoverinfo="skip",
        )
    write = score_writer(data)
    for name in dict.fromkeys(row["family"] for row in rows):
        known = [row for row in rows if row["family"] == name]
        _add_family(figure, known, axis, set(front))
        figure.data[-1].text = [_hover(row, axis, write) for row in known]
    return figure


def _at(row: CandidateRow, axis: str) -> float:
    value = row["values"][axis] or 0.0
    return 2 * value if axis == "macs" else value


def _add_family(figure: Any, rows: list[CandidateRow], axis: str, front: set[int]) -> None:
    name = rows[0]["family"]
    look = family(name)
    figure.add_scatter(
        x=[_at(row, axis) for row in rows],
        y=[row["values"]["score"] for row in rows],
        mode="markers",
        name=look.title,
        marker={
            "symbol": [SYMBOLS[look.shape] + "-open" * (row["rung"] == "zero-shot") for row in rows],
            "color": look.light,
            "size": 14 if name == "dense" else 10,
            "line": {"width": 3 if name == "dense" else 1, "color": look.light if name == "dense" else "#fff"},
            "opacity": [1.0 if row["number"] in front or name == "dense" else 0.45 for row in rows],
        },
        error_x=_errors(rows, axis),
        error_y=_errors(rows, "score"),
        customdata=[row["number"] for row in rows],
        hovertemplate="%{text}<extra></extra>",
    )


def _errors(rows: list[CandidateRow], key: str) -> dict[str, Any]:
    # Half-widths of intervals; a key without any is drawn without bars.
    factor = 2 if key == "macs" else 1
    found = [factor * row["errors"].get(key, 0.0) for row in rows]
    return {"type": "data", "array": found, "visible": any(found), "thickness": 1, "width": 3}


def _hover(row: CandidateRow, axis: str, write: Callable[[float | None], str]) -> str:
    steps = [
        f"{shown(step['transform'].replace('_', ' '))} {shown(', '.join(step['layers']), 50)}, "
        f"{shown(step['settings'], 200)}"
        for step in row["steps"][:6]
    ]
    more = [f"and {len(row['steps']) - 6} more steps"] if len(row["steps"]) > 6 else []
    head = f"<b>Candidate {row['number']}</b>: {shown(row['label'], 80)}"
    said = f"{write(row['values']['score'])} at {amount(axis, row['values'][axis])} {shown_name(axis)}"
    rung = "" if row["rung"] == "dense" else "; ".join(filter(None, (way_up(row, write), source_text(row["source"]))))
    return "<br>".join([head, said, *filter(None, (shown(rung, 200),)), *steps, *more])


def _layout(data: ParetoPayload, axis: str) -> dict[str, Any]:
    unit = " (2 × MACs)" if axis == "macs" else ""
    limit = data["budgets"].get(axis)
    at = None if limit is None else 2 * limit if axis == "macs" else limit
    line = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "line": {"dash": "dash", "width": 1, "color": QUIET}}
    note = {"yref": "paper", "y": 1.04, "showarrow": False, "text": f"≤ {amount(axis, limit)}"}
    return {
        **TEMPLATE,
        "title": {"text": f"{shown(data['title'])}: {shown(data['metric'])} against {shown_name(axis)}"},
        "xaxis": {"title": {"text": f"{shown_name(axis)}{unit}, less is better"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": f"{shown(data['metric'])}, {data['metric_better']} is better"}},
        "legend": {"orientation": "h", "y": -0.2},
        "shapes": [] if at is None else [{**line, "x0": at, "x1": at}],
        "annotations": [] if at is None else [{**note, "x": at}],
    }
