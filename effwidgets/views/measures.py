"""The quantities of a layer that tables and figures choose from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from effwidgets.errors import InputError
from effwidgets.records import Profile, Uncounted
from effwidgets.units import bytes_text, count_text, seconds_text

__all__ = ["MEASURES", "Measure", "at_least", "depths", "gather", "parents", "values_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One quantity: its key, what a reader calls it, its unit, and how one value is written."""

    key: str
    title: str
    unit: str
    write: Callable[[float], str] = count_text
    run: bool = True
    """Known only after a run."""


MEASURES: Final = {
    one.key: one
    for one in (
        Measure(key="params", title="Parameters", unit="", run=False),
        Measure(key="param_bytes", title="Parameters and buffers", unit="B", write=bytes_text, run=False),
        Measure(key="flops", title="FLOPs", unit=""),
        Measure(key="macs", title="MACs", unit=""),
        Measure(key="backward_macs", title="Backward MACs", unit=""),
        Measure(key="elementwise_ops", title="Elementwise", unit=""),
        Measure(key="moved_bytes", title="Moved", unit="B", write=bytes_text),
        Measure(key="output_bytes", title="Outputs", unit="B", write=bytes_text),
        Measure(key="saved_bytes", title="Saved for backward", unit="B", write=bytes_text),
        Measure(key="latency_s", title="Latency", unit="s", write=seconds_text),
    )
}


_COUNTED: Final = frozenset({"macs", "flops", "elementwise_ops", "moved_bytes"})


def at_least(key: str, uncounted: Iterable[Uncounted], hidden: Iterable[str] = ()) -> bool:
    """Say whether a total is at least what it says: each quantity asks for what is missing in it.

    Work of the forward misses what the forward ran without a formula, work of the backward what the backward did;
    what is saved and the peaks miss memory that a kernel keeps out of sight. Parameters and times miss nothing.

    >>> missing = [Uncounted(op="fft", times=1, layer="", backward=True)]
    >>> at_least("macs", missing), at_least("backward_macs", missing), at_least("saved_bytes", missing, ["rnn"])
    (False, True, True)
    """
    if key == "saved_bytes" or key.endswith("_peak_bytes"):
        return any(True for _ in hidden)
    backward = key == "backward_macs"
    return (backward or key in _COUNTED) and any(one.backward == backward for one in uncounted)


def parents(profile: Profile) -> list[int]:
    """Return for each layer the row of the nearest listed layer that holds it; -1 for the model itself."""
    rows = {layer.name: index for index, layer in enumerate(profile.layers)}
    found = []
    for layer in profile.layers:
        path = layer.name.rpartition(".")[0]
        while path and path not in rows:
            path = path.rpartition(".")[0]
        found.append(rows.get(path, 0) if layer.name else -1)
    return found


def depths(above: list[int]) -> list[int]:
    """Return how deep each row stands: 0 for the model itself."""
    found: list[int] = []
    for parent in above:
        found.append(0 if parent < 0 else found[parent] + 1)
    return found


def gather(own: list[float], above: list[int]) -> list[float]:
    """Return each row's own value with those of all rows below it.

    >>> gather([1, 2, 3], [-1, 0, 1])
    [6, 5, 3]
    """
    total = list(own)
    for row in range(len(above) - 1, 0, -1):
        total[above[row]] += total[row]
    return total


def values_of(profile: Profile, key: str) -> list[float]:
    """Return each layer's own value of a measure; the values of all layers add up to the whole.

    Raises:
        InputError: latency of layers, which was not measured.
    """
    if key == "latency_s":
        return _latencies(profile)
    if key == "flops":
        return [2 * layer.self_cost.macs for layer in profile.layers]
    return [getattr(layer.self_cost, key) for layer in profile.layers]


def _latencies(profile: Profile) -> list[float]:
    measured = [None if layer.latency is None else layer.latency.median_s for layer in profile.layers]
    if all(value is None for value in measured[1:]):
        raise InputError(
            f"The time of the layers of this {profile.model} was not measured, so nothing can be drawn by it. "
            "Profile it with options=ProfileOptions(latency=True)."
        )
    own = [None if layer.self_latency is None else layer.self_latency.median_s for layer in profile.layers]
    if any(value is not None for value in own):
        return _with_rest([value or 0.0 for value in own], measured[0])
    return _by_subtraction(measured, parents(profile))


def _with_rest(own: list[float], whole: float | None) -> list[float]:
    """Let row 0 have what no layer was timed with, so that all add up to the measured whole."""
    rest = (whole or 0.0) - sum(own)
    if whole and rest > 1e-6 * whole:  # less is rounding
        own[0] += rest
    return own


def _by_subtraction(measured: list[float | None], above: list[int]) -> list[float]:
    """Return own times where a record has only those with all inside."""
    below = [0.0] * len(measured)
    own = [0.0] * len(measured)
    for row in range(len(measured) - 1, -1, -1):  # children stand behind their parents
        value = measured[row]
        own[row] = 0.0 if value is None else max(0.0, value - below[row])
        if row:
            below[above[row]] += own[row] + below[row]
    return own
