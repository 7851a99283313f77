"""How a measured time changes."""

from __future__ import annotations

from dataclasses import dataclass

from effwidgets.records.base import Record

__all__ = ["LatencyChange"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyChange(Record):
    """How much faster or slower a model gets by one step, from timings of the piece that the step replaces.

    Attributes:
        before_s: the piece as it is, seconds in one forward of the model.
        after_s: what would stand there.
        error_s: half-width of a 95% interval of ``after_s - before_s``.
        whole_s: the whole model as it is; the shares below are of it.
        repeats: rounds in which the two took turns.
        device: where ("cpu", "cuda:0").
        threads: with how many threads torch computed.
        remembered: whether it was read from the cache on disk, measured earlier.
    """

    before_s: float
    after_s: float
    error_s: float
    whole_s: float
    repeats: int
    device: str
    threads: int
    remembered: bool = False

    @property
    def change_s(self) -> float:
        """Seconds of one forward, after minus before: below 0 is faster."""
        return self.after_s - self.before_s

    @property
    def share(self) -> float:
        """The change as a share of the whole model's time; below 0 is faster."""
        return self.change_s / self.whole_s if self.whole_s > 0 else 0.0

    @property
    def faster(self) -> bool:
        """Whether it is faster beyond doubt, and by at least 5% of the piece."""
        return self.change_s + self.error_s < 0 and self.after_s < 0.95 * self.before_s
