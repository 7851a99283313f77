"""What all plotly figures share. Imports no plotly: a figure function does, when it is called."""

from __future__ import annotations

from typing import Any

__all__ = ["SYMBOLS", "TEMPLATE"]

TEMPLATE: dict[str, Any] = {
    "template": "plotly_white",
    "font": {"family": "system-ui, -apple-system, 'Segoe UI', sans-serif", "size": 13},
    "margin": {"l": 72, "r": 24, "t": 64, "b": 56},
    "hoverlabel": {"align": "left"},
}
"""Layout that each figure starts from."""

SYMBOLS = {
    "ring": "circle-open",
    "circle": "circle",
    "square": "square",
    "diamond": "diamond",
    "triangle": "triangle-up",
    "cross": "cross",
}
"""Plotly's names of the shapes in `effwidgets.views.families`."""
