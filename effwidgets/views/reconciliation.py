"""Our count beside other counters': a paragraph to quote, and a table by layer."""

from __future__ import annotations

from effwidgets.records import View
from effwidgets.records.reconciliation import PeerCount, PeerLayer, Reconciliation
from effwidgets.units import count_text, shape_text
from effwidgets.views.reconciliation_figure import draw_figure
from effwidgets.views.reconciliation_html import draw_html
from effwidgets.views.reconciliation_words import item_text, ours_text, peer_text, signed
from effwidgets.views.texttable import Column, fold, plain, table
from effwidgets.views.words import clip

__all__ = ["FIGURE", "HTML", "TEXT"]

_ROWS = 40


def draw_text(record: Reconciliation) -> str:
    """Write the reconciliation for a terminal: sentences first, then the layers in which a counter differs."""
    shapes = ", ".join(shape_text(shape) for shape in record.inputs)
    lines = [f"{plain(clip(record.model))} · input {shapes} · numbers below are MACs", *fold([ours_text(record)])]
    for peer in record.peers:
        lines += ["", *fold([peer_text(peer)]), *fold(peer.notes), *_layers(peer)]
    if record.uncounted:
        lines += ["", *fold([f"Not counted by us: {', '.join(record.uncounted)}"])]
    lines += fold(record.notes)
    return "\n".join(lines)


def _layers(peer: PeerCount) -> list[str]:
    differing = [layer for layer in peer.layers if layer.items and layer.layer]
    if not differing:
        return []
    columns = [
        Column("Layer"),
        Column("Kind"),
        *(Column(name, right=True) for name in ("Ours", peer.peer, "Ours − theirs")),
    ]
    rows = [_row(layer) for layer in differing[:_ROWS]]
    lines = ["", *table([*columns, Column("Why")], rows)]
    if len(differing) > _ROWS:
        lines.append(f"… and {len(differing) - _ROWS:,} more layers that differ. The total counts them all.")
    agreeing = len(peer.layers) - 1 - len(differing)
    if agreeing:
        lines.append(f"{agreeing:,} layer{'s' if agreeing != 1 else ''} below the model: the same in both counts.")
    return lines


def _row(layer: PeerLayer) -> list[str]:
    why = item_text(layer.items[0]) + (f" and {len(layer.items) - 1} more" if len(layer.items) > 1 else "")
    return [
        clip(" ".join(layer.layer.split()), 40),
        clip(layer.kind, 24),
        count_text(layer.ours),
        count_text(layer.theirs),
        signed(layer.difference),
        why,
    ]


TEXT = View(shows=Reconciliation, medium="text", draw=draw_text, title="Reconciliation", default=True)
HTML = View(shows=Reconciliation, medium="html", draw=draw_html, title="Reconciliation", default=True)
FIGURE = View(
    shows=Reconciliation, medium="figure", draw=draw_figure, title="What stands between the counts", default=True
)
