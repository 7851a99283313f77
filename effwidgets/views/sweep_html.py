"""A sweep as static HTML."""

from __future__ import annotations

from effwidgets.views.page import bar, card, esc, tag
from effwidgets.views.sweep_rows import COSTS, LayerRow, SizeRow, SweepPayload
from effwidgets.views.words import amount, clip, share

__all__ = ["draw_html"]

_SHOWN = ("macs", "inference_peak_bytes", "saved_bytes", "training_peak_bytes")


def draw_html(data: SweepPayload) -> str:
    """Return a row for each size, then how each cost grows, then the layers that make it grow."""
    header = f"<header>{tag('b', data['title'])}{tag('span', 'over ' + data['what'], 'q')}"
    header += f"{tag('span', ' · '.join(filter(None, (data['changed'], data['mode']))), 'q')}</header>"
    parts = [header, _sizes(data), _growth(data), _layers(data)]
    parts.append(
        "<footer>FLOPs are 2 × MACs of matrix-like work. Each size is exact; formulas hold at these sizes and "
        "extrapolate elsewhere.</footer>"
    )
    parts += [tag("p", note) for note in data["notes"]]
    return card(parts, view="sweep", origin=data["origin"], label=f"{data['title']} over {data['what']}")


def _table(heads: list[tuple[str, bool]], rows: list[str]) -> str:
    cells = "".join(f'<th scope="col"{" class=n" if number else ""}>{esc(name)}</th>' for name, number in heads)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _sizes(data: SweepPayload) -> str:
    largest = {key: max((row["values"][key] or 0 for row in data["rows"]), default=0) for key in _SHOWN}
    heads = [(data["axis"].capitalize(), True), ("Input", False), *((COSTS[key], True) for key in _SHOWN)]
    rows: list[str] = []
    last: dict[str, str | None] = {}
    for row in data["rows"]:
        rows.append(_size(row, largest, last))
        last = _peaks(row) or last
    return _table(heads, rows)


def _peaks(row: SizeRow) -> dict[str, str | None]:
    if row["values"]["macs"] is None:
        return {}
    return {"inference_peak_bytes": row["inference_peak_at"], "training_peak_bytes": row["training_peak_at"]}


def _size(row: SizeRow, largest: dict[str, int], last: dict[str, str | None]) -> str:
    head = f'<th scope="row" class="n"><b>{row["size"]:,}</b></th><td class="q">{esc(clip(row["inputs"], 48))}</td>'
    if row["values"]["macs"] is None:
        note = f'<span class="bad">Does not run.</span> <span class="q">{esc(clip(row["note"], 400))}</span>'
        return f'<tr>{head}<td class="w" colspan="{len(_SHOWN)}">{note}</td></tr>'
    cells, peaks = [head], _peaks(row)
    for key in _SHOWN:
        least = "≥ " * row["least"][key]
        value, at = row["values"][key], peaks.get(key)
        where = "" if at is None or (key in last and at == last[key]) else _where(at)  # said where it is another layer
        cells.append(f'<td class="n">{least}{amount(key, value)}{bar(share(value or 0, largest[key]))}{where}</td>')
    said = f'<tr><td></td><td class="w q" colspan="{len(_SHOWN) + 1}">{esc(clip(row["note"], 400))}</td></tr>'
    return f"<tr>{''.join(cells)}</tr>{said if row['note'] else ''}"


def _where(at: str) -> str:
    return f'<br><span class="q" title="{esc(at)}">at {esc(clip(at, 28)) or "the model itself"}</span>'


def _growth(data: SweepPayload) -> str:
    if not data["growth"]:
        return tag("p", "Too few sizes run to say how anything grows.")
    rows = [
        f'<tr><th scope="row">{esc(row["title"])}</th><td>{esc(row["kind"])}</td>'
        f'<td class="w"><code>{esc(row["formula"])}</code></td><td class="q w">{esc(row["remark"])}</td></tr>'
        for row in data["growth"]
    ]
    return _table([("Cost", False), ("Grows", False), (f"n is {data['what']}", False), ("How sure", False)], rows)


def _layers(data: SweepPayload) -> str:
    rows = [_layer(row) for row in data["layers"]]
    heads = [("What makes it grow", False), ("Layer", False), ("Share", True), ("Its own", False)]
    return _table(heads, rows) if rows else ""


def _layer(row: LayerRow) -> str:
    name = esc(clip(row["layer"], 60)) or "the model itself"
    cells = f'<td class="q">{COSTS[row["key"]]}</td><th scope="row" title="{esc(row["layer"])}">{name}</th>'
    part = f'<td class="n">{row["share"]:.0%}{bar(row["share"])}</td>'
    return f"<tr>{cells}{part}<td><code>{esc(row['formula'])}</code></td></tr>"
