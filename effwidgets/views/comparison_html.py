"""Two profiles side by side as static HTML."""

from __future__ import annotations

from effwidgets.units import seconds_text
from effwidgets.views.comparison_rows import COLUMNS, SUMS, ChangeRow, ComparisonPayload, TotalRow
from effwidgets.views.page import card, esc, notes, tag
from effwidgets.views.signed import change_class, part_text, signed_amount, signed_bar
from effwidgets.views.words import amount, clip

__all__ = ["draw_html"]

_ROWS = 200
_DEEPEST = 8
_MARKS = {"changed": "±", "replaced": "⇄", "removed": "−", "added": "+", "inside": "", "same": ""}


def draw_html(data: ComparisonPayload) -> str:
    """Return the totals as before, after and change, then each layer that is not as it was."""
    header = f"<header>{tag('b', data['title'])}{tag('span', 'before and after', 'q')}"
    header += f"{tag('span', 'input ' + data['inputs'], 'q')}</header>"
    parts = [header]
    parts += [f'<p><span class="bad">{esc(clip(text, 400))}</span></p>' for text in data["warnings"]]
    parts += [_totals(data), _layers(data), _foot(data), notes("Notes", data["notes"])]
    return card(parts, view="comparison", origin=data["origin"], label=f"Before and after of {data['title']}")


def _head(names: list[tuple[str, str]]) -> str:
    cells = "".join(f'<th scope="col"{f" {kind}" if kind else ""}>{name}</th>' for name, kind in names)
    return f"<thead><tr>{cells}</tr></thead>"


_RIGHT = 'class="n"'


def _totals(data: ComparisonPayload) -> str:
    head = [("The model", ""), ("Before", _RIGHT), ("After", _RIGHT), ("Change", _RIGHT), ("", _RIGHT)]
    body = "".join(_total(row) for row in data["totals"])
    return f"<table>{_head([*head, ('Layer responsible', '')])}<tbody>{body}</tbody></table>"


def _total(row: TotalRow) -> str:
    before, after = row["before"], row["after"]
    change = None if before is None or after is None else after - before
    bar = signed_bar(change, before) if change and before else ""
    cells = [
        f'<th scope="row">{esc(row["title"])}</th>',
        f'<td class="n q">{"≥ " * row["before_least"]}{_amount(row["key"], before)}</td>',
        f'<td class="n"><b>{"≥ " * row["after_least"]}{_amount(row["key"], after)}</b></td>',
        f'<td class="n {change_class(change)}">{signed_amount(row["key"], change)}</td>',
        f'<td class="n {change_class(change)}">{part_text(before, after)}{bar}</td>',
        f'<td class="q">{_where(row)}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _amount(key: str, value: float | None) -> str:
    return seconds_text(value) if key == "latency_s" and value is not None else amount(key, value)


def _where(row: TotalRow) -> str:
    named = [at for at in (row["before_at"], row["after_at"]) if at is not None]
    shown = [f'<span title="{esc(at)}">{esc(clip(at, 40)) or "the model itself"}</span>' for at in dict.fromkeys(named)]
    return ("largest: " if shown and row["key"] in SUMS else "") + " → ".join(shown)


def _layers(data: ComparisonPayload) -> str:
    rows = data["rows"][1:]
    if not rows:
        return tag("p", "No layer differs.") if data["rows"][0]["state"] == "same" else ""
    largest = {key: max(abs(row["change"][key]) for row in rows) for key in COLUMNS}
    head = [("Layer", ""), ("What changed", "")]
    for name in COLUMNS.values():
        head += [(name, _RIGHT), ("Change", _RIGHT)]
    body = "".join(_row(row, largest) for row in rows[:_ROWS])
    more = f"… and {len(rows) - _ROWS:,} more layers that differ. The totals count them all."
    return f"<table>{_head(head)}<tbody>{body}</tbody></table>" + (tag("p", more) if len(rows) > _ROWS else "")


def _row(row: ChangeRow, largest: dict[str, int]) -> str:
    indent = f"padding-left:{1 + 1.1 * min(row['depth'] - 1, _DEEPEST):.1f}rem"
    cells = [
        f'<th scope="row" style="{indent}" title="{esc(row["name"])}">{esc(clip(row["label"], 40))}</th>',
        _what(row),
    ]
    for key in COLUMNS:
        change = row["change"][key]
        bar = signed_bar(change, largest[key]) if largest[key] else ""
        said = (
            "" if row["part"] or not change else f"{signed_amount(key, change)}{bar}"
        )  # what holds a part has its change
        cells.append(f'<td class="n">{_both(row, key)}</td><td class="n {change_class(change)}">{said}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def _what(row: ChangeRow) -> str:
    mark = _MARKS[row["state"]]
    colour = {"removed": "bad", "added": "good"}.get(row["state"], "")
    shown = f'<b class="{colour}" title="{row["state"]}">{mark}</b> ' if mark else ""
    told = f'<br><span class="q">{esc(clip(row["told"], 160))}</span>' if row["told"] else ""
    return f'<td class="w">{shown}<span class="q">{esc(row["kind"])}</span>{told}</td>'


def _both(row: ChangeRow, key: str) -> str:
    before, after = row["before"], row["after"]
    if before and after and before[key] == after[key]:
        return amount(key, after[key])
    if row["part"]:
        return f'<span class="q">{amount(key, (after or before).get(key))}</span>'
    shown = [amount(key, side.get(key)) for side in (before, after)]
    return f'<span class="q">{shown[0]} →</span> {shown[1]}'


def _foot(data: ComparisonPayload) -> str:
    same = data["same"]
    said = [f"{same:,} layer{'s' if same != 1 else ''} as before" if same else ""]
    said.append("≥ at least: some work has no formula, or some memory is out of sight" if data["least"] else "")
    said.append("Numbers of a layer count what is inside of it. FLOPs are 2 × MACs of matrix-like work.")
    return f"<footer>{' · '.join(filter(None, said))}</footer>"
