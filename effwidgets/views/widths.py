"""Widths as this machine likes them: what was asked, what was timed, what was taken."""

from __future__ import annotations

from effwidgets.records import Rounded, View, WidthChoice, WidthTime
from effwidgets.units import percent_text, seconds_text
from effwidgets.views.page import card, esc, notes, tag
from effwidgets.views.texttable import Column, fold, plain, table
from effwidgets.views.words import clip, places

__all__ = ["HTML", "TEXT"]

_ROWS = 200
_WHAT = "The layers of a group alone, with random numbers; ± is a 95% interval of the median."


def _asked(choice: WidthChoice) -> str:
    return str(dict(choice.step.settings).get("channels", "–"))


def _took(choice: WidthChoice) -> str:
    found = choice.time(choice.chosen)
    return "–" if found is None else seconds_text(found.median_s)


def _time_text(time: WidthTime) -> str:
    base = time.median_s - time.change_s
    off = f" ({percent_text(time.change_s / base)} ± {time.error_s / base:.1%})" if time.change_s and base > 0 else ""
    return f"{time.width}: {seconds_text(time.median_s)}{off}"


def _said(record: Rounded) -> str:
    if not record.choices:
        return "nothing was measured, for no step of the plan removes channels"
    moved = sum(_asked(choice) != str(choice.chosen) for choice in record.choices)
    return f"{moved} of {len(record.choices)} at another width than asked"


def draw_text(record: Rounded) -> str:
    """Write a line for each pruning step: asked, taken, its time, and why."""
    rows = [
        [
            clip(places(choice.step.layers), 40),
            _asked(choice),
            str(choice.chosen),
            _took(choice),
            clip(choice.reason, 70),
        ]
        for choice in record.choices[:_ROWS]
    ]
    columns = [Column("Layer"), Column("Asked", right=True), Column("Taken", right=True), Column("Time", right=True)]
    lines = [f"Measured widths: {_said(record)}; .plan has them"]
    lines += ["", *table([*columns, Column("Why")], rows)] if rows else []
    return "\n".join([*lines, *fold([plain(note) for note in record.notes])])


def draw_html(record: Rounded) -> str:
    """Return the same as static HTML, with all times behind a fold."""
    heads = "".join(
        f'<th scope="col"{kind}>{name}</th>'
        for name, kind in (
            ("Layer", ""),
            ("Asked", ' class="n"'),
            ("Taken", ' class="n"'),
            ("Time", ' class="n"'),
            ("Why", ""),
        )
    )
    body = "".join(map(_row, record.choices[:_ROWS]))
    times = [
        f"{places(one.step.layers)}: {', '.join(map(_time_text, one.times))}" for one in record.choices if one.times
    ]
    where = {f"{choice.device}, {choice.threads} thread{'s' * (choice.threads != 1)}" for choice in record.choices}
    parts = [
        f"<header><b>Measured widths</b>{tag('span', _said(record), 'q')}",
        f"{tag('span', '; '.join(sorted(where)), 'q')}</header>",
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>" if body else "",
        "".join(tag("p", clip(note, 600)) for note in record.notes),
        notes("All times", times),
        tag("footer", _WHAT),
    ]
    return card(parts, view="widths", origin="", label="Measured widths")


def _row(choice: WidthChoice) -> str:
    moved = _asked(choice) != str(choice.chosen)
    taken = f"<b>{choice.chosen}</b>" if moved else str(choice.chosen)
    return (
        f'<tr><th scope="row" class="w">{esc(clip(places(choice.step.layers), 80))}</th>'
        f'<td class="n q">{esc(_asked(choice))}</td><td class="n">{taken}</td><td class="n">{_took(choice)}</td>'
        f'<td class="w q">{esc(clip(choice.reason, 300))}</td></tr>'
    )


TEXT = View(shows=Rounded, medium="text", draw=draw_text, title="Measured widths", default=True)
HTML = View(shows=Rounded, medium="html", draw=draw_html, title="Measured widths", default=True)
