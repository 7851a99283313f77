"""The four memory numbers of a whole model, each with the layer responsible, as text and static HTML show them."""

from __future__ import annotations

from typing import NamedTuple

from effwidgets.units import bytes_text
from effwidgets.views.wire import LayersPayload
from effwidgets.views.words import clip, places

__all__ = ["MemoryFigure", "held", "memory_figures"]


class MemoryFigure(NamedTuple):
    """One number: what it is called, how much, who is responsible, and how sure it is."""

    title: str
    amount: str
    where: str
    least: str
    """Why it is at least this much, in words; "" where it is exact."""


def held(data: LayersPayload) -> str:
    """Write who holds most of the parameters; nothing where there are none."""
    return _largest(data, data["totals"]["param_at"])


def memory_figures(data: LayersPayload) -> list[MemoryFigure]:
    """Return what a run found: the two peaks, and between them what is saved for the backward."""
    whole = data["totals"]
    optimizer = f", {whole['optimizer'].upper()}" if whole["optimizer"] else ""
    found = [
        ("Inference peak", whole["inference_peak_bytes"], _at(data, whole["inference_peak_at"])),
        ("Saved for backward", whole["saved_bytes"], _largest(data, whole["saved_at"])),
        (f"Training peak{optimizer}", whole["training_peak_bytes"], _at(data, whole["training_peak_at"])),
    ]
    least = f"at least: more is hidden in {places(whole['hidden'])}" if whole["hidden"] else ""
    return [MemoryFigure(title, bytes_text(value), where, least) for title, value, where in found if value is not None]


def _at(data: LayersPayload, name: str | None) -> str:
    return "" if name is None else f"at {_named(data, name)}"


def _largest(data: LayersPayload, name: str | None) -> str:
    return "" if name is None else f"largest: {_named(data, name)}"


def _named(data: LayersPayload, name: str) -> str:
    return clip(name or data["title"], 48)
