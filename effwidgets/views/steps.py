"""Steps of a plan and what came of them: words and rows that several views share."""

from __future__ import annotations

from collections.abc import Sequence

from effwidgets.records import Edit, Plain, Plan, Skip, Step, View
from effwidgets.units import bytes_text, seconds_text
from effwidgets.views.families import family_of
from effwidgets.views.page import card, esc, mark, notes, tag
from effwidgets.views.texttable import Column, plain, table
from effwidgets.views.words import clip, places, settings_text, skip_text

__all__ = ["HTML", "TEXT", "measured_text", "skipped_html", "skipped_lines", "step_cells"]

_TEXT_ROWS = 60
_PAGE_ROWS = 200


def measured_text(measured: Sequence[tuple[str, Plain]]) -> str:
    """Write what was measured on an edit, each with its unit.

    >>> measured_text((("download_bytes", 1234), ("forward_s", 0.002), ("values", 16)))
    'download 1.23 kB, forward 2.00 ms, values 16'
    """
    return ", ".join(f"{_stem(name)} {_value(name, value)}" for name, value in measured)


def _stem(name: str) -> str:
    return name.removesuffix("_bytes").removesuffix("_s").replace("_", " ")


def _value(name: str, value: Plain) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if name.endswith("_bytes"):
        return bytes_text(value)
    if name.endswith("_s"):
        return seconds_text(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def step_cells(number: int, step: Step, edit: Edit | None = None) -> str:
    """Return the first two cells of a row: the number, and the technique with its mark, place and settings."""
    icon = f'<svg width="12" height="12" aria-hidden="true">{mark(family_of(step.transform), 6, 6, 4.5)}</svg>'
    where = esc(clip(places(step.layers), 120))
    said = esc(clip(settings_text(step, edit), 160))
    told = f"<b>{esc(step.transform)}</b> {where}" + (f'<br><span class="q">{said}</span>' if said else "")
    title = esc(clip(", ".join(step.layers), 400))
    return f'<td class="n q" style="width:1%">{number}</td><th scope="row" class="w" title="{title}">{icon} {told}</th>'


def skipped_lines(skipped: Sequence[Skip]) -> list[str]:
    """Return a line for each step that was left out; none is cut, for each is bad news."""
    return [f"✗ {plain(_left_out(skip))}" for skip in skipped]


def _left_out(skip: Skip) -> str:
    # Most reasons begin with the step itself.
    return skip.reason if skip.reason.startswith(f"{skip.transform} ") else skip_text(skip)


def skipped_html(skipped: Sequence[Skip], title: str = "Left out") -> str:
    """Return what was left out as paragraphs, a few in sight and the rest behind a fold."""
    said = [_left_out(skip) for skip in skipped]
    seen = "".join(f'<p><b class="bad">✗ {esc(title)}</b> {esc(clip(sentence, 600))}</p>' for sentence in said[:8])
    return seen + notes(f"… and {len(said) - 8:,} more left out, why?", said[8:])


def draw_text(plan: Plan) -> str:
    """Write a plan as its steps, one on a line, in the order in which they are done."""
    if not len(plan):
        return "A plan without steps: the model stays as it is."
    rows = [
        [str(number), step.transform, clip(places(step.layers), 60), clip(settings_text(step), 60)]
        for number, step in enumerate(plan.steps[:_TEXT_ROWS])
    ]
    columns = [Column("#", right=True), Column("Technique"), Column("Where"), Column("Settings")]
    left = len(plan) - len(rows)
    more = [f"… and {left:,} more steps."] if left else []
    return "\n".join([f"Plan of {len(plan)} step{'s' * (len(plan) != 1)}", "", *table(columns, rows), *more])


def draw_html(plan: Plan) -> str:
    """Return the same as static HTML."""
    count = f"{len(plan)} step{'s' * (len(plan) != 1)}, in this order"
    body = "".join(f"<tr>{step_cells(number, step)}</tr>" for number, step in enumerate(plan.steps[:_PAGE_ROWS]))
    head = '<th scope="col" class="n">#</th><th scope="col">What and where</th>'
    left = len(plan) - _PAGE_ROWS
    parts = [
        f"<header><b>Plan</b>{tag('span', count, 'q')}</header>",
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        if body
        else tag("p", "Without steps: the model stays as it is."),
        tag("p", f"… and {left:,} more steps.") if left > 0 else "",
        tag("footer", "preview(model, plan) says what it would change; apply(model, plan) does it on a copy."),
    ]
    return card(parts, view="plan", origin="", label=f"Plan of {count}")


TEXT = View(shows=Plan, medium="text", draw=draw_text, title="Steps of a plan", default=True)
HTML = View(shows=Plan, medium="html", draw=draw_html, title="Steps of a plan", default=True)
