"""The health of a model as text and as static HTML: what was found, then each layer's numbers."""

from __future__ import annotations

from effwidgets.records import Finding, Health, LayerHealth, View
from effwidgets.units import shape_text
from effwidgets.views.page import bar, card, esc, figures, notes, tag
from effwidgets.views.texttable import Column, fold, plain, table
from effwidgets.views.words import clip

__all__ = ["HTML", "TEXT", "number_text", "rows_of", "share_text"]

_TEXT_ROWS = 60
_PAGE_ROWS = 200
_PAGE_FINDINGS = 30
_MARKS = {"problem": "✗", "warning": "!", "note": "·"}
_CLASSES = {"problem": "bad", "warning": "", "note": "q"}
_HEADS = ("Layer", "Kind", "Gradient", "Weights", "Ratio", "Signal", "Outputs", "Dead", "Saturated")
_LEGEND = (
    "Gradient and Weights are norms of a layer's own parameters, Ratio is one over the other; Signal is the norm of "
    "the loss's gradient by the outputs, Outputs their root mean square. A unit is dead or saturated when it is so for "
    "the whole batch."
)


def number_text(value: float | None) -> str:
    """Write a norm.

    >>> number_text(0.01234), number_text(None), number_text(0.0)
    ('1.23e-02', '–', '0')
    """
    if value is None:
        return "–"
    return f"{value:.2e}" if value and not 0.1 <= abs(value) < 1000 else f"{value:.3g}"


def share_text(count: int, units: int) -> str:
    """Write a share of units.

    >>> share_text(3, 8), share_text(0, 0), share_text(1, 3000)
    ('38%', '', '< 1%')
    """
    if not units:
        return ""
    return "< 1%" if 0 < count < 0.005 * units else f"{count / units:.0%}"


def rows_of(health: Health) -> list[LayerHealth]:
    """Return the layers with something to say: parameters of their own, or activation functions."""
    return [layer for layer in health.layers if layer.gradient != "none" or layer.units or layer.nonfinite_outputs]


def _cells(layer: LayerHealth) -> list[str]:
    gradient = number_text(layer.gradient_norm) if layer.gradient in ("present", "zero", "none") else layer.gradient
    return [
        gradient,
        number_text(layer.weight_norm),
        number_text(layer.update_ratio),
        number_text(layer.signal_norm),
        "not finite" if layer.nonfinite_outputs else number_text(layer.output_rms),
        share_text(layer.dead, layer.units),
        share_text(layer.saturated, layer.units),
    ]


def _head(health: Health) -> str:
    mode = "training mode" if health.train else "eval mode"
    inputs = ", ".join(map(shape_text, health.inputs)) or "no tensors"
    return f"input {inputs} · {mode} · loss {health.loss_text}: {health.loss}"


def draw_text(health: Health) -> str:
    """Write what was found, then a line for each layer that has parameters or activation functions."""
    lines = [f"{plain(clip(health.model))} · {plain(_head(health))}", ""]
    for one in health.findings:
        told = fold([one.text], width=96, indent="  ")
        lines += [f"{_MARKS[one.severity]} {told[0][2:]}", *told[1:]]
    if not health.findings:
        lines.append("Nothing was found.")
    rows = rows_of(health)
    cells = [
        [clip(" ".join(layer.name.split()), 40) or "(the model)", clip(layer.kind, 28), *_cells(layer)]
        for layer in rows[:_TEXT_ROWS]
    ]
    lines += ["", *table([Column(name, right=place > 1) for place, name in enumerate(_HEADS)], cells)]
    if len(rows) > _TEXT_ROWS:
        lines.append(f"… and {len(rows) - _TEXT_ROWS:,} more layers. to_pandas() has them all.")
    return "\n".join([*lines, *fold([_LEGEND, *health.notes])])


def draw_html(health: Health) -> str:
    """Return the same as static HTML."""
    counts = {severity: sum(one.severity == severity for one in health.findings) for severity in _MARKS}
    head = [
        ("Problems", str(counts["problem"]), "what stops learning somewhere"),
        ("Warnings", str(counts["warning"]), "what may"),
        ("Loss", health.loss_text, health.loss),
    ]
    rows = rows_of(health)
    cells = "".join(
        f'<th scope="col"{" class=" + chr(34) + "n" + chr(34) if place > 1 else ""}>{name}</th>'
        for place, name in enumerate(_HEADS)
    )
    body = "".join(map(_row, rows[:_PAGE_ROWS]))
    inputs = ", ".join(map(shape_text, health.inputs)) or "no tensors"
    mode = "training mode" if health.train else "eval mode"
    header = f"<header>{tag('b', health.model)}{tag('span', f'input {inputs}', 'q')}{tag('span', mode, 'q')}</header>"
    parts = [header, figures(head), *map(_finding, health.findings[:_PAGE_FINDINGS])]
    if len(health.findings) > _PAGE_FINDINGS:
        parts.append(tag("p", f"… and {len(health.findings) - _PAGE_FINDINGS:,} more findings."))
    if body:
        parts.append(f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>")
    if len(rows) > _PAGE_ROWS:
        parts.append(tag("p", f"… and {len(rows) - _PAGE_ROWS:,} more layers."))
    parts += [tag("footer", _LEGEND), notes("Left out", health.notes)]
    return card(parts, view="health", origin=health.origin, label=f"Training health of {health.model}")


def _finding(one: Finding) -> str:
    kind = _CLASSES[one.severity]
    said = f"<b{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{_MARKS[one.severity]} {one.severity}</b>"
    return f"<p>{said} {esc(clip(one.text, 600))}</p>"


def _row(layer: LayerHealth) -> str:
    cells = _cells(layer)
    name = layer.name or "(the model)"
    first = (
        f'<th scope="row" title="{esc(name)}">{esc(clip(name, 48))}</th><td class="q">{esc(clip(layer.kind, 40))}</td>'
    )
    odd = layer.gradient not in ("present", "none")
    parts = [f'<td class="n{" bad" if odd and layer.gradient != "frozen" else ""}">{esc(cells[0])}</td>']
    parts += [f'<td class="n">{esc(cell)}</td>' for cell in cells[1:5]]
    for cell, count in zip(cells[5:], (layer.dead, layer.saturated), strict=True):
        parts.append(f'<td class="n">{esc(cell)}{bar(count / layer.units) if layer.units else ""}</td>')
    return f"<tr>{first}{''.join(parts)}</tr>"


TEXT = View(shows=Health, medium="text", draw=draw_text, title="Training health", default=True)
HTML = View(shows=Health, medium="html", draw=draw_html, title="Training health", default=True)
