"""A step that was tried alone: what it saves, what it was measured to cost."""

from __future__ import annotations

from dataclasses import dataclass

from effwidgets.records.base import Record
from effwidgets.records.measures import Cost, Memory
from effwidgets.records.plans import Step

__all__ = ["LatencyChange", "Option"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Option(Record):
    """A step that was tried alone, the unit that lists, plans and searches choose among.

    Attributes:
        step: what to do.
        family: kind of technique ("factorize", "prune", "bottleneck", "quantize", ...).
        unit: the layers that it changes, members of its group among them. Of options that share a layer a plan takes
            one, unless they go together (prunings of several groups; pruning and then one factorization).
        change: what it changes, exact.
        saving: share of the goal that it saves, of the model as it is.
        error: norm of the change of the model's outputs over their norm, the step alone; None where it cannot be told.
        energy: share of the changed weights' squared norm that is kept; None where it cannot be told.
        found: what the transformation says of the site.
        memory_after: the four numbers after it; None where they were not computed.
        latency: measured change of the time; None where it was not measured.
        divergence: how far the outputs part after repair (0: not at all); None where it was not measured.
        score: main score of ``evaluate`` after repair; None where there is none.
    """

    step: Step
    family: str
    unit: tuple[str, ...] = ()
    change: Cost
    saving: float
    error: float | None = None
    energy: float | None = None
    found: str = ""
    memory_after: Memory | None = None
    latency: LatencyChange | None = None
    divergence: float | None = None
    score: float | None = None

    @property
    def site(self) -> tuple[str, tuple[str, ...]]:
        """What names the site: a plan has one step for each."""
        return self.step.transform, self.step.layers
