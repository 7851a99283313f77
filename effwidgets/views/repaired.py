"""What a repair without labels did: which layers were fitted again, and what it brought."""

from __future__ import annotations

from effwidgets.records import Refit, Repaired, View
from effwidgets.units import seconds_text
from effwidgets.views.page import card, esc, figures, notes, tag
from effwidgets.views.texttable import Column, fold, table
from effwidgets.views.words import clip

__all__ = ["HTML", "TEXT", "error_text", "repair_text"]

_TEXT_ROWS = 30
_PAGE_ROWS = 200
_WHAT = "Errors are measured on calibration data: norm of the change over the norm of what the layer gave before."


def error_text(error: float | None) -> str:
    """Write a relative error as a percentage; what was not measured is a dash.

    >>> error_text(0.1234), error_text(0.00012), error_text(None), error_text(0.0)
    ('12.3%', '0.012%', '–', '0%')
    """
    if error is None:
        return "–"
    if not error:
        return "0%"
    return f"{error:.1%}" if error >= 0.01 else f"{100 * error:.2g}%"


def repair_text(repaired: Repaired) -> str:
    """Say in one sentence what was done, how long it took and what it brought.

    >>> repair_text(Repaired(steps=("least_squares", "batch_norm"), error_before=0.9, error_after=0.05, seconds=0.5))
    'least squares and batch norm in 500 ms; the outputs were 90.0% off before and 5.0% after'
    """
    done = " and ".join(step.replace("_", " ") for step in repaired.steps) or "nothing was kept"
    said = f"{done} in {seconds_text(repaired.seconds)}"
    if repaired.error_before is None or repaired.error_after is None:
        return f"{said}; the outputs could not be compared"
    before, after = error_text(repaired.error_before), error_text(repaired.error_after)
    told = f"{said}; the outputs were {before} off before and {after} after"
    grew = repaired.error_after > repaired.error_before
    return f"{told}, which has in it what the steps cost that came after the first repair" if grew else told


def _cells(refit: Refit) -> list[str]:
    kept = "kept" if refit.kept else "put back: the error rose"
    return [refit.step.replace("_", " "), f"{refit.rows:,}", error_text(refit.before), error_text(refit.after), kept]


def draw_text(repaired: Repaired) -> str:
    """Write the sentence, then a line for each layer that was fitted again."""
    lines = [f"Repair: {repair_text(repaired)}."]
    rows = [[clip(refit.layer, 48) or "(the model)", *_cells(refit)] for refit in repaired.refits[:_TEXT_ROWS]]
    if rows:
        columns = [Column("Layer"), Column("How"), Column("Rows", right=True), Column("Before", right=True)]
        lines += ["", *table([*columns, Column("After", right=True), Column("")], rows)]
    if len(repaired.refits) > _TEXT_ROWS:
        lines.append(f"… and {len(repaired.refits) - _TEXT_ROWS:,} more layers.")
    return "\n".join([*lines, *fold(repaired.notes)])


def draw_html(repaired: Repaired) -> str:
    """Return the same as static HTML."""
    kept = sum(refit.kept for refit in repaired.refits)
    head = [
        ("Error before", error_text(repaired.error_before), "of the model's outputs"),
        ("Error after", error_text(repaired.error_after), "the same data"),
        ("Time", seconds_text(repaired.seconds), " and ".join(repaired.steps).replace("_", " ") or "nothing was kept"),
        ("Layers fitted again", f"{kept:,}", f"of {len(repaired.refits):,} tried"),
    ]
    parts = ["<header><b>Repair</b><span class='q'>without labels</span></header>", figures(head)]
    parts += [refits_table(repaired), notes("What was done and what was left", repaired.notes), tag("footer", _WHAT)]
    return card(parts, view="repaired", origin="", label="Repair without labels")


def refits_table(repaired: Repaired) -> str:
    """Return the layers that were fitted again as a table; nothing where there are none."""
    body = ""
    for refit in repaired.refits[:_PAGE_ROWS]:
        how, rows, before, after, kept = map(esc, _cells(refit))
        name = refit.layer or "(the model)"
        body += f'<tr><th scope="row" title="{esc(name)}">{esc(clip(name, 60))}</th><td>{how}</td>'
        body += f'<td class="n">{rows}</td><td class="n">{before}</td><td class="n">{after}</td>'
        body += f'<td class="{"q" if refit.kept else "bad"}">{kept}</td></tr>'
    heads = "".join(f'<th scope="col"{kind}>{name}</th>' for name, kind in _HEADS)
    left = len(repaired.refits) - _PAGE_ROWS
    more = tag("p", f"… and {left:,} more layers.") if left > 0 else ""
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{more}" if body else ""


_RIGHT = ' class="n"'
_HEADS = (("Layer", ""), ("How", ""), ("Rows", _RIGHT), ("Before", _RIGHT), ("After", _RIGHT), ("", ""))

TEXT = View(shows=Repaired, medium="text", draw=draw_text, title="Repair", default=True)
HTML = View(shows=Repaired, medium="html", draw=draw_html, title="Repair", default=True)
