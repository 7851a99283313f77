"""The difference of two module trees, as lines that go and lines that come."""

from __future__ import annotations

from effwidgets.records import Difference, DiffLine, View
from effwidgets.views.page import card, esc, tag
from effwidgets.views.texttable import plain
from effwidgets.views.words import clip

__all__ = ["HTML", "TEXT"]

_ROWS = 400
_KINDS = {"-": "bad", "+": "good", " ": "q"}
_WORDS = {"-": "goes", "+": "comes", " ": "stays"}


def draw_text(record: Difference) -> str:
    """Write it as `str` does, each module on a line of its own whatever its name holds."""
    head = [f"--- {plain(record.before)}", f"+++ {plain(record.after)}", f"@@ {record.sizes} @@"]
    return "\n".join([*head, *([plain(str(line)) for line in record.lines] or ["  no module differs"])])


def draw_html(record: Difference) -> str:
    """Return a table of the modules that differ; sign and colour say which way each goes."""
    title = record.before if record.before == record.after else f"{record.before} → {record.after}"
    sizes = record.sizes.replace("->", "→")
    header = f"<header>{tag('b', title)}{tag('span', 'module tree', 'q')}{tag('span', sizes, 'q')}</header>"
    body = "".join(map(_row, record.lines[:_ROWS]))
    heads = '<th scope="col"></th><th scope="col">Module</th><th scope="col">What it is</th>'
    heads += '<th scope="col">Tensors</th><th scope="col" class="n">Parameters</th>'
    left = len(record.lines) - _ROWS
    parts = [
        header,
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
        if body
        else tag("p", "No module differs. Values of weights are not compared."),
        tag("p", f"… and {left:,} more modules.") if left > 0 else "",
    ]
    return card(parts, view="difference", origin="", label=f"Module trees of {title}")


def _row(line: DiffLine) -> str:
    sign = "−" if line.sign == "-" else line.sign
    name = line.layer or "(the model)"
    return (
        f'<tr><td class="{_KINDS[line.sign]}"><b title="{_WORDS[line.sign]}">{sign}</b></td>'
        f'<th scope="row" class="{_KINDS[line.sign]}" title="{esc(name)}">{esc(clip(name, 60))}</th>'
        f'<td class="w">{esc(clip(line.text, 300))}</td><td class="w q">{esc(clip(line.shapes, 160))}</td>'
        f'<td class="n">{line.params:,}</td></tr>'
    )


TEXT = View(shows=Difference, medium="text", draw=draw_text, title="What changed in the module tree", default=True)
HTML = View(shows=Difference, medium="html", draw=draw_html, title="What changed in the module tree", default=True)
