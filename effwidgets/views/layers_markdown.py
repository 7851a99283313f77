"""The layers of a profile as a table for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from effwidgets.records import LayerProfile, Profile, View
from effwidgets.units import shape_text
from effwidgets.views.measures import MEASURES, at_least, depths, gather, parents, values_of
from effwidgets.views.sheet import checked, escaped, pipe_table
from effwidgets.views.words import places

__all__ = ["COLUMNS", "MARKDOWN"]

_TEXTS: Final = {"kind": "Kind", "calls": "Calls", "input": "Input", "output": "Output"}
COLUMNS: Final = (*_TEXTS, *MEASURES)
"""What ``columns`` may name. Numbers count what is inside a layer."""

_USUAL: Final = ("kind", "output", "params", "flops", "saved_bytes")
_BEFORE_A_RUN: Final = ("kind", "params", "param_bytes")
_SCALES: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_TIMES: Final = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def draw_markdown(profile: Profile, depth: int = 1, columns: Sequence[str] | None = None) -> str:
    """Return a pipe table with its caption; rows add up to the last, which is the whole, at depth 1."""
    keys = checked(depth, columns, COLUMNS, _USUAL if profile.inputs else _BEFORE_A_RUN)
    above = parents(profile)
    deep = depths(above)
    shown = [row for row in range(1, len(above)) if deep[row] <= depth]
    head, cells = ["Layer"], [_names(profile, shown)]
    for key in keys:
        title, column = _text_column(profile, key, shown) if key in _TEXTS else _number_column(profile, key, shown)
        head.append(title)
        cells.append(column)
    right = [False, *(key in MEASURES or key == "calls" for key in keys)]
    lines = pipe_table(head, list(zip(*cells, strict=True)), right)
    return "\n".join([*lines, "", _caption(profile, keys, depth)]) + "\n"


def _own_row(profile: Profile) -> bool:
    own = profile.layers[0].self_cost
    return len(profile.layers) > 1 and any((own.params, own.macs, own.saved_bytes, own.moved_bytes))


def _names(profile: Profile, shown: Sequence[int]) -> list[str]:
    names = [escaped(profile.layers[row].name) for row in shown]
    return [*names, *(["*the model's own*"] if shown and _own_row(profile) else []), "**Total**"]


def _text_column(profile: Profile, key: str, shown: Sequence[int]) -> tuple[str, list[str]]:
    def write(layer: LayerProfile) -> str:
        if key in ("input", "output"):
            shapes = layer.inputs if key == "input" else layer.outputs
            return shape_text(shapes[0]) if shapes else "–"
        return escaped(layer.kind) if key == "kind" else str(layer.calls)

    cells = [write(profile.layers[row]) for row in shown]
    return _TEXTS[key], [*cells, *([""] if shown and _own_row(profile) else []), write(profile.layers[0])]


def _number_column(profile: Profile, key: str, shown: Sequence[int]) -> tuple[str, list[str]]:
    own = values_of(profile, key)
    total = gather(own, parents(profile))
    whole = total[0]
    scale, prefix = _scale(key, whole)
    unit = prefix if key == "latency_s" else f"{prefix}{MEASURES[key].unit}"
    values = [total[row] for row in shown] + ([own[0]] if shown and _own_row(profile) else [])
    digits = 0 if scale == 1 and key != "latency_s" else max(0, 4 - len(f"{int(whole / scale)}"))
    least = "≥ " if at_least(key, profile.uncounted, profile.memory.hidden) else ""
    cells = [_number(value / scale, digits) for value in values]
    title = MEASURES[key].title
    return f"{title} ({unit})" if unit else title, [*cells, f"**{least}{_number(whole / scale, digits)}**"]


def _scale(key: str, whole: float) -> tuple[float, str]:
    if key == "latency_s":
        return next((pair for pair in _TIMES if whole >= pair[0]), _TIMES[-1])
    return next((pair for pair in _SCALES if whole >= pair[0]), (1.0, ""))


def _number(value: float, digits: int) -> str:
    if value and abs(value) < 0.5 * 10**-digits:
        return f"&lt; {10**-digits:.{digits}f}"
    return f"{value:,.{digits}f}" if value else "0"


def _caption(profile: Profile, keys: Sequence[str], depth: int) -> str:
    shapes = ", ".join(map(shape_text, profile.inputs))
    parts = [f"{escaped(profile.model)}, input {shapes}, {profile.dtype}." if shapes else f"{escaped(profile.model)}."]
    if "flops" in keys:
        parts.append("FLOPs = 2 × MACs of matrix-like work.")
    elif {"macs", "backward_macs"} & set(keys):
        parts.append("MACs are multiply-accumulates of matrix-like work; FLOPs = 2 × MACs.")
    if any(MEASURES[key].unit == "B" for key in keys if key in MEASURES):
        parts.append("1 MB = 1,000,000 bytes.")
    if depth > 1:
        parts.append("Each row counts what is inside it, so rows that stand in one another must not be added up.")
    if "latency_s" in keys and profile.latency is not None:
        place = profile.environment
        threads = f"{place.threads} thread{'s' * (place.threads != 1)}"
        parts.append(f"Latency on {escaped(place.device)}, {threads}, torch {escaped(place.torch)}.")
    return " ".join([*parts, *_missing(profile, keys)])


def _missing(profile: Profile, keys: Sequence[str]) -> list[str]:
    """Say why a total is at least what it says; of columns that are not there, nothing."""
    said = []
    for backward, what in ((False, "The totals"), (True, "The work of the backward")):
        mine = [one for one in profile.uncounted if one.backward == backward]
        if any(at_least(key, mine) for key in keys):
            ops = ", ".join(dict.fromkeys(escaped(one.op) for one in mine))
            verb = "is at least what it says" if backward else "are at least what they say"
            said.append(f"{what} {verb}: {ops} not counted.")
    if any(at_least(key, (), profile.memory.hidden) for key in keys):
        where = escaped(places(profile.memory.hidden))
        said.append(f"More is saved for the backward than can be seen: it is hidden in {where}.")
    return said


MARKDOWN = View(
    shows=Profile, medium="markdown", draw=draw_markdown, title="Layers as a table for a paper", default=True
)
