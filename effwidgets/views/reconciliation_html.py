"""The reconciliation as static HTML."""

from __future__ import annotations

from effwidgets.records.reconciliation import UNEXPLAINED, PeerCount, PeerLayer, Reconciliation
from effwidgets.units import count_text, shape_text
from effwidgets.views.page import card, esc, figures, notes, tag
from effwidgets.views.reconciliation_words import brief, four, item_text, ours_text, peer_text, signed
from effwidgets.views.words import clip

__all__ = ["draw_html"]

_ROWS = 200
_ALL = 60  # more layers than this: those that agree everywhere are left out
_DEEPEST = 8
_TEXT = "color:var(--effdl-text)"
_FOLD = "padding:0;border:0"


def draw_html(record: Reconciliation) -> str:
    """Return sentences to quote, then each layer in all counts, with the reasons behind a fold."""
    shapes = ", ".join(shape_text(shape) for shape in record.inputs)
    header = f"<header>{tag('b', clip(record.model))}{tag('span', 'counted by others', 'q')}"
    header += f"{tag('span', f'input {shapes}', 'q')}</header>"
    counted = [peer for peer in record.peers if peer.failure is None]
    parts = [header, figures(_figures(record))]
    parts += [f'<p style="{_TEXT}">{esc(ours_text(record))}</p>']
    parts += [_said(peer) for peer in record.peers]
    parts += [_table(record, counted) if counted else ""]
    parts += [tag("p", note) for peer in record.peers for note in peer.notes]
    parts += [tag("p", note) for note in record.notes]
    parts += [notes("Not counted by us, so ours is at least what it says", record.uncounted), _foot(counted)]
    return card(parts, view="reconciliation", origin=record.origin, label=f"Counts of {clip(record.model)} by others")


def _figures(record: Reconciliation) -> list[tuple[str, str, str]]:
    least = "≥ " if record.uncounted else ""
    found = [("Ours", least + four(record.ours, "MACs"), f"{four(2 * record.ours, 'FLOPs')} at 2 a MAC")]
    for peer in record.peers:
        if peer.failure is not None:
            found.append((peer.title, "–", "cannot count this model"))
            continue
        unit = f"prints {four(peer.flops, 'FLOPs')} at {peer.flops_per_mac} a MAC"
        difference = record.ours - peer.layers[0].theirs
        away = "the same" if not difference else f"ours {'−' if difference < 0 else '+'}{four(abs(difference))}"
        found.append((peer.title, four(peer.layers[0].theirs, "MACs"), f"{unit}; {away}"))
    return found


def _said(peer: PeerCount) -> str:
    left = peer.failure is None and any(item.reason == UNEXPLAINED for item in peer.layers[0].items)
    kind = ' class="bad"' if left or peer.failure is not None else f' style="{_TEXT}"'
    return f"<p{kind}>{esc(peer_text(peer))} {tag('span', f'({peer.setting})', 'q')}</p>"


def _table(record: Reconciliation, peers: list[PeerCount]) -> str:
    rows = list(zip(*(peer.layers for peer in peers), strict=True))
    differing = [row for row in rows if any(layer.items for layer in row)]
    shown = rows if len(rows) <= _ALL else [rows[0], *(row for row in differing if row[0].layer)]
    head = '<th scope="col">Layer</th><th scope="col">Kind</th><th scope="col" class="n">Ours</th>'
    head += "".join(f'<th scope="col" class="n">{esc(peer.peer)}</th>' for peer in peers)
    head += '<th scope="col">Ours minus theirs, and why</th>'
    body = "".join(_row(record, row, peers) for row in shown[:_ROWS])
    more = f"… and {len(shown) - _ROWS:,} more layers that differ." if len(shown) > _ROWS else ""
    same = len(rows) - len(shown)
    more += f" {same:,} layers in which all agree are left out." if same else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{tag('p', more.strip()) if more else ''}"


def _row(record: Reconciliation, row: tuple[PeerLayer, ...], peers: list[PeerCount]) -> str:
    first = row[0]
    depth = first.layer.count(".") + 1 if first.layer else 0
    label = first.layer.rpartition(".")[2] or f"{clip(record.model, 40)} (all)"
    indent = f"padding-left:{1 + 1.1 * min(depth, _DEEPEST):.1f}rem"
    cells = [f'<th scope="row" style="{indent}" title="{esc(first.layer)}">{esc(clip(label, 40))}</th>']
    cells += [f'<td class="q">{esc(clip(first.kind, 24))}</td>', _number(first.ours)]
    cells += [_number(layer.theirs, same=layer.theirs == layer.ours) for layer in row]
    why = "".join(_why(layer, peer, several=len(peers) > 1) for layer, peer in zip(row, peers, strict=True))
    cells.append(f'<td class="w" style="min-width:18rem">{why or "<span class=q>–</span>"}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def _number(value: int, *, same: bool = False) -> str:
    kind = "n q" if same else "n"
    return f'<td class="{kind}" title="{value:,} MACs">{count_text(value)}</td>'


def _why(layer: PeerLayer, peer: PeerCount, *, several: bool) -> str:
    if not layer.items:
        return ""
    who = f"{peer.peer} " if several else ""
    kinds = ", ".join(dict.fromkeys(brief(item) for item in layer.items))
    summary = f"<b>{esc(who)}{signed(layer.difference)}</b> {tag('span', clip(kinds, 72), 'q')}"
    lines = "".join(
        f"<li{' class=bad' if item.reason == UNEXPLAINED else ''}>{esc(item_text(item, exact=True))}"
        f"<br>{tag('span', item.words, 'q')}</li>"
        for item in layer.items
    )
    name = "" if layer.printed_as is None else f"<li class=q>printed there as {esc(clip(layer.printed_as, 80))}</li>"
    if layer.printed_as in ("", layer.layer):
        name = ""
    return f'<details style="{_FOLD}"><summary>{summary}</summary><ul>{lines}{name}</ul></details>'


def _foot(peers: list[PeerCount]) -> str:
    left = sum(peer.unexplained for peer in peers)
    told = f"{four(left, 'MACs')} are not explained" if left else "Every difference is explained, to the integer"
    text = f"{told} · Numbers in the table are MACs with everything below a layer; exact ones stand in the tooltips."
    return tag("footer", text)
