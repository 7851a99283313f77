"""What a search holds: candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from effwidgets.records.base import Record
from effwidgets.records.measures import Cost, Memory, Score
from effwidgets.records.plans import Edit, Plan

__all__ = ["Candidate", "State"]

State: TypeAlias = Literal["planned", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate(Record):
    """One model of a search: the plan that makes it, what it costs and how well it does.

    Attributes:
        number: its place in the search; 0 is the dense model.
        plan: steps from the dense model; empty for the dense model.
        rung: how far it was taken.
        state: where it stands.
        edits: what was really done.
        cost: None until it was built.
        memory: None until it was built.
        scores: what ``evaluate`` returned, the main one first.
        measures: what the registered metrics read from its profile, beside what ``cost`` and ``memory`` hold already.
        seed: that of the search and ``number``, added up.
        seconds: how long it took.
        parent: number of the candidate that it came from.
        note: why it failed, what was skipped; "" when there is nothing to say.
    """

    number: int
    plan: Plan
    rung: Literal["dense", "zero-shot", "repaired", "fine-tuned"]
    state: State
    edits: tuple[Edit, ...] = ()
    cost: Cost | None = None
    memory: Memory | None = None
    scores: tuple[Score, ...] = ()
    seed: int = 0
    seconds: float = 0.0
    parent: int | None = None
    note: str = ""
    measures: tuple[Score, ...] = ()

    def score(self, metric: str | None = None) -> float | None:
        """Return the value of ``metric``, or of the main one; None when it has none."""
        values = {score.metric: score.value for score in self.scores}
        return next(iter(values.values()), None) if metric is None else values.get(metric)
