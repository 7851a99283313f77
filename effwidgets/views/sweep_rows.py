"""What a sweep is drawn from: a row for each size, how each cost grows, and which layers make it grow."""

from __future__ import annotations

from typing import Literal, TypedDict

from effwidgets.records import Growth, Sweep, SweepPoint
from effwidgets.units import shape_text
from effwidgets.views.measures import at_least
from effwidgets.views.wire import VERSION

__all__ = ["COSTS", "GrowthRow", "LayerRow", "SizeRow", "SweepPayload", "growth_text", "payload"]

COSTS = {
    "macs": "FLOPs",
    "backward_macs": "Backward FLOPs",
    "elementwise_ops": "Elementwise ops",
    "moved_bytes": "Bytes moved",
    "inference_peak_bytes": "Inference peak",
    "saved_bytes": "Saved for backward",
    "training_peak_bytes": "Training peak",
}
"""The costs that are shown, by their fields. FLOPs are 2 x MACs."""

_WIDE = {"batch": "the batch", "resolution": "the resolution", "sequence": "the length of the sequence"}
_TOP = 5


class SizeRow(TypedDict):
    """The model at one size; no values where it does not run."""

    size: int
    inputs: str
    values: dict[str, int | None]
    inference_peak_at: str | None
    training_peak_at: str | None
    least: dict[str, bool]
    """Which values are at least what they say: each asks for what is missing in it."""
    note: str


class GrowthRow(TypedDict):
    """How one cost of the model grows."""

    key: str
    title: str
    kind: str
    formula: str
    remark: str
    exact: bool


class LayerRow(TypedDict):
    """One of the layers that make a cost grow; ``share`` is its part of the model's growth."""

    key: str
    layer: str
    share: float
    formula: str


class SweepPayload(TypedDict):
    """A model at several sizes of its input, the smallest first."""

    view: Literal["sweep"]
    version: int
    origin: str
    title: str
    axis: str
    what: str
    changed: str
    mode: str
    rows: list[SizeRow]
    growth: list[GrowthRow]
    layers: list[LayerRow]
    notes: list[str]


def payload(found: Sweep) -> SweepPayload:
    """Return what a sweep is drawn from."""
    return {
        "view": "sweep",
        "version": VERSION,
        "origin": found.origin,
        "title": found.model,
        "axis": found.axis,
        "what": _WIDE.get(found.axis, "the size"),
        "changed": "; ".join(found.changed),
        "mode": " · ".join(filter(None, (found.dtype, "training mode" if found.train else "eval mode"))),
        "rows": [_row(point) for point in found.points],
        "growth": [_growth(one) for key in COSTS for one in found.growth if one.quantity == key and one.last],
        "layers": [
            {
                "key": growth.quantity,
                "layer": growth.layer or "",
                "share": growth.share,
                "formula": growth.formula(times=_times(growth.quantity)),
            }
            for key in ("macs", "saved_bytes")
            for growth in [one for one in found.layers if one.quantity == key][:_TOP]
        ],
        "notes": list(found.notes),
    }


def _row(point: SweepPoint) -> SizeRow:
    memory = point.memory
    return {
        "size": point.size,
        "inputs": ", ".join(map(shape_text, point.inputs)),
        "values": {key: point.value(key) for key in COSTS},
        "inference_peak_at": None if memory is None else memory.inference_peak_at,
        "training_peak_at": None if memory is None else memory.training_peak_at,
        "least": {key: at_least(key, point.uncounted, memory.hidden if memory else ()) for key in COSTS},
        "note": point.note,
    }


def _growth(growth: Growth) -> GrowthRow:
    return {
        "key": growth.quantity,
        "title": COSTS[growth.quantity],
        "kind": growth.kind if growth.exact else growth_text(growth),
        "formula": growth.formula(times=_times(growth.quantity)),
        "remark": _remark(growth),
        "exact": growth.exact,
    }


def growth_text(growth: Growth) -> str:
    """Say in a word or two how something grows.

    >>> growth_text(Growth(quantity="macs", kind="power", exponent=1.5, factor=2.0, deviation=0.1, since=1, points=3,
    ...     first=2, last=16))
    'like n^1.50'
    """
    if growth.kind == "power" and growth.exponent is not None:
        return f"like n^{growth.exponent:.2f}"
    return {"unknown": "not known"}.get(growth.kind, growth.kind)


def _remark(growth: Growth) -> str:
    count = growth.points
    if growth.exact:
        return f"exact at {count} sizes from {growth.since:,} on"
    if growth.kind != "power" or growth.deviation is None:
        return f"{count} size{'s' * (count != 1)} say nothing" if count < 2 else "no line through a zero"
    if count < 3:
        return "slope between two sizes"
    return f"slope over the range, off by up to {growth.deviation:.1%}"


def _times(quantity: str) -> int:
    return 2 if quantity.endswith("macs") else 1
