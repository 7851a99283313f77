"""What all static HTML shares: the style sheet, the card, escaped text, bars, numbers.

Self-contained and without scripts, so that it survives a restart, an untrusted notebook and offline export.
Every piece of text passes `esc`: names of layers are text from strangers.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from effwidgets.views.families import FAMILIES, family
from effwidgets.views.words import clip

__all__ = ["bar", "card", "esc", "figures", "mark", "notes", "tag"]

_COLOURS = "".join(f"--effdl-{one.name}:light-dark({one.light},{one.dark});" for one in FAMILIES.values())

# `color-scheme` follows the notebook's theme where the page says what it is, else the reader's system. The ground is
# painted, so text is readable also where the page and the system disagree. `& ` becomes a selector with the weight of
# an id: JupyterLab's own rules for tables in outputs outweigh a plain class.
_STYLE = (
    (
        ".effdl-static{color-scheme:light dark;"
        + _COLOURS
        + """
--effdl-ground:var(--jp-layout-color0,var(--vscode-editor-background,light-dark(#fff,#14171c)));
--effdl-soft:var(--jp-layout-color2,light-dark(#eef1f5,#242a33));
--effdl-line:var(--jp-border-color2,light-dark(#dfe3e9,#323a46));
--effdl-text:var(--jp-content-font-color1,var(--vscode-editor-foreground,light-dark(#1a1d23,#eceff3)));
--effdl-quiet:light-dark(#5a6370,#a7b0bc);
--effdl-accent:light-dark(#2b62cf,#7fa9fb);
--effdl-good:light-dark(#17784f,#5fc79a);--effdl-bad:light-dark(#b3362b,#ff9387);
box-sizing:border-box;max-width:68rem;margin:.25rem 0;border:1px solid var(--effdl-line);border-radius:8px;
background:var(--effdl-ground);color:var(--effdl-text);overflow-x:auto;
font:13px/1.45 var(--jp-ui-font-family,system-ui,-apple-system,"Segoe UI",sans-serif);font-variant-numeric:tabular-nums}
[data-jp-theme-light=true] .effdl-static{color-scheme:light}[data-jp-theme-light=false] .effdl-static{color-scheme:dark}
.vscode-dark .effdl-static{color-scheme:dark}.vscode-light .effdl-static{color-scheme:light}
& *{box-sizing:border-box}
& header{display:flex;gap:.75rem;align-items:baseline;flex-wrap:wrap;padding:.7rem 1rem}
& header b{font-size:1.15em;overflow-wrap:anywhere}& header span:last-child{margin-left:auto}
& .q{color:var(--effdl-quiet)}& .good{color:var(--effdl-good)}
& .bad{color:var(--effdl-bad)}
& dl{display:flex;flex-wrap:wrap;margin:0;border-top:1px solid var(--effdl-line)}
& dl>div{flex:1 1 9rem;padding:.5rem 1rem .6rem;border-right:1px solid var(--effdl-line)}
& dl>div:last-child{border-right:0}
& dt,& dd{float:none;display:block;width:auto;padding:0}
& dt{margin:0;font-weight:400;color:var(--effdl-quiet);font-size:.92em}
& dd{margin:0;font-size:1.3em;font-weight:600;white-space:nowrap}
& dd small{display:block;font-size:.68em;font-weight:400;color:var(--effdl-quiet);white-space:normal;
overflow-wrap:anywhere}
& table{border-collapse:collapse;table-layout:auto;width:100%;margin:0;border:0;font-size:1em;color:inherit;
background:none;border-top:1px solid var(--effdl-line)}
& tr,& tr:nth-child(even),& tr:hover{background:none}
& th,& td{padding:.28rem .5rem;border:0;line-height:1.45;text-align:left;vertical-align:top;white-space:nowrap;
max-width:none;color:inherit}
& th{font-weight:600;color:var(--effdl-quiet);padding-top:.45rem;padding-bottom:.45rem}
& tbody tr{border-top:1px solid color-mix(in srgb,var(--effdl-line) 60%,transparent)}
& tbody th{font-weight:400;color:inherit;padding-top:.28rem;padding-bottom:.28rem}
& th:first-child,& td:first-child{padding-left:1rem}
& th:last-child,& td:last-child{padding-right:1rem}
& .n{text-align:right}& .w{white-space:normal;overflow-wrap:anywhere;min-width:12rem}
& i.bar{display:inline-block;width:3.4rem;height:.5rem;margin-left:.5rem;border-radius:2px;
background:var(--effdl-soft);overflow:hidden;vertical-align:baseline}
& i.bar>i{display:block;height:100%;background:var(--effdl-accent)}
& footer,& p{margin:0;padding:.5rem 1rem;border-top:1px solid var(--effdl-line);
color:var(--effdl-quiet);overflow-wrap:anywhere}
& svg{vertical-align:-.1em}& details{padding:.5rem 1rem;border-top:1px solid var(--effdl-line)}
& summary{cursor:pointer;color:var(--effdl-quiet)}
& details ul{margin:.4rem 0 0;padding-left:1.2rem}
& code{font-size:.92em;color:inherit;background:none;padding:0}
@media(prefers-contrast:more){.effdl-static{--effdl-quiet:var(--effdl-text)}}
"""
    )
    .replace("\n", "")
    .replace("& ", ":is(.effdl-static,#_) ")
)


def esc(text: str) -> str:
    """Escape text for HTML, in attributes too."""
    return escape(text.encode("utf-8", "replace").decode("utf-8"), quote=True)  # half a surrogate pair cannot be sent


def card(body: Sequence[str], *, view: str, origin: str, label: str, result: bool = False) -> str:
    """Return the whole output.

    A live view of the same origin hides its static twin while it lives, by the two data attributes. ``result`` marks
    what stays beside the live view: the picture of finished work.
    """
    kind = "effdl-static effdl-result" if result else "effdl-static"
    head = f'<div class="{kind}" data-effdl-origin="{esc(origin)}" data-effdl-view="{esc(view)}"'
    return f'{head} role="region" aria-label="{esc(label)}" tabindex="0"><style>{_STYLE}</style>{"".join(body)}</div>'


def tag(name: str, text: str, kind: str = "") -> str:
    """Return one element around escaped text."""
    return f'<{name} class="{kind}">{esc(text)}</{name}>' if kind else f"<{name}>{esc(text)}</{name}>"


def figures(items: Sequence[tuple[str, str, str]]) -> str:
    """Return the headline numbers: (what, value, remark) each."""
    cells = "".join(
        f"<div><dt>{esc(what)}</dt><dd>{esc(value)}{f'<small>{esc(remark)}</small>' if remark else ''}</dd></div>"
        for what, value, remark in items
    )
    return f"<dl>{cells}</dl>"


def bar(fraction: float) -> str:
    """Return a small bar; what is there but tiny still shows."""
    width = min(max(100 * fraction, 2.0 if fraction > 0 else 0.0), 100.0)
    return f'<i class="bar" aria-hidden="true"><i style="width:{width:.1f}%"></i></i>'


def notes(title: str, sentences: Sequence[str], *, most: int = 40) -> str:
    """Return a foldable list of sentences; nothing when there are none."""
    if not sentences:
        return ""
    shown = "".join(f"<li>{esc(clip(sentence, 400))}</li>" for sentence in sentences[:most])
    more = f"<li>… and {len(sentences) - most:,} more</li>" if len(sentences) > most else ""
    return f"<details><summary>{esc(title)}</summary><ul>{shown}{more}</ul></details>"


_SHAPES = {
    "ring": '<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" fill="none" stroke="{c}" stroke-width="2"/>',
    "circle": '<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" fill="{c}"/>',
}
_CORNERS: dict[str, tuple[tuple[float, float], ...]] = {
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "diamond": ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
    "triangle": ((0, -1.15), (1.1, 0.85), (-1.1, 0.85)),
    "bar": ((-1.4, -0.5), (1.4, -0.5), (1.4, 0.5), (-1.4, 0.5)),
    "cross": (
        (-0.35, -1.1), (0.35, -1.1), (0.35, -0.35), (1.1, -0.35), (1.1, 0.35), (0.35, 0.35),
        (0.35, 1.1), (-0.35, 1.1), (-0.35, 0.35), (-1.1, 0.35), (-1.1, -0.35), (-0.35, -0.35),
    ),
}  # fmt: skip


def mark(name: str, x: float, y: float, radius: float = 5.0, colour: str = "") -> str:
    """Return the mark of a family as SVG, centred at (x, y), in its own colour or another."""
    one = family(name)
    colour = colour or f"var(--effdl-{one.name})"
    if one.shape in _SHAPES:
        return _SHAPES[one.shape].format(x=x, y=y, r=radius, c=colour)
    points = " ".join(f"{x + radius * dx:.1f},{y + radius * dy:.1f}" for dx, dy in _CORNERS[one.shape])
    return f'<polygon points="{points}" fill="{colour}"/>'
