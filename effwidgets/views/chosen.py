"""A plan chosen under budgets: predicted and true for each, loss, scores, steps."""

from __future__ import annotations

from effwidgets.records import Chosen, Option, Reached, View
from effwidgets.units import seconds_text
from effwidgets.views.page import card, esc, notes, tag
from effwidgets.views.steps import skipped_html, skipped_lines, step_cells
from effwidgets.views.texttable import Column, plain, table
from effwidgets.views.words import amount, clip, is_share, places, score_text, settings_text, shown_name

__all__ = ["HTML", "TEXT"]

_TEXT_ROWS = 60
_PAGE_ROWS = 200
_MEASURES = {"kl": "KL divergence", "squares": "relative squared error"}
_HEADS = ("Budget", "Predicted", "True", "Now")


def _amount(axis: str, value: float) -> str:
    return seconds_text(value) if axis.endswith("_s") else amount(axis, value)


def _part(one: Reached, value: float) -> str:
    share = f" ({value / one.now:.0%})" if one.now else ""
    return f"{_amount(one.axis, value)}{share}"


def _cells(one: Reached) -> list[str]:
    true = _part(one, one.true) + (f" ± {_amount(one.axis, one.error)}" if one.error else "")
    return [_part(one, one.limit), _part(one, one.predicted), true, _amount(one.axis, one.now)]


def _loss_lines(record: Chosen) -> list[str]:
    true = "not measured" if record.true_loss is None else f"{record.true_loss:.3g}"
    what = _MEASURES.get(record.measure, record.measure)
    lines = [f"Loss ({what}): predicted {record.predicted_loss:.3g}, true {true}"]
    before = {score.metric: score.value for score in record.base}
    for score in record.scores:
        values = (before.get(score.metric), score.value)
        as_share = is_share(score.metric, values)
        was, now = (score_text(value, as_share=as_share) for value in values)
        lines.append(f"{score.metric}: {was} before, {now} now")
    return lines


def _said(record: Chosen) -> str:
    count = f"{len(record.plan)} step{'s' * (len(record.plan) != 1)}"
    tries = f", at the {record.rounds}. attempt" if record.rounds > 1 else ""
    return f"{count}; {'all budgets kept' if record.met else 'NOT all budgets kept'}{tries}"


def draw_text(record: Chosen) -> str:
    """Write a line for each budget, the loss and the scores, then the steps."""
    rows = [["✓" if one.met else "✗", shown_name(one.axis), *_cells(one)] for one in record.budgets]
    columns = [Column(""), Column("Cost"), *(Column(name, right=True) for name in _HEADS)]
    known = {option.step: option for option in record.options}
    steps = [
        [step.transform, clip(places(step.layers), 48), clip(settings_text(step), 48), _alone(known.get(step))]
        for step in record.plan.steps[:_TEXT_ROWS]
    ]
    heads = [Column("Technique"), Column("Where"), Column("Settings"), Column("Loss alone", right=True)]
    left = len(record.plan) - len(steps)
    return "\n".join(
        [
            f"Chosen for {plain(record.model)}: {_said(record)}; .plan has them",
            "",
            *table(columns, rows),
            "",
            *map(plain, _loss_lines(record)),
            "",
            *(table(heads, steps) if steps else ["No step is needed: the model keeps the budgets as it is."]),
            *([f"… and {left:,} more steps."] if left else []),
            *skipped_lines(record.skipped),
            *map(plain, record.notes),
        ]
    )


def _alone(option: Option | None) -> str:
    value = None if option is None else option.divergence
    return "–" if value is None else f"{value:.3g}"


def draw_html(record: Chosen) -> str:
    """Return the same as static HTML."""
    known = {option.step: option for option in record.options}
    numbers = "".join(f'<th scope="col" class="n">{name}</th>' for name in _HEADS)
    heads = f'<th scope="col">Cost</th>{numbers}<th scope="col"></th>'
    said = tag("span", _said(record), "q" if record.met else "bad")
    body = "".join(_row(one) for one in record.budgets)
    steps = "".join(
        f'<tr>{step_cells(number, step)}<td class="n">{esc(_alone(known.get(step)))}</td></tr>'
        for number, step in enumerate(record.plan.steps[:_PAGE_ROWS])
    )
    titles = (
        '<th scope="col" class="n">#</th><th scope="col">What and where</th><th scope="col" class="n">Loss alone</th>'
    )
    left = len(record.plan) - _PAGE_ROWS
    parts = [
        f"<header><b>Chosen for {esc(record.model)}</b>{said}</header>",
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>",
        *(tag("p", line) for line in _loss_lines(record)),
        f"<table><thead><tr>{titles}</tr></thead><tbody>{steps}</tbody></table>" if steps else "",
        tag("p", f"… and {left:,} more steps.") if left > 0 else "",
        skipped_html(record.skipped),
        notes(f"{len(record.notes):,} notes", list(record.notes)),
        tag(
            "footer", "apply(model, chosen) does it again on a copy. Predicted: before it was carried out. True: after."
        ),
    ]
    return card(parts, view="chosen", origin=record.origin, label=f"Chosen for {record.model}")


def _row(one: Reached) -> str:
    limit, predicted, true, now = map(esc, _cells(one))
    kind, word = ("good", "✓ kept") if one.met else ("bad", "✗ missed")
    return (
        f'<tr><th scope="row">{esc(shown_name(one.axis))}</th><td class="n">{limit}</td>'
        f'<td class="n q">{predicted}</td><td class="n">{true}</td><td class="n q">{now}</td>'
        f'<td class="{kind}">{word}</td></tr>'
    )


TEXT = View(shows=Chosen, medium="text", draw=draw_text, title="Chosen under budgets", default=True)
HTML = View(shows=Chosen, medium="html", draw=draw_html, title="Chosen under budgets", default=True)
