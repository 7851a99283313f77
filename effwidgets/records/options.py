"""A step that was tried alone: what it saves, what it was measured to cost."""

from __future__ import annotations

from dataclasses import dataclass

from effwidgets.records.base import Record
from effwidgets.records.latencies import LatencyChange
from effwidgets.records.measures import Cost, Memory
from effwidgets.records.plans import Step

__all__ = ["LatencyChange", "Option"]


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
