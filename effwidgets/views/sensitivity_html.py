"""A sensitivity as static HTML: the table twin of its curves, with a small picture of each."""

from __future__ import annotations

import math

from effwidgets.views.page import card, esc, mark, notes, tag
from effwidgets.views.sensitivity_rows import (
    KEPT,
    CurvePoint,
    CurveRow,
    SensitivityPayload,
    divergence_text,
    kept_text,
)
from effwidgets.views.words import clip, score_text

__all__ = ["draw_html"]

_ROWS = 200
_WIDE, _HIGH = 96, 24


def draw_html(data: SensitivityPayload) -> str:
    """Return a line for each place: its curve, the divergence with some of its work left, and every setting."""
    heads = ['<th scope="col">Place</th><th scope="col">Curve</th>']
    heads += [f'<th scope="col" class="n">{kept_text(kept)} left</th>' for kept in KEPT]
    numbers = ", ".join(filter(None, ("work left", "divergence", esc(data["metric"]))))
    heads.append(f'<th scope="col">Each setting: {numbers}</th>')
    span = _span(data)
    body = "".join(_row(data, row, span) for row in data["rows"][:_ROWS])
    left = len(data["rows"]) - _ROWS
    header = (
        f"<header>{tag('b', data['title'])}{tag('span', 'sensitivity', 'q')}{tag('span', data['said'], 'q')}</header>"
    )
    unit = f", in {data['unit']}" * bool(data["unit"])
    what = (
        f"{data['divergence']} of the outputs{unit}: 0 is no change. Most sensitive first, with half of the work left."
    )
    parts = [
        header,
        f"<table><thead><tr>{''.join(heads)}</tr></thead><tbody>{body}</tbody></table>" if body else "",
        tag("p", "There is no place to try.") if not body else "",
        tag("p", f"… and {left:,} more places.") if left > 0 else "",
        notes(f"{len(data['skips']):,} left alone, why?", data["skips"]),
        *(tag("p", note) for note in data["notes"]),
        tag("footer", what + _base(data)),
    ]
    return card(parts, view="sensitivity", origin=data["origin"], label=f"Sensitivity of {data['title']}")


def _base(data: SensitivityPayload) -> str:
    if data["base"] is None:
        return ""
    return f" As it is: {data['metric']} {score_text(data['base'], as_share=data['as_share'])}."


def _span(data: SensitivityPayload) -> tuple[float, float]:
    # Of the logarithms: all small pictures have one scale, so that they can be compared.
    values = [math.log10(point["divergence"]) for row in data["rows"] for point in row["points"] if point["divergence"]]
    low, high = min(values, default=0.0), max(values, default=1.0)
    return low, max(high, low + 1)


def _row(data: SensitivityPayload, row: CurveRow, span: tuple[float, float]) -> str:
    name = "; ".join(layer or "the model itself" for layer in row["layers"])
    sign = f'<svg width="12" height="12" aria-hidden="true">{mark(row["family"], 6, 6, 4)}</svg>'
    place = (
        f'{sign} <span title="{esc(name)}">{esc(clip(row["label"], 48))}</span><br>{tag("span", row["technique"], "q")}'
    )
    cells = [f'<th scope="row">{place}</th><td>{_curve(row, span)}</td>']
    cells += [f'<td class="n">{divergence_text(value)}</td>' for value in row["at"]]
    said = " · ".join(_setting(data, point) for point in row["points"])
    missing = row["planned"] - len(row["points"])
    more = f' <span class="q">{missing} not measured yet</span>' if missing > 0 else ""
    return f'<tr>{"".join(cells)}<td class="w">{said}{more}</td></tr>'


def _setting(data: SensitivityPayload, point: CurvePoint) -> str:
    kept, note = kept_text(point["kept"]), esc(clip(point["note"], 120))
    if point["divergence"] is None:
        return f'<span class="bad" title="{esc(point["note"])}">{kept} failed: {note}</span>'
    score = f", {score_text(point['score'], as_share=data['as_share'])}" if data["metric"] else ""
    said = f'<span class="q">{kept}</span> {divergence_text(point["divergence"])}{score}'
    note = f' <span class="bad">{note}</span>' if note else ""
    return f'<span title="{esc(point["settings"])}" style="white-space:nowrap">{said}</span>{note}'


def _curve(row: CurveRow, span: tuple[float, float]) -> str:
    low, high = span
    places = [
        (
            3 + (_WIDE - 6) * (1 - point["kept"]),
            _HIGH - 3 - (_HIGH - 6) * (math.log10(point["divergence"]) - low) / (high - low),
        )
        for point in row["points"]
        if point["divergence"]
    ]
    if not places:
        return ""
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.8" fill="currentColor"/>' for x, y in places)
    return (
        f'<svg width="{_WIDE}" height="{_HIGH}" aria-hidden="true" style="color:var(--effdl-accent)">'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.5"/>{dots}</svg>'
    )
