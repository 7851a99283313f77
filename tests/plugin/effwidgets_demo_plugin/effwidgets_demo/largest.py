"""The layers with the most parameters, as a list."""

from __future__ import annotations

from html import escape
from typing import Any

from effwidgets.records import LayerProfile, Profile, View
from effwidgets.units import count_text


def ranked(profile: Profile) -> list[LayerProfile]:
    return sorted(profile.layers, key=lambda layer: -layer.self_cost.params)[:5]


def draw(profile: Profile) -> str:
    rows = (f"<li>{escape(layer.name)}: {escape(count_text(layer.self_cost.params))}</li>" for layer in ranked(profile))
    return f"<ol>{''.join(rows)}</ol>"


def draw_figure(profile: Profile) -> Any:
    from plotly import graph_objects

    layers = ranked(profile)
    names = [escape(layer.name) for layer in layers]
    return graph_objects.Figure(graph_objects.Bar(x=names, y=[layer.self_cost.params for layer in layers]))


HTML = View(shows=Profile, medium="html", draw=draw, title="Largest layers")
FIGURE = View(shows=Profile, medium="figure", draw=draw_figure, title="Largest layers")
