"""What a search holds: candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from effwidgets.records.base import Record
from effwidgets.records.measures import Cost, Memory, Score
from effwidgets.records.plans import Edit, Plan

__all__ = ["RUNGS", "Candidate", "Climb", "Rung", "State"]

Rung: TypeAlias = Literal["dense", "zero-shot", "repaired", "briefly tuned", "fine-tuned"]
"""How far a candidate was taken: the model itself; changed; repaired without labels; trained a little; trained."""

RUNGS: tuple[Rung, ...] = get_args(Rung)

State: TypeAlias = Literal["planned", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Climb(Record):
    """What a candidate was at another rung: a lower one, before it went up; or a higher one that was no better.

    Attributes:
        rung: how far it was taken.
        scores: what ``evaluate`` returned there; empty where training or scoring failed.
        seconds: how long it took.
    """

    rung: Rung
    scores: tuple[Score, ...]
    seconds: float = 0.0


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
        measures: what the registered metrics read from its profile, beside what ``cost`` and ``memory`` hold already;
            and what was measured of it: "latency_s" with its error, "divergence".
        seed: that of the search and ``number``, added up.
        seconds: how long it took.
        parent: number of the candidate that it came from.
        note: why it failed, what was skipped; "" when there is nothing to say.
        climbed: the other rungs that it was taken to, in that order: those below ``rung``, and one above where training
            failed or made it worse.
        source: who thought of it: "dense", "ladder", "advice", "user", or the sampler ("tpe").
    """

    number: int
    plan: Plan
    rung: Rung
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
    climbed: tuple[Climb, ...] = ()
    source: str = ""

    def score(self, metric: str | None = None) -> float | None:
        """Return the value of ``metric``, or of the main one; None when it has none."""
        values = {score.metric: score.value for score in self.scores}
        return next(iter(values.values()), None) if metric is None else values.get(metric)

    @property
    def first_scores(self) -> tuple[Score, ...]:
        """The scores of the lowest rung that it was scored at: there all candidates of a search compare."""
        tried = [(self.rung, self.scores), *((climb.rung, climb.scores) for climb in self.climbed if climb.scores)]
        return min(tried, key=lambda one: RUNGS.index(one[0]))[1]
