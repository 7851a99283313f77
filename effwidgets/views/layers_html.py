"""The layer table as static HTML."""

from __future__ import annotations

from effwidgets.units import bytes_text, count_text, seconds_text
from effwidgets.views.memory import held, memory_figures
from effwidgets.views.page import bar, card, esc, figures, notes, tag
from effwidgets.views.times import spread_text, times_text
from effwidgets.views.wire import LayersPayload
from effwidgets.views.words import amount, clip, share

__all__ = ["draw_html"]

_ROWS = 200
_DEEPEST = 8  # deeper rows are not indented further: the names would run out of the table


def draw_html(data: LayersPayload) -> str:
    """Return the table: the total first, then each layer below the one that holds it."""
    shown = min(len(data["names"]), _ROWS)
    head = ["Layer", "Kind", *(["Output"] if not data["partial"] else [])]
    numbers = ["Parameters"] if data["partial"] else ["Parameters", "FLOPs", "Saved"]
    numbers += ["Latency"] if data["times"] is not None else []
    cells = "".join(f'<th scope="col">{name}</th>' for name in head)
    cells += "".join(f'<th scope="col" class="n">{name}</th>' for name in numbers)
    body = "".join(_row(data, index) for index in range(1, shown))
    table = f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>" if body else ""
    header = f"<header>{tag('b', data['title'])}{tag('span', 'input ' + data['inputs'], 'q')}"
    header += f"{tag('span', data['environment'], 'q')}</header>"
    parts = [header, figures(_figures(data)), table, _more(data, shown), _foot(data)]
    parts += [*_measured(data), *_zeros(data)]
    parts += [tag("p", note) for note in data["notes"]]
    return card(parts, view="layers", origin=data["origin"], label=f"Layers of {data['title']}")


def _figures(data: LayersPayload) -> list[tuple[str, str, str]]:
    whole = data["totals"]
    size = "; ".join(filter(None, (f"{bytes_text(whole['param_bytes'])} with buffers", held(data))))
    found = [("Parameters", count_text(whole["params"]), size)]
    if data["partial"]:
        return found
    least = "≥ " if data["uncounted"] else ""
    remark = f"at least; {_missing(data)}" if least else ""
    found.append(("FLOPs (2 × MACs)", least + count_text(2 * whole["macs"]), remark))
    for one in memory_figures(data):
        said = "; ".join(filter(None, (one.where, one.least)))
        found.append((one.title, "≥ " * bool(one.least) + one.amount, said))
    if whole["latency_s"] is not None:
        spread = f"± {seconds_text((whole['latency_iqr_s'] or 0.0) / 2)}"
        found.append(("Latency", seconds_text(whole["latency_s"]), spread))
    return found


def _row(data: LayersPayload, index: int) -> str:
    depth, parent = -1, data["parents"][index]
    while parent >= 0:
        depth, parent = depth + 1, data["parents"][parent]
    label, name = data["labels"][index], data["names"][index]
    times = f" ×{data['calls'][index]}" if data["calls"][index] > 1 else ""
    indent = f"padding-left:{1 + 1.1 * min(depth, _DEEPEST):.1f}rem"
    cells = [f'<th scope="row" style="{indent}" title="{esc(name)}">{esc(clip(label, 48))}</th>']
    cells.append(f'<td class="q">{esc(clip(data["kinds"][index], 40))}{times}</td>')
    if not data["partial"]:
        cells.append(f'<td class="q">{esc(data["outputs"][index])}</td>')
    total = data["total"]
    cells.append(_number(total["params"], index, "params"))
    if not data["partial"]:
        cells += [_number(total["macs"], index, "macs"), _number(total["saved_bytes"], index, "saved_bytes")]
    cells += [_time(data, index)] if data["times"] is not None else []
    return f"<tr>{''.join(cells)}</tr>"


def _number(column: list[int], index: int, key: str) -> str:
    value, whole = column[index], column[0]
    return f'<td class="n">{amount(key, value)}{bar(share(value, whole))}</td>'


def _time(data: LayersPayload, index: int) -> str:
    seconds = [] if data["times"] is None else data["times"]["total_s"]
    value, whole = seconds[index], seconds[0]
    if value is None:
        return '<td class="n q">–</td>'
    small = bar(share(value, whole or 0.0))
    return f'<td class="n" title="{esc(spread_text(data, index))}">{times_text(data, index)}{small}</td>'


def _measured(data: LayersPayload) -> list[str]:
    found = data["times"]
    if found is None:
        return []
    parts = [tag("p", f"Take care: {found['warning']}.", "bad")] if found["warning"] else []
    return [*parts, tag("p", found["remark"])] if found["remark"] else parts


def _zeros(data: LayersPayload) -> list[str]:
    found = data["zeros"]
    if found is None:
        return []
    return [notes(found["summary"], found["tensors"]) or tag("p", found["summary"])]


def _more(data: LayersPayload, shown: int) -> str:
    left = len(data["names"]) - shown
    return tag("p", f"… and {left:,} more layers. The totals count them all.") if left else ""


def _missing(data: LayersPayload) -> str:
    count = len(data["uncounted"])
    return f"{count} operation{'s' * (count != 1)} not counted" if count else ""


def _foot(data: LayersPayload) -> str:
    count = len(data["names"]) - 1
    layers = f"{count:,} layer{'s' if count != 1 else ''} below the model"
    if data["partial"]:
        return f"<footer>{layers} · Parameters only: the model was not run yet.</footer>"
    counted = _missing(data) or "Everything counted"
    conventions = "Every number counts what is inside a layer. FLOPs are 2 × MACs of matrix-like work."
    foot = f"<footer>{layers} · {counted} · {conventions}</footer>"
    return foot + notes("Not counted, so the totals are at least what they say", data["uncounted"])
