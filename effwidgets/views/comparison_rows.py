"""What a comparison is drawn from: the totals, and a row for each layer that is not as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, TypedDict

from effwidgets.records import Comparison, Cost, LayerChange, LayerProfile, Profile
from effwidgets.units import shape_text
from effwidgets.views.measures import at_least
from effwidgets.views.wire import VERSION
from effwidgets.views.words import clip, module_text

__all__ = ["COLUMNS", "SUMS", "ChangeRow", "ComparisonPayload", "TotalRow", "payload"]

COLUMNS = {"params": "Parameters", "macs": "FLOPs", "saved_bytes": "Saved"}
"""The costs that a row shows."""

SUMS = frozenset({"param_bytes", "saved_bytes"})
"""Totals that every layer has a share of: the layer responsible is the one with the largest."""

_COSTS = {
    "params": "Parameters",
    "macs": "FLOPs (2 × MACs)",
    "backward_macs": "Backward FLOPs",
    "elementwise_ops": "Elementwise ops",
    "moved_bytes": "Bytes moved",
}
Sides: TypeAlias = Mapping[str, Mapping[str, LayerProfile]]
_MEMORY = {
    "param_bytes": "Parameters and buffers",
    "inference_peak_bytes": "Inference peak",
    "saved_bytes": "Saved for backward",
    "training_peak_bytes": "Training peak",
}


class TotalRow(TypedDict):
    """One number of the whole model. ``None`` where it was not measured; ``*_at`` names the layer responsible."""

    key: str
    title: str
    before: float | None
    after: float | None
    before_at: str | None
    after_at: str | None
    before_least: bool
    after_least: bool
    """At least: an operation without a formula is left out of it, or memory that a kernel keeps out of sight."""


class ChangeRow(TypedDict):
    """One layer. The costs count everything inside of it; none are there where the layer is not."""

    name: str
    label: str
    depth: int
    state: Literal["same", "inside", "changed", "replaced", "removed", "added"]
    part: bool
    kind: str
    told: str
    before: dict[str, int]
    after: dict[str, int]
    change: dict[str, int]
    place_before: dict[str, int]
    place_after: dict[str, int]
    """What this row alone adds to the model: all of a layer that was replaced, removed or added, else its own work;
    nothing for parts. The differences of all rows are the change of the model."""
    latency_before_s: float | None
    latency_after_s: float | None


class ComparisonPayload(TypedDict):
    """Two profiles side by side. Row 0 is the model itself; layers that are as they were are only counted."""

    view: Literal["comparison"]
    version: int
    origin: str
    title: str
    inputs: str
    totals: list[TotalRow]
    rows: list[ChangeRow]
    same: int
    least: bool
    """Some total is at least what it says: see `TotalRow`."""
    warnings: list[str]
    notes: list[str]


def payload(found: Comparison) -> ComparisonPayload:
    """Return what a comparison is drawn from."""
    one, other = found.before, found.after
    totals = _totals(found)
    shown = [layer for layer in found.layers if layer.state != "same" or not layer.name]
    sides = {
        "removed": {layer.name: layer for layer in one.layers},
        "added": {layer.name: layer for layer in other.layers},
    }
    return {
        "view": "comparison",
        "version": VERSION,
        "origin": found.origin,
        "title": one.model if one.model == other.model else f"{one.model} → {other.model}",
        "inputs": _inputs(one, other),
        "totals": totals,
        "rows": [_row(layer, one.model, _told(layer, sides, alike=one.inputs == other.inputs)) for layer in shown],
        "same": sum(layer.state == "same" and bool(layer.name) for layer in found.layers),
        "least": any(row["before_least"] or row["after_least"] for row in totals),
        "warnings": list(found.warnings),
        "notes": list(found.notes),
    }


def _inputs(one: Profile, other: Profile) -> str:
    before, after = (f"{', '.join(map(shape_text, p.inputs)) or 'none'} · {p.dtype}" for p in (one, other))
    return before if before == after else f"{before}  →  {after}"


def _totals(found: Comparison) -> list[TotalRow]:
    one, other = found.before, found.after
    ran = all(change.before is not None and change.after is not None for change in found.memory[:3])
    keys = [key for key in _COSTS if ran or key == "params"]
    rows: list[TotalRow] = [_total(key, _COSTS[key], getattr(one.cost, key), getattr(other.cost, key)) for key in keys]
    for change in found.memory:
        title = _MEMORY[change.quantity]
        optimizer = one.memory.optimizer
        if change.quantity == "training_peak_bytes" and optimizer and optimizer == other.memory.optimizer:
            title += f", {optimizer.upper()}"
        row = _total(change.quantity, title, change.before, change.after)
        row["before_at"], row["after_at"] = change.before_at, change.after_at
        if change.before is not None or change.after is not None:
            rows.append(row)
    if one.latency is not None or other.latency is not None:
        before, after = (None if p.latency is None else p.latency.median_s for p in (one, other))
        rows.append(_total("latency_s", "Latency", before, after))
    for row in rows:
        row["before_least"], row["after_least"] = (
            at_least(row["key"], p.uncounted, p.memory.hidden) for p in (one, other)
        )
    return rows


def _total(key: str, title: str, before: float | None, after: float | None) -> TotalRow:
    return {
        "key": key,
        "title": title,
        "before": before,
        "after": after,
        "before_at": None,
        "after_at": None,
        "before_least": False,
        "after_least": False,
    }


def _row(layer: LayerChange, model: str, told: str) -> ChangeRow:
    kinds = list(dict.fromkeys(kind for kind in (layer.before_kind, layer.after_kind) if kind))
    both = (layer.before, layer.after) if layer.whole else (layer.own_before, layer.own_after)
    place_before, place_after = both if layer.part_of is None else (Cost(), Cost())
    return {
        "name": layer.name,
        "label": layer.name.rpartition(".")[2] or model,
        "depth": layer.name.count(".") + 1 if layer.name else 0,
        "state": layer.state,
        "part": layer.part_of is not None,
        "kind": " → ".join(clip(kind, 40) for kind in kinds),
        "told": told,
        "before": _numbers(layer.before) if layer.before_kind else {},
        "after": _numbers(layer.after) if layer.after_kind else {},
        "change": _numbers(layer.change),
        "place_before": _numbers(place_before),
        "place_after": _numbers(place_after),
        "latency_before_s": layer.latency_before_s,
        "latency_after_s": layer.latency_after_s,
    }


def _told(layer: LayerChange, sides: Sides, *, alike: bool) -> str:
    if layer.state in sides:
        there = sides[layer.state].get(layer.name)
        return "" if there is None else _built(there)
    facts = [fact for fact in layer.telling if fact.what != "class"]
    if all(fact.what in ("inputs", "outputs") for fact in facts):
        facts = facts[-1:] if alike else []  # one of the two says it; with other inputs all shapes differ
    return ", ".join(map(str, facts))


def _built(layer: LayerProfile) -> str:
    # The sizes of a layer that stands on one side only, in the words of `module_text`.
    config = dict(layer.config)
    if "kernel_size" in config and "in_channels" in config:
        sizes = f"{config['in_channels']}, {config['out_channels']}"
        text = f"Conv({sizes}, kernel_size={config['kernel_size']}, stride={config['stride']})"
        return module_text(text).removeprefix("Conv ")
    if "in_features" in config and "out_features" in config:
        return f"{config['in_features']} → {config['out_features']}"
    return ""


def _numbers(cost: Cost) -> dict[str, int]:
    return {key: getattr(cost, key) for key in COLUMNS}
