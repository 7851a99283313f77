"""The layers of a profile as a table of typed columns."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Any

from effwidgets.records import Cost, LayerProfile, Profile, Shape, View
from effwidgets.views.measures import at_least, depths, gather, parents
from effwidgets.views.sheet import Field, csv_text, frame

__all__ = ["CSV", "FRAME", "columns_of"]

_COSTS = tuple(part.name for part in fields(Cost))


def columns_of(profile: Profile) -> list[Field]:
    """Return the columns: who, how often, which shapes, then each cost with what is inside and its own alone.

    Shapes are written "1x3x224x224", several with a space between; ``macs`` are multiply-accumulates.
    """
    layers, above = profile.layers, parents(profile)
    return [
        Field("layer", "text", [layer.name for layer in layers]),
        Field("kind", "text", [layer.kind for layer in layers]),
        Field("depth", "int", depths(above)),
        Field("parent", "text", [None if row < 0 else layers[row].name for row in above]),
        Field("aliases", "text", [" ".join(layer.aliases) for layer in layers]),
        Field("calls", "int", [layer.calls for layer in layers]),
        Field("input_shapes", "text", [_shapes(layer.inputs) for layer in layers]),
        Field("output_shapes", "text", [_shapes(layer.outputs) for layer in layers]),
        *(_cost(layers, key) for key in _COSTS),
        *(_cost(layers, key, own=True) for key in _COSTS),
        *_uncounted(profile, above),
        *_latency(layers),
    ]


def _cost(layers: tuple[LayerProfile, ...], key: str, *, own: bool = False) -> Field:
    values = [getattr(layer.self_cost if own else layer.cost, key) for layer in layers]
    return Field(f"own_{key}" if own else key, "int", values)


def _uncounted(profile: Profile, above: list[int]) -> list[Field]:
    times: Counter[str] = Counter()
    for one in profile.uncounted:
        times[one.layer] += one.times
    own = [float(times[layer.name]) for layer in profile.layers]
    inside = [int(value) for value in gather(own, above)]
    return [
        Field("uncounted_ops", "int", inside),
        Field("own_uncounted_ops", "int", [int(value) for value in own]),
    ]


def _latency(layers: tuple[LayerProfile, ...]) -> list[Field]:
    measured, own = [layer.latency for layer in layers], [layer.self_latency for layer in layers]
    return [
        Field("latency_s", "float", [None if one is None else one.median_s for one in measured]),
        Field("own_latency_s", "float", [None if one is None else one.median_s for one in own]),
        Field("latency_iqr_s", "float", [None if one is None else one.iqr_s for one in measured]),
    ]


def _shapes(shapes: tuple[Shape, ...]) -> str:
    return " ".join("x".join(map(str, shape)) or "scalar" for shape in shapes)


def draw_frame(profile: Profile) -> Any:
    """Return a ``pandas.DataFrame``; its ``attrs`` say of which model, and by which conventions."""
    facts = {
        "model": profile.model,
        "inputs": _shapes(profile.inputs),
        "dtype": profile.dtype,
        "conventions": "MACs are multiply-accumulates; FLOPs = 2 x MACs; own_ columns leave out what is inside.",
        "at_least": at_least("macs", profile.uncounted),
        "notes": list(profile.notes),
    }
    return frame(columns_of(profile), facts)


FRAME = View(shows=Profile, medium="frame", draw=draw_frame, title="Layers as a pandas table", default=True)
CSV = View(
    shows=Profile,
    medium="csv",
    draw=lambda profile: csv_text(columns_of(profile)),
    title="Layers as CSV",
    default=True,
)
