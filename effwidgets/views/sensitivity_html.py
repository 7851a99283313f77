"""A sensitivity as static HTML: the table twin of its curves, with a small picture of each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from effwidgets.views.page import card, esc, mark, notes, tag
from effwidgets.views.sensitivity_rows import (
    CurvePoint,
    CurveRow,
    SensitivityPayload,
    divergence_text,
    kept_text,
)
from effwidgets.views.words import clip, score_text

__all__ = ["draw_html"]

_ROWS = 200
_SETTINGS = 2000
_WIDE, _HIGH = 110, 22


def draw_html(data: SensitivityPayload) -> str:
    """Return a line for each place: its curve, the divergence with some of its work left, and every setting."""
    heads = _heads(("Place", "Technique", "Curve")) + _heads([f"{kept_text(kept)} left" for kept in data["kept"]], "n")
    heads += _heads(("Strongest", "gives", *([data["metric"]] if data["metric"] else [])), "n")
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
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>" if body else "",
        tag("p", "There is no place to try.") if not body else "",
        tag("p", f"… and {left:,} more places.") if left > 0 else "",
        _settings(data),
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


def _heads(names: Sequence[str], kind: str = "") -> str:
    return "".join(f'<th scope="col" class="{kind}">{esc(name)}</th>' for name in names)


def _row(data: SensitivityPayload, row: CurveRow, span: tuple[float, float]) -> str:
    name = "; ".join(layer or "the model itself" for layer in row["layers"])
    sign = f'<svg width="12" height="12" aria-hidden="true">{mark(row["family"], 6, 6, 4)}</svg>'
    cells = [f'<th scope="row" title="{esc(name)}">{sign} {esc(clip(row["label"], 40))}</th>']
    cells += [tag("td", row["technique"], "q"), f"<td>{_curve(row, span)}</td>"]
    cells += [tag("td", divergence_text(value), "n") for value in row["at"]]
    last = row["points"][-1] if row["points"] else None
    cells += [tag("td", "–" if last is None else kept_text(last["kept"]), "n q")]
    cells += [tag("td", divergence_text(None if last is None else last["divergence"]), "n")]
    if data["metric"]:
        cells.append(tag("td", score_text(None if last is None else last["score"], as_share=data["as_share"]), "n"))
    return f"<tr>{''.join(cells)}</tr>"


def _settings(data: SensitivityPayload) -> str:
    # Every number of the curves, folded away.
    points = [(row, point) for row in data["rows"] for point in row["points"]]
    heads = _heads(("Place", "Technique", "Setting")) + _heads(("Left", "Divergence"), "n")
    heads += _heads((data["metric"],), "n") if data["metric"] else ""
    body = "".join(_setting(data, row, point) for row, point in points[:_SETTINGS])
    more = f"<p>… and {len(points) - _SETTINGS:,} more.</p>" if len(points) > _SETTINGS else ""
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{more}"
    return f"<details><summary>All {len(points):,} settings</summary>{table}</details>" if points else ""


def _setting(data: SensitivityPayload, row: CurveRow, point: CurvePoint) -> str:
    cells = [f'<th scope="row">{esc(clip(row["label"], 40))}</th>', tag("td", row["technique"], "q")]
    note = f' <span class="bad">{esc(clip(point["note"], 200))}</span>' if point["note"] else ""
    cells += [f'<td class="w">{esc(point["settings"])}{note}</td>', tag("td", kept_text(point["kept"]), "n")]
    cells.append(tag("td", divergence_text(point["divergence"]), "n"))
    cells += [tag("td", score_text(point["score"], as_share=data["as_share"]), "n")] if data["metric"] else []
    return f"<tr>{''.join(cells)}</tr>"


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
