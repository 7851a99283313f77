"""The health of a model as a figure: norms along the layers, and units that are dead or saturated."""

from __future__ import annotations

from typing import Any, Final

from effwidgets.records import Health, LayerHealth, View
from effwidgets.views.figures import LAYOUT, QUIET, shown
from effwidgets.views.health import number_text, rows_of

__all__ = ["FIGURE"]

_LINES: Final = (
    ("signal_norm", "Gradient by the outputs", "#2f6fd0", "circle"),
    ("gradient_norm", "Gradient of the weights", "#b3590a", "square"),
    ("weight_norm", "Weights", "#1f7d55", "diamond"),
    ("update_ratio", "Gradient over weights", "#7a57c9", "cross"),
)
_NAMES: Final = 48  # below one another there is no room for more; each mark's hover names its layer
_BARS: Final = (("dead", "Dead units", "#b8463f"), ("saturated", "Saturated units", "#846810"))


def draw_figure(health: Health) -> Any:
    """Draw the norms on a logarithmic axis in the order of the layers, and below them the shares of units."""
    from plotly.subplots import make_subplots

    rows = rows_of(health)
    places = list(range(len(rows)))
    hovers = [_hover(layer) for layer in rows]
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.68, 0.32], vertical_spacing=0.06)
    for key, title, colour, symbol in _LINES:
        values = [getattr(layer, key) or None for layer in rows]  # zero has no place on a logarithmic axis
        figure.add_scatter(
            x=places,
            y=values,
            name=title,
            # Weights and scales of norms take turns: a line between their norms would only go up and down.
            mode="lines+markers" if key == "signal_norm" else "markers",
            connectgaps=True,
            line={"color": colour, "width": 1.5},
            marker={"symbol": symbol, "size": 7},
            hovertext=hovers,
            hovertemplate="%{hovertext}<extra></extra>",
            row=1,
            col=1,
        )
    for key, title, colour in _BARS:
        shares = [100 * getattr(layer, key) / layer.units if layer.units else None for layer in rows]
        figure.add_bar(
            x=places,
            y=shares,
            name=title,
            marker={"color": colour},
            hovertext=hovers,
            hovertemplate="%{hovertext}<extra></extra>",
            row=2,
            col=1,
        )
    _lay_out(figure, health, [shown(layer.name or health.model, 28) for layer in rows])
    return figure


def _lay_out(figure: Any, health: Health, names: list[str]) -> None:
    counts = [sum(one.severity == severity for one in health.findings) for severity in ("problem", "warning")]
    said = f"{counts[0]} problem{'s' * (counts[0] != 1)}, {counts[1]} warning{'s' * (counts[1] != 1)}"
    title = f"<b>{shown(health.model)}</b>: {said}<br><sup>gradients of {shown(health.loss, 90)}</sup>"
    axis = {"gridcolor": "rgba(128,128,128,0.25)", "zeroline": False, "tickfont": {"color": QUIET}}
    figure.update_layout(
        {
            **LAYOUT,
            "title": {"text": title, "x": 0.01, "xanchor": "left", "font": {"size": 18}},
            "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
            "margin": {"l": 72, "r": 16, "t": 116, "b": 24},
            "barmode": "stack",
            "height": 620,
        }
    )
    figure.update_xaxes(axis)
    step = -(-len(names) // _NAMES) or 1
    figure.update_xaxes(
        tickmode="array",
        tickvals=list(range(0, len(names), step)),
        ticktext=names[::step],
        automargin=True,
        row=2,
        col=1,
    )
    figure.update_yaxes(
        {**axis, "type": "log", "dtick": 1, "exponentformat": "power", "title": {"text": "Norm"}}, row=1, col=1
    )
    figure.update_yaxes({**axis, "range": [0, 100], "ticksuffix": "%", "title": {"text": "Units"}}, row=2, col=1)


def _hover(layer: LayerHealth) -> str:
    lines = [f"<b>{shown(layer.name) or 'the model itself'}</b> {shown(layer.kind)}", f"Gradient: {layer.gradient}"]
    lines += [f"{title}: {number_text(getattr(layer, key))}" for key, title, _, _ in _LINES]
    if layer.units:
        lines.append(f"{layer.dead:,} dead and {layer.saturated:,} saturated of {layer.units:,} units")
    lines.append(f"Outputs: root mean square {number_text(layer.output_rms)}")
    return "<br>".join(lines)


FIGURE = View(shows=Health, medium="figure", draw=draw_figure, title="Health along the layers", default=True)
