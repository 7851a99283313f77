"""The layers with the most parameters, as a list."""

from __future__ import annotations

from html import escape

from effwidgets.records import Profile, View
from effwidgets.units import count_text


def draw(profile: Profile) -> str:
    ranked = sorted(profile.layers, key=lambda layer: -layer.self_cost.params)
    rows = (f"<li>{escape(layer.name)}: {escape(count_text(layer.self_cost.params))}</li>" for layer in ranked[:5])
    return f"<ol>{''.join(rows)}</ol>"


HTML = View(shows=Profile, medium="html", draw=draw, title="Largest layers")
