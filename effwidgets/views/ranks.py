"""Ranks that a rule chose, layer by layer, and why others were left alone."""

from __future__ import annotations

from effwidgets.records import RankRow, Ranks, View
from effwidgets.views.page import bar, card, esc, notes, tag
from effwidgets.views.repaired import error_text
from effwidgets.views.steps import skipped_lines
from effwidgets.views.texttable import Column, table
from effwidgets.views.words import clip, skip_text

__all__ = ["HTML", "TEXT"]

_TEXT_ROWS = 60
_PAGE_ROWS = 200
_HEADS = ("Rank", "Break-even", "Full rank", "Error")
_WHAT = (
    "Up to the break-even a rank saves something. Error: of the layer alone, its weight, or its outputs where "
    "calibration data were given."
)


def _ranks(ranks: tuple[int, ...]) -> str:
    return " × ".join(f"{rank:,}" for rank in ranks)


def _cells(row: RankRow) -> list[str]:
    return [_ranks(row.ranks), _ranks(row.break_even), _ranks(row.full), error_text(row.error)]


def _said(record: Ranks) -> str:
    asked = len(record.table)
    return f"{len(record.plan)} of {asked} layer{'s' * (asked != 1)} would be split"


def draw_text(record: Ranks) -> str:
    """Write a line for each layer, then those that were left alone."""
    rows = [
        ["✓" if row.chosen else "✗", clip(row.layer, 48) or "(the model)", *_cells(row)]
        for row in record.table[:_TEXT_ROWS]
    ]
    columns = [Column(""), Column("Layer"), *(Column(name, right=True) for name in _HEADS)]
    lines = [f"Ranks by rule: {_said(record)}; .plan has them", "", *(table(columns, rows) if rows else [])]
    if len(record.table) > len(rows):
        lines.append(f"… and {len(record.table) - len(rows):,} more layers.")
    return "\n".join([*lines, *skipped_lines(record.skips)])


def draw_html(record: Ranks) -> str:
    """Return the same as static HTML."""
    heads = '<th scope="col">Layer</th>' + "".join(f'<th scope="col" class="n">{name}</th>' for name in _HEADS)
    body = "".join(_row(row) for row in record.table[:_PAGE_ROWS])
    left = len(record.table) - _PAGE_ROWS
    parts = [
        f"<header><b>Ranks by rule</b>{tag('span', _said(record), 'q')}{tag('span', '.plan has them', 'q')}</header>",
        f'<table><thead><tr>{heads}<th scope="col"></th></tr></thead><tbody>{body}</tbody></table>' if body else "",
        tag("p", f"… and {left:,} more layers.") if left > 0 else "",
        notes(f"{len(record.skips):,} left alone, why?", [skip_text(skip) for skip in record.skips]),
        tag("footer", _WHAT),
    ]
    return card(parts, view="ranks", origin="", label="Ranks by rule")


def _row(row: RankRow) -> str:
    rank, even, full, error = map(esc, _cells(row))
    name = row.layer or "(the model)"
    share = sum(row.ranks) / max(1, sum(row.full))
    cells = [
        f'<th scope="row" title="{esc(name)}">{esc(clip(name, 60))}</th>',
        f'<td class="n">{rank}{bar(share)}</td><td class="n q">{even}</td><td class="n q">{full}</td>',
        f'<td class="n">{error}</td>',
        f'<td class="{"good" if row.chosen else "q"}">{"in the plan" if row.chosen else "left alone"}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


TEXT = View(shows=Ranks, medium="text", draw=draw_text, title="Ranks by rule", default=True)
HTML = View(shows=Ranks, medium="html", draw=draw_html, title="Ranks by rule", default=True)
