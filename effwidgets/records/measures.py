"""What was counted or measured: cost, memory, latency, score."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

from effwidgets.records.base import Record
from effwidgets.units import bytes_text, count_text, seconds_text

__all__ = ["Cost", "Latency", "Memory", "Score"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Cost(Record):
    """Work and bytes of a layer or a model. Additive and signed: a change is after minus before.

    Attributes:
        params: trainable and frozen parameters, each tensor once.
        param_bytes: bytes of parameters and buffers, each storage once.
        macs: multiply-accumulates of matrix-like work in one forward. FLOPs are 2 x this.
        backward_macs: the same for one backward.
        elementwise_ops: element operations of activations, normalisation, pooling, sums; a column of its own.
        moved_bytes: bytes read and written by operations that are no views.
        output_bytes: bytes of the tensors that the layer returns.
        saved_bytes: bytes kept for the backward, each storage once, parameters and inputs of the model left out.
    """

    params: int = 0
    param_bytes: int = 0
    macs: int = 0
    backward_macs: int = 0
    elementwise_ops: int = 0
    moved_bytes: int = 0
    output_bytes: int = 0
    saved_bytes: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def __sub__(self, other: Self) -> Self:
        return type(self)(**{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(self)})

    def __neg__(self) -> Self:
        return type(self)() - self

    def __repr__(self) -> str:
        return (
            f"Cost({count_text(self.params)} params, {count_text(self.macs)} MACs, "
            f"{bytes_text(self.saved_bytes)} saved for backward)"
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Memory(Record):
    """Four named numbers of bytes; not additive. ``*_at`` names the layer responsible.

    For a peak that is the layer that was running; for what is held or kept, the layer whose own share is the largest.

    Attributes:
        param_bytes: parameters and buffers.
        inference_peak_bytes: most bytes alive at once in a forward without gradients, parameters and inputs left out.
        saved_bytes: bytes kept for the backward after one forward.
        training_peak_bytes: most bytes alive at once in a training step beside the parameters:
            activations, gradients and the state of ``optimizer``. None when it was not measured.
        hidden: layers whose kernels keep a workspace that no operation returns: peaks and saved bytes are at least what
            they say.
    """

    param_bytes: int
    inference_peak_bytes: int
    inference_peak_at: str
    saved_bytes: int
    training_peak_bytes: int | None = None
    training_peak_at: str | None = None
    optimizer: str | None = None
    param_at: str = ""
    saved_at: str = ""
    hidden: tuple[str, ...] = ()

    def __repr__(self) -> str:
        least = "at least " if self.hidden else ""
        return (
            f"Memory({bytes_text(self.param_bytes)} parameters, {least}{bytes_text(self.inference_peak_bytes)} "
            f"inference peak at {self.inference_peak_at or 'the model itself'}, {least}{bytes_text(self.saved_bytes)} "
            "saved for backward)"
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Latency(Record):
    """A measured time: median and interquartile range of ``repeats`` runs, in seconds.

    Attributes:
        batch: first size of the first input; None where there is none.
        residual_s: only of a whole model whose layers were timed too: what is left of the median when the times of the
            layers, each measured alone and not yet scaled to the whole, are taken off. Below 0 where they are more.
        ran: share of the time in which the processor really worked for the thread that measured. Below 1 where other
            programs had it, or where a layer waits for something. None where it was not measured, as on a GPU.
    """

    median_s: float
    iqr_s: float
    repeats: int
    device: str
    threads: int
    batch: int | None = None
    residual_s: float | None = None
    ran: float | None = None

    @property
    def warning(self) -> str | None:
        """Say why it is not to be trusted: a wide spread, a busy machine, a large residual; None when nothing is."""
        found = []
        # A quarter of the median: torch.utils.benchmark draws its stronger warning there too.
        if self.median_s > 0 and self.iqr_s > 0.25 * self.median_s:
            found.append(f"the middle half of the runs spreads over {self.iqr_s / self.median_s:.0%} of the median")
        if self.ran is not None and self.ran < 0.75:
            found.append(f"the processor worked for it in {self.ran:.0%} of the time: measure again on an idle machine")
        if self.residual_s is not None and abs(self.residual_s) > 0.25 * self.median_s:
            share = 1 - self.residual_s / self.median_s
            found.append(f"the layers timed alone take {share:.0%} of the whole, so their times are rough")
        return "; ".join(found) or None

    def __repr__(self) -> str:
        spread = seconds_text(self.iqr_s / 2)
        return f"Latency({seconds_text(self.median_s)} ± {spread}, {self.repeats} runs, {self.device})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Score(Record):
    """A value of one metric, with the half-width of its uncertainty where it is known."""

    metric: str
    value: float
    error: float | None = None

    def __repr__(self) -> str:
        spread = "" if self.error is None else f" ± {self.error:.3g}"
        return f"Score({self.metric} {self.value:.4g}{spread})"
