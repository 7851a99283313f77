"""The measured times of a model's layers, as the layer table shows them."""

from __future__ import annotations

from effwidgets.records import Latency, Profile
from effwidgets.units import seconds_text
from effwidgets.views.wire import LayersPayload, LayerTimes

__all__ = ["spread_text", "times", "times_text"]


def times(profile: Profile) -> LayerTimes | None:
    """Return the times by layer; None where none was measured."""
    whole = profile.latency
    if whole is None or all(layer.latency is None for layer in profile.layers):
        return None
    own = [layer.self_latency for layer in profile.layers]
    total = [layer.latency for layer in profile.layers]
    return {
        "own_s": [_median(one) for one in own],
        "own_iqr_s": [_iqr(one) for one in own],
        "total_s": [_median(one) for one in total],
        "total_iqr_s": [_iqr(one) for one in total],
        "repeats": [0 if one is None else one.repeats for one in total],
        "residual_s": whole.residual_s,
        "remark": _remark(whole, sum(one.median_s for one in own if one is not None)),
        "warning": whole.warning,
    }


def _median(latency: Latency | None) -> float | None:
    return None if latency is None else latency.median_s


def _iqr(latency: Latency | None) -> float | None:
    return None if latency is None else latency.iqr_s


def _remark(whole: Latency, shown_s: float) -> str:
    """Say how the times of the layers came about, and what is left."""
    residual_s, median_s = whole.residual_s, whole.median_s
    if residual_s is None or median_s <= 0:
        return ""
    share = f"{1 - residual_s / median_s:.0%} of the whole forward"  # together, before scaling
    if residual_s >= 0:
        left = (
            f"the residual of {seconds_text(residual_s)} is what only a whole run meets: cold caches, allocation, "
            "a busy machine"
        )
    else:
        left = f"{seconds_text(-residual_s)} more than it"
    # The layers add up to the whole to the last digit but for rounding, or were left as they are.
    scaled = abs(shown_s / median_s - 1) < 1e-6
    how = "scaled to the whole" if scaled else "not scaled to the whole, as some have no time"
    return f"Timed alone, the layers take {share}; {left}. Times are {how}."


def spread_text(data: LayersPayload, index: int) -> str:
    """Write how far the times of a layer spread; nothing where it has none."""
    found = data["times"]
    spread = None if found is None else found["total_iqr_s"][index]
    if found is None or spread is None:
        return ""
    return f"± {seconds_text(spread / 2)}, {found['repeats'][index]} runs"


def times_text(data: LayersPayload, index: int) -> str:
    """Write the time of a layer with all inside it; a dash where it has none."""
    found = data["times"]
    seconds = None if found is None else found["total_s"][index]
    return "–" if seconds is None else seconds_text(seconds)
