"""A sweep as lines: work on the left, bytes on the right."""

from __future__ import annotations

from typing import Any

from effwidgets.views.figures import TEMPLATE, shown
from effwidgets.views.sweep_rows import COSTS, SweepPayload
from effwidgets.views.words import amount

__all__ = ["draw_figure"]

_WIDE = 8  # from this ratio of largest to smallest on, both axes are logarithmic
_LEFT = (("macs", "#2b62cf", "circle", "solid"), ("backward_macs", "#6f51c4", "diamond", "dot"))
_RIGHT = (
    ("inference_peak_bytes", "#17845a", "circle", "solid"),
    ("saved_bytes", "#c2620b", "square", "dash"),
    ("training_peak_bytes", "#b02a6b", "diamond", "dot"),
)


def draw_figure(data: SweepPayload) -> Any:
    """Draw each cost over the sizes at which the model runs; logarithmic where the ranges ask for it."""
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=2, subplot_titles=("Work", "Memory"), horizontal_spacing=0.12)
    formulas = {row["key"]: row["formula"] or row["kind"] for row in data["growth"]}
    for column, costs in ((1, _LEFT), (2, _RIGHT)):
        for key, colour, symbol, dash in costs:
            rows = [(row, row["values"][key]) for row in data["rows"]]
            points = [(row, value) for row, value in rows if value]
            if not points:
                continue
            figure.add_scatter(
                x=[row["size"] for row, _ in points],
                y=[value * (2 if key.endswith("macs") else 1) for _, value in points],
                name=COSTS[key],
                mode="lines+markers",
                line={"color": colour, "dash": dash, "width": 2},
                marker={"symbol": symbol, "size": 8},
                text=[
                    f"<b>{row['size']:,}</b>: {amount(key, value)}"
                    f"{_at(row['inference_peak_at'] if key == 'inference_peak_bytes' else None)}"
                    f"{_at(row['training_peak_at'] if key == 'training_peak_bytes' else None)}"
                    f"<br>{COSTS[key]}: {shown(formulas.get(key, ''), 120)}"
                    for row, value in points
                ],
                hovertemplate="%{text}<extra></extra>",
                row=1,
                col=column,
            )
    _lay_out(figure, data)
    return figure


def _at(layer: str | None) -> str:
    return "" if layer is None else f" at {shown(layer, 40) or 'the model itself'}"


def _lay_out(figure: Any, data: SweepPayload) -> None:
    figure.update_layout(
        **TEMPLATE,
        height=440,
        title={"text": f"{shown(data['title'], 120)} over {data['what']}", "x": 0, "xref": "paper"},
        legend={"orientation": "h", "y": -0.22},
    )
    sizes = [row["size"] for row in data["rows"] if row["values"]["macs"] is not None]
    wide = bool(sizes) and max(sizes) >= _WIDE * min(sizes)
    figure.update_xaxes(
        title_text=data["axis"].capitalize(),
        type="log" if wide else "linear",
        tickvals=sizes[:: 1 + len(sizes) // 9],
        ticktext=[f"{size:,}" for size in sizes[:: 1 + len(sizes) // 9]],
    )
    if wide:
        figure.update_yaxes(type="log", dtick="D2")
    else:
        figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title_text="FLOPs (2 × MACs)", exponentformat="SI", row=1, col=1)
    figure.update_yaxes(title_text="Bytes", exponentformat="SI", ticksuffix="B", row=1, col=2)
