"""What stands between our count and the others', as a plotly bar chart."""

from __future__ import annotations

from html import escape
from typing import Any

from effwidgets.records.reconciliation import UNEXPLAINED, Explained, PeerCount, Reconciliation
from effwidgets.views.families import FAMILIES
from effwidgets.views.figures import TEMPLATE
from effwidgets.views.reconciliation_words import four, short
from effwidgets.views.words import clip

__all__ = ["draw_figure"]

_UNEXPLAINED = "#b3362b"


def draw_figure(record: Reconciliation) -> Any:
    """Draw one bar for each reason: to the right what they leave out, to the left what they count in addition."""
    from plotly import graph_objects

    colours = [one.light for one in FAMILIES.values()]
    bars = [
        _bars(peer, colours[index % len(colours)], graph_objects)
        for index, peer in enumerate(record.peers)
        if peer.failure is None
    ]
    count = sum(len(bar.y) for bar in bars)
    title = f"{escape(clip(record.model))}: ours is {four(record.ours, 'MACs')}"
    layout = {
        **TEMPLATE,
        "title": {"text": title if count else f"{title}; no counter here differs"},
        "xaxis": {"title": {"text": "Ours minus theirs, MACs"}, "zeroline": True, "exponentformat": "SI"},
        "yaxis": {"autorange": "reversed", "automargin": True},
        "showlegend": True,
        "height": 200 + 40 * max(count, 1),
    }
    return graph_objects.Figure(bars, layout=layout)


def _bars(peer: PeerCount, colour: str, graph_objects: Any) -> Any:
    items = peer.layers[0].items
    return graph_objects.Bar(
        y=[f"{peer.peer} · {_label(item)}" for item in items],
        x=[item.macs for item in items],
        name=f"{escape(peer.title)}: {four(peer.flops, 'FLOPs')}",
        orientation="h",
        marker={"color": [_UNEXPLAINED if item.reason == UNEXPLAINED else colour for item in items]},
        customdata=[[escape(item.words), f"{item.macs:+,}", item.times] for item in items],
        hovertemplate="<b>%{y}</b><br>%{customdata[1]} MACs in %{customdata[2]}×<br>%{customdata[0]}<extra></extra>",
    )


def _label(item: Explained) -> str:
    return escape(f"{clip(item.op, 32)}: {short(item)}" if item.op else short(item))
