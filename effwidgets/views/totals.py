"""The numbers of a whole model, as every payload carries them."""

from __future__ import annotations

from effwidgets.records import Cost, Latency, Memory, Outcome
from effwidgets.views.wire import Preview, Totals
from effwidgets.views.words import skip_text

__all__ = ["preview", "totals"]


def totals(cost: Cost, memory: Memory, latency: Latency | None = None, *, ran: bool = True) -> Totals:
    """Return the totals; what only a run can tell is None when the model was not ``ran``."""
    return {
        "params": cost.params,
        "param_bytes": memory.param_bytes,
        "param_at": memory.param_at if memory.param_bytes else None,
        "macs": cost.macs,
        "inference_peak_bytes": memory.inference_peak_bytes if ran else None,
        "inference_peak_at": memory.inference_peak_at if ran else None,
        "saved_bytes": memory.saved_bytes if ran else None,
        "saved_at": memory.saved_at if ran and memory.saved_bytes else None,
        "training_peak_bytes": memory.training_peak_bytes if ran else None,
        "training_peak_at": memory.training_peak_at if ran else None,
        "optimizer": memory.optimizer,
        "hidden": list(memory.hidden) if ran else [],
        "latency_s": None if latency is None else latency.median_s,
        "latency_iqr_s": None if latency is None else latency.iqr_s,
    }


def preview(outcome: Outcome | None) -> Preview | None:
    """Return what some suggestions make of the model."""
    if outcome is None:
        return None
    return {
        "indices": list(outcome.indices),
        "params": outcome.cost.params,
        "macs": outcome.cost.macs,
        "param_bytes": outcome.memory.param_bytes,
        "inference_peak_bytes": outcome.memory.inference_peak_bytes,
        "skipped": [skip_text(skip) for skip in outcome.skipped],
    }
