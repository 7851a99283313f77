"""A reconciliation as a table: one row for each counter and layer; and as a table for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from effwidgets.records import View
from effwidgets.records.reconciliation import PeerCount, PeerLayer, Reconciliation
from effwidgets.units import shape_text
from effwidgets.views.reconciliation_words import ours_text, peer_text, signed
from effwidgets.views.sheet import Field, checked, csv_text, escaped, frame, pipe_table

__all__ = ["CSV", "FRAME", "MARKDOWN"]

_KEYS: Final = ("ours", "theirs", "difference")


def columns_of(record: Reconciliation) -> list[Field]:
    """Return the columns; ``reasons`` holds "reason operation macs" of each item, with a semicolon between."""
    rows = [(peer, layer) for peer in record.peers for layer in peer.layers]
    numbers = ("ours", "theirs", "difference", "own_ours", "own_theirs")
    return [
        Field("counter", "text", [peer.peer for peer, _ in rows]),
        Field("layer", "text", [layer.layer for _, layer in rows]),
        Field("kind", "text", [layer.kind for _, layer in rows]),
        Field("printed_as", "text", [layer.printed_as for _, layer in rows]),
        *(Field(f"{name}_macs", "int", [getattr(layer, name) for _, layer in rows]) for name in numbers),
        Field("reasons", "text", [_reasons(layer) for _, layer in rows]),
    ]


def _reasons(layer: PeerLayer) -> str:
    return "; ".join(f"{item.reason} {item.op or '-'} {item.macs}" for item in layer.items)


def draw_frame(record: Reconciliation) -> Any:
    """Return a ``pandas.DataFrame``; its ``attrs`` say what was counted, and why a counter is missing."""
    facts = {
        "model": record.model,
        "inputs": " ".join("x".join(map(str, shape)) or "scalar" for shape in record.inputs),
        "conventions": "MACs on both sides; difference is ours minus theirs; own_ columns leave out what is inside.",
        "failures": {peer.peer: peer.failure for peer in record.peers if peer.failure is not None},
        "notes": list(record.notes),
    }
    return frame(columns_of(record), facts)


def draw_csv(record: Reconciliation) -> str:
    """Return the same table as CSV."""
    return csv_text(columns_of(record))


def draw_markdown(record: Reconciliation, depth: int = 1, columns: Sequence[str] | None = None) -> str:
    """Return a pipe table of exact MACs and, below it, the sentences that explain the totals."""
    keys = checked(depth, columns, _KEYS, _KEYS)
    peers = [peer for peer in record.peers if peer.failure is None]
    head = ["Layer", *(["Ours, MACs"] if "ours" in keys else [])]
    head += [title for peer in peers for title in _titles(peer, keys)]
    layers = list(zip(*(peer.layers for peer in peers), strict=True))
    shown = [row for row in layers if row[0].layer and row[0].layer.count(".") < depth]
    rows = [_cells(escaped(row[0].layer), row, keys) for row in shown]
    rows += [_cells("**Total**", layers[0], keys)] if layers else []
    shapes = ", ".join(shape_text(shape) for shape in record.inputs)
    said = [f"{record.model}, input {shapes}. {ours_text(record)}", *(peer_text(peer) for peer in record.peers)]
    table = pipe_table(head, rows, [False] + [True] * (len(head) - 1)) if rows else []
    return "\n\n".join(["\n".join(table), *map(escaped, said)]).lstrip() + "\n"


def _titles(peer: PeerCount, keys: Sequence[str]) -> list[str]:
    name = escaped(peer.peer)
    titles = {"theirs": f"{name}, MACs", "difference": f"ours − {name}"}
    return [title for key, title in titles.items() if key in keys]


def _cells(name: str, row: Sequence[PeerLayer], keys: Sequence[str]) -> list[str]:
    cells = [name] + [f"{row[0].ours:,}"] * ("ours" in keys)
    for layer in row:
        cells += [f"{layer.theirs:,}"] * ("theirs" in keys)
        cells += [signed(layer.difference, exact=True)] * ("difference" in keys)
    return cells


FRAME = View(shows=Reconciliation, medium="frame", draw=draw_frame, title="Reconciliation", default=True)
CSV = View(shows=Reconciliation, medium="csv", draw=draw_csv, title="Reconciliation", default=True)
MARKDOWN = View(shows=Reconciliation, medium="markdown", draw=draw_markdown, title="Reconciliation", default=True)
