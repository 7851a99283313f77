"""What all plotly figures share. Imports no plotly: a figure function does, when it is called."""

from __future__ import annotations

from html import escape
from typing import Any, Final

from effwidgets.views.words import clip

__all__ = ["LAYOUT", "QUIET", "SYMBOLS", "TEMPLATE", "shown"]

TEMPLATE: dict[str, Any] = {
    "template": "plotly_white",
    "font": {"family": "system-ui, -apple-system, 'Segoe UI', sans-serif", "size": 13},
    "margin": {"l": 72, "r": 24, "t": 64, "b": 56},
    "hoverlabel": {"align": "left"},
}
"""Layout that each figure starts from."""

QUIET: Final = "#767b83"
"""Text outside of the tiles, on a ground of any theme: contrast 4.3 on white, 4.4 on #111111."""

LAYOUT: Final[dict[str, Any]] = {
    **TEMPLATE,
    "template": "none",
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {**TEMPLATE["font"], "color": QUIET},
    "margin": {"l": 12, "r": 12, "t": 88, "b": 12},
}
"""Layout of a figure that takes the ground it stands on."""

SYMBOLS = {
    "ring": "circle-open",
    "circle": "circle",
    "square": "square",
    "diamond": "diamond",
    "triangle": "triangle-up",
    "bar": "bowtie",
    "cross": "cross",
}
"""Plotly's names of the shapes in `effwidgets.views.families`."""


def shown(text: str, most: int = 60) -> str:
    """Return text for a figure: as it is, never markup and never a formula (plotly reads both).

    >>> shown("<b>$x$</b>")
    '&lt;b&gt;&#36;x&#36;&lt;/b&gt;'
    """
    return escape(clip(text, most)).replace("$", "&#36;")
