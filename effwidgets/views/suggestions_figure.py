"""What each suggestion changes, as a plotly bar chart."""

from __future__ import annotations

from typing import Any

from effwidgets.views.families import family
from effwidgets.views.figures import TEMPLATE, shown
from effwidgets.views.wire import SuggestionsPayload
from effwidgets.views.words import share

__all__ = ["draw_figure"]

_FIGURE_ROWS = 25


def _long(text: str) -> str:
    return shown(text, 400)


def draw_figure(data: SuggestionsPayload) -> Any:
    """Draw what each suggestion saves, in percent of the whole model; the best stands on top."""
    from plotly import graph_objects

    rows = data["rows"][:_FIGURE_ROWS]
    names = [f"{row['index']} · {shown(row['headline'], 60)}" for row in rows]
    hover = [f"{_long(row['reason'])}<br>{'<br>'.join(map(_long, row['warnings']))}" for row in rows]
    bars = []
    for key, title, opacity in (("macs", "FLOPs (2 × MACs)", 1.0), ("params", "Parameters", 0.45)):
        whole = data["totals"]["macs"] if key == "macs" else data["totals"]["params"]
        values = [100 * share(row["macs"] if key == "macs" else row["params"], whole) for row in rows]
        colours = [family(row["family"]).light for row in rows]
        bars.append(
            graph_objects.Bar(
                y=names,
                x=values,
                name=title,
                orientation="h",
                marker={"color": colours, "opacity": opacity},
                customdata=hover,
                hovertemplate=f"<b>%{{y}}</b><br>{title} %{{x:.1f}}%<br>%{{customdata}}<extra></extra>",
            )
        )
    layout = {
        **TEMPLATE,
        "title": {"text": f"{shown(data['title'])}: what each suggestion changes"},
        "xaxis": {"title": {"text": "Change of the whole model, %"}, "zeroline": True},
        "yaxis": {"autorange": "reversed", "automargin": True},
        "barmode": "group",
        "height": 160 + 44 * max(len(rows), 1),
    }
    return graph_objects.Figure(bars, layout=layout)
