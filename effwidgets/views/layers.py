"""The layer table: where a model's parameters, FLOPs and bytes are."""

from __future__ import annotations

from collections.abc import Iterable

from effwidgets.records import Cost, LayerProfile, Profile, Uncounted, View
from effwidgets.units import bytes_text, count_text, seconds_text, shape_text
from effwidgets.views.layers_figure import draw_figure
from effwidgets.views.layers_html import draw_html
from effwidgets.views.memory import held, memory_figures
from effwidgets.views.texttable import Column, fold, plain, table
from effwidgets.views.times import times, times_text
from effwidgets.views.totals import totals
from effwidgets.views.wire import VERSION, Columns, LayersPayload
from effwidgets.views.words import clip
from effwidgets.views.zeros import zeros

__all__ = ["FIGURE", "HTML", "TEXT", "payload"]

_TEXT_ROWS = 60  # a screen or two of a terminal
_TEXT_ZEROS = 8


def payload(profile: Profile) -> LayersPayload:
    """Return what the page draws the layer table from."""
    layers = profile.layers
    partial = not profile.inputs
    shapes = ", ".join(shape_text(shape) for shape in profile.inputs)
    place = profile.environment
    threads = f"{place.threads} thread{'s' if place.threads != 1 else ''}"
    return {
        "view": "layers",
        "version": VERSION,
        "origin": profile.origin,
        "title": profile.model,
        "inputs": "not run yet" if partial else f"{shapes} · {profile.dtype}",
        "environment": f"torch {place.torch} · {place.device} · {threads}",
        "totals": totals(profile.cost, profile.memory, profile.latency, ran=not partial),
        "partial": partial,
        "names": [layer.name for layer in layers],
        "labels": [layer.name.rpartition(".")[2] or profile.model for layer in layers],
        "kinds": [layer.kind for layer in layers],
        "parents": _parents(layers),
        "outputs": [shape_text(layer.outputs[0]) if layer.outputs else "" for layer in layers],
        "calls": [layer.calls for layer in layers],
        "aliases": [list(layer.aliases) for layer in layers],
        "own": _columns(layer.self_cost for layer in layers),
        "total": _columns(layer.cost for layer in layers),
        "times": times(profile),
        "zeros": zeros(profile),
        "uncounted": [_uncounted_text(one) for one in profile.uncounted if not one.backward],
        "notes": [*profile.notes, *_of_backward(profile)],
    }


def _parents(layers: tuple[LayerProfile, ...]) -> list[int]:
    rows = {layer.name: index for index, layer in enumerate(layers)}
    found = []
    for layer in layers:
        path = layer.name
        while path:
            path = path.rpartition(".")[0]
            if path in rows:
                break
        found.append(rows.get(path, 0) if layer.name else -1)
    return found


def _columns(costs: Iterable[Cost]) -> Columns:
    every = tuple(costs)
    return {
        "params": [cost.params for cost in every],
        "macs": [cost.macs for cost in every],
        "saved_bytes": [cost.saved_bytes for cost in every],
        "output_bytes": [cost.output_bytes for cost in every],
        "elementwise_ops": [cost.elementwise_ops for cost in every],
        "moved_bytes": [cost.moved_bytes for cost in every],
    }


def _uncounted_text(one: Uncounted) -> str:
    return f"{one.op} ({one.times}× in {clip(one.layer, 60) or 'the model itself'})"


def _of_backward(profile: Profile) -> list[str]:
    missing = ", ".join(_uncounted_text(one) for one in profile.uncounted if one.backward)
    return [f"The work of the backward is at least what is counted: no formula for {missing}."] if missing else []


def draw_text(profile: Profile) -> str:
    """Write the layer table for a terminal: the total first, then each layer, indented."""
    data = payload(profile)
    whole, least = data["totals"], "at least " if data["uncounted"] else ""
    lines = [f"{plain(clip(data['title']))} · input {data['inputs']}", _headline(data, least)]
    lines += _memory(data)
    if whole["latency_s"] is not None:
        spread = seconds_text((whole["latency_iqr_s"] or 0.0) / 2)
        lines.append(f"Latency {seconds_text(whole['latency_s'])} ± {spread} · {data['environment']}")
    if data["times"] is not None and data["times"]["warning"] is not None:
        lines += fold([f"Take care: {data['times']['warning']}."])
    shown = min(len(data["names"]), _TEXT_ROWS)
    depth = _depths(data["parents"])
    rows = [_text_row(data, index, depth[index]) for index in range(shown)]
    columns = [Column("Layer"), Column("Kind"), *(Column(name, right=True) for name in _numbers(data))]
    lines += ["", *table(columns, rows)]
    if len(data["names"]) > shown:
        lines.append(f"… and {len(data['names']) - shown:,} more layers. The total counts them all.")
    lines += fold([f"Not counted: {', '.join(data['uncounted'])}"] if data["uncounted"] else [])
    lines += fold([data["times"]["remark"]] if data["times"] is not None else [])
    lines += _zeros(data)
    lines += fold(data["notes"])
    return "\n".join(lines)


def _memory(data: LayersPayload) -> list[str]:
    found = memory_figures(data)
    wide = max((len(one.title) for one in found), default=0)
    return [plain(f"{one.title:<{wide}}  {'≥ ' * bool(one.least)}{one.amount} {one.where}".rstrip()) for one in found]


def _zeros(data: LayersPayload) -> list[str]:
    if data["zeros"] is None:
        return []
    tensors = data["zeros"]["tensors"]
    lines = fold([data["zeros"]["summary"]]) + fold(tensors[:_TEXT_ZEROS], indent="  ")
    return lines + ([f"  … and {len(tensors) - _TEXT_ZEROS:,} more tensors."] if len(tensors) > _TEXT_ZEROS else [])


def _headline(data: LayersPayload, least: str) -> str:
    whole = data["totals"]
    size = ", ".join(filter(None, (f"{bytes_text(whole['param_bytes'])} with buffers", plain(held(data)))))
    params = f"{count_text(whole['params'])} parameters ({size})"
    return params if data["partial"] else f"{params} · {least}{count_text(2 * whole['macs'])} FLOPs (2 × MACs)"


def _numbers(data: LayersPayload) -> list[str]:
    if data["partial"]:
        return ["Params"]
    return ["Params", "FLOPs", "Saved", *(["Latency"] if data["times"] is not None else []), "Output"]


def _text_row(data: LayersPayload, index: int, depth: int) -> list[str]:
    name = f"{'  ' * min(depth, 8)}{clip(' '.join(data['labels'][index].split()), 32)}"
    cells = [name, clip(data["kinds"][index], 28), count_text(data["total"]["params"][index])]
    if not data["partial"]:
        cells.append(count_text(2 * data["total"]["macs"][index]))
        cells.append(bytes_text(data["total"]["saved_bytes"][index]))
        cells += [times_text(data, index)] if data["times"] is not None else []
        cells.append(data["outputs"][index])
    return cells


def _depths(parents: list[int]) -> list[int]:
    depths: list[int] = []
    for parent in parents:
        depths.append(0 if parent < 0 else depths[parent] + 1)
    return depths


TEXT = View(shows=Profile, medium="text", draw=draw_text, title="Layer table", default=True)
HTML = View(
    shows=Profile, medium="html", draw=lambda profile: draw_html(payload(profile)), title="Layer table", default=True
)
FIGURE = View(
    shows=Profile,
    medium="figure",
    draw=lambda profile: draw_figure(payload(profile)),
    title="Layer treemap",
    default=True,
)
