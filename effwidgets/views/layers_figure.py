"""The layer table as a plotly treemap."""

from __future__ import annotations

from typing import Any

from effwidgets.units import bytes_text, count_text
from effwidgets.views.figures import TEMPLATE, shown
from effwidgets.views.wire import LayersPayload

__all__ = ["draw_figure"]


def draw_figure(data: LayersPayload) -> Any:
    """Draw a treemap: area is a layer's own FLOPs, colour the parameters below it."""
    from plotly import graph_objects

    by_params = not any(data["own"]["macs"])
    own = data["own"]["params"] if by_params else [2 * macs for macs in data["own"]["macs"]]
    names = [shown(name, 60) or shown(data["title"]) for name in data["names"]]
    treemap = graph_objects.Treemap(
        ids=[f"{index}" for index in range(len(names))],
        labels=[shown(label, 40) for label in data["labels"]],
        parents=["" if parent < 0 else f"{parent}" for parent in data["parents"]],
        values=own,
        branchvalues="remainder",  # always valid: a parent's area is its own work and that of its children
        maxdepth=4,
        marker={
            "colors": data["total"]["params"],
            "colorscale": "Blues",
            "cmin": 0,
            "colorbar": {"title": {"text": "Parameters"}},
        },
        customdata=[
            [name, shown(kind), count_text(params), count_text(2 * macs), bytes_text(saved)]
            for name, kind, params, macs, saved in zip(
                names,
                data["kinds"],
                data["total"]["params"],
                data["total"]["macs"],
                data["total"]["saved_bytes"],
                strict=True,
            )
        ],
        hovertemplate=(
            "<b>%{customdata[0]}</b> %{customdata[1]}<br>%{customdata[2]} parameters<br>"
            "%{customdata[3]} FLOPs (2 × MACs)<br>%{customdata[4]} saved for backward<extra></extra>"
        ),
    )
    area = "parameters" if by_params else "FLOPs (2 × MACs)"
    title = f"{shown(data['title'])}: area is {area}, colour is parameters"
    return graph_objects.Figure(treemap, layout={**TEMPLATE, "title": {"text": title}})
