"""What stands between our count and the others', as a plotly bar chart."""

from __future__ import annotations

from typing import Any

from effwidgets.records.reconciliation import UNEXPLAINED, PeerCount, Reconciliation
from effwidgets.views.families import FAMILIES
from effwidgets.views.figures import TEMPLATE, shown
from effwidgets.views.reconciliation_words import brief, four, item_text, signed
from effwidgets.views.words import clip

__all__ = ["draw_figure"]

_UNEXPLAINED = "#b3362b"


def draw_figure(record: Reconciliation) -> Any:
    """Draw one bar for each reason: to the right what they leave out, to the left what they count in addition."""
    from plotly import graph_objects

    colours = [one.light for one in FAMILIES.values()][1:]  # the first is the grey of what was not changed
    bars = [
        _bars(peer, colours[index % len(colours)], graph_objects)
        for index, peer in enumerate(record.peers)
        if peer.failure is None
    ]
    count = sum(len(bar.y) for bar in bars)
    title = f"{shown(record.model, 80)}: ours is {four(record.ours, 'MACs')}"
    layout = {
        **TEMPLATE,
        "title": {"text": title if count else f"{title}; no counter here differs"},
        "xaxis": {
            "title": {"text": "Ours minus theirs, MACs"},
            "zeroline": True,
            "exponentformat": "SI",
            "tickangle": 0,
        },
        "yaxis": {"autorange": "reversed", "automargin": True},
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        "margin": {**TEMPLATE["margin"], "t": 110},
        "height": 220 + 40 * max(count, 1),
    }
    return graph_objects.Figure(bars, layout=layout)


def _bars(peer: PeerCount, colour: str, graph_objects: Any) -> Any:
    items = peer.layers[0].items
    names = [brief(item) for item in items]
    # One bar each: a name that stands for two reasons is written out.
    names = [name if names.count(name) == 1 else item_text(item) for name, item in zip(names, items, strict=True)]
    return graph_objects.Bar(
        y=[shown(f"{peer.peer} · {clip(name, 64)}", 120) for name in names],
        x=[item.macs for item in items],
        name=f"{shown(peer.title)}: {four(peer.flops, 'FLOPs')}",
        orientation="h",
        marker={"color": [_UNEXPLAINED if item.reason == UNEXPLAINED else colour for item in items]},
        text=[signed(item.macs) for item in items],
        customdata=[[shown(item.words, 400), signed(item.macs, exact=True), item.times] for item in items],
        hovertemplate="<b>%{y}</b><br>%{customdata[1]} MACs in %{customdata[2]}×<br>%{customdata[0]}<extra></extra>",
    )
