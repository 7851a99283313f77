"""What a search knows at one moment, kept under one lock: candidates, what waits, limits, what goes on."""

from __future__ import annotations

import dataclasses
import math
import statistics
import threading
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, TypeAlias

from effwidgets.records import Budget, Candidate, Plan, Score, StudyState
from effwidgets.search.engine.limits import Limits
from effwidgets.search.engine.proposer import Result
from effwidgets.search.fronts.archive import Archive
from effwidgets.search.fronts.axes import LATENCY, cost_axes, place_on

if TYPE_CHECKING:
    from effwidgets.search.engine.options import SearchOptions

__all__ = ["PREDICTED", "Book", "Stage", "measure_of"]

Stage: TypeAlias = Literal["idle", "running", "paused", "finished", "cancelled", "failed"]

PREDICTED = "predicted_latency_s"
"""The measure that guides the sampler before a candidate was timed whole."""


class Book:
    """Read and changed under ``lock``; no method calls anybody outside.

    Attributes:
        archive: the candidates.
        limits: the budgets.
        waiting: plans to try next, each with who thought of it.
        laid: whether all seeds are known.
        exhausted: whether no sampler thinks of more.
        stage: where the run stands.
        message: what goes on.
        climbs: how many candidates wait to be trained, and how long that takes together, in seconds.
        revision: grows when a limit changes.
    """

    def __init__(self, options: SearchOptions) -> None:
        self.lock = threading.RLock()
        self.options = options
        self.limits = Limits()
        for axis, limit in options.budgets.items():
            self.limits.set(axis, limit, None)
        also = (*options.objectives, *options.budgets)
        axes = dict.fromkeys((*options.objectives, *cost_axes(also)))
        self.archive = Archive(options.better, options.box, tuple(axes))
        self.waiting: deque[tuple[Plan, str]] = deque()
        self.laid = False
        self.exhausted = options.sampler == "ladder"
        self.stage: Stage = "idle"
        self.message = ""
        self.climbs = 0
        self.revision = 0
        if options.plans is not None:
            self.lay(options.plans, "user")
            self.laid = True

    @property
    def active(self) -> bool:
        """Whether a run has begun and not ended."""
        return self.stage in ("running", "paused")

    @property
    def dense(self) -> Candidate | None:
        """The dense model, once it was scored."""
        known = self.archive.get(0)
        return known if known is not None and known.state == "done" else None

    @property
    def metric(self) -> str:
        """Name of the main score."""
        dense = self.dense
        return dense.scores[0].metric if dense is not None and dense.scores else self.options.score_name

    def say(self, message: str, stage: Stage | None = None) -> None:
        """Note what goes on, and where the run stands where that is another place."""
        with self.lock:
            self.message, self.stage = message, stage or self.stage

    def lay(self, plans: tuple[Plan, ...], source: str) -> None:
        """Let these be tried after what waits already; none of them twice."""
        held = {plan for plan, _ in self.waiting}
        most = math.inf if self.options.trials is None or source != "ladder" else self.options.trials - self.tried
        for plan in dict.fromkeys(plans):
            if plan not in held and plan not in self.archive and len(self.waiting) < most:
                self.waiting.append((plan, source))

    @property
    def tried(self) -> int:
        """How many candidates beside the dense model were begun."""
        return len(self.archive) - (self.archive.get(0) is not None)

    @property
    def planned(self) -> int:
        """How many candidates there will be, the dense model among them; 0 where that cannot be known."""
        if not self.laid:
            return 0
        known = {plan for plan, _ in self.waiting if plan not in self.archive}
        more = 0 if self.exhausted else self.options.trials or 0
        return 1 + max(self.tried + len(known), more)

    def seconds_left(self) -> float | None:
        """Estimate from the mean of the compressed candidates so far; None before the first, and when not running."""
        spent = [known.seconds for known in self.archive.done() if known.number]
        if not self.active or not self.laid or not spent:
            return None
        left = self.planned - sum(known.state in ("done", "failed") for known in self.archive.begun())
        trained = [known.seconds for known in self.archive.done() if known.rung in ("briefly tuned", "fine-tuned")]
        one = sum(trained) / len(trained) if trained else 0.0
        return max(0, left) * sum(spent) / len(spent) + self.climbs * one

    def trial_s(self) -> float | None:
        """Return the median time of a compressed candidate at its first rung; None before there is one."""
        spent = [known.climbed[0].seconds if known.climbed else known.seconds for known in self.archive.done()[1:]]
        return statistics.median(spent) if spent else None

    def bounds(self) -> dict[str, float]:
        """Return the limits in the unit of each cost; that of a latency by the predicted one until it was timed."""
        dense = self.dense
        return self.limits.resolve(None if dense is None else self.priced(dense))

    def priced(self, candidate: Candidate) -> Candidate:
        """Return a candidate with a latency: as timed, or as predicted, scaled by what the dense model was off."""
        predicted = measure_of(candidate, PREDICTED)
        if predicted is None or place_on(LATENCY, candidate) is not None:
            return candidate
        dense = self.dense
        told, timed = (None, None) if dense is None else (measure_of(dense, PREDICTED), measure_of(dense, LATENCY))
        scale = timed / told if told and timed else 1.0
        score = Score(metric=LATENCY, value=scale * predicted)
        return dataclasses.replace(candidate, measures=(*candidate.measures, score))

    def result(self, candidate: Candidate, bounds: dict[str, float]) -> Result:
        """Return what a candidate is for the sampler: at its first rung, so that all are judged alike."""
        excess = {}
        candidate = self.priced(candidate)
        for axis, limit in bounds.items():
            cost = place_on(axis, candidate)
            if cost is not None:
                excess[axis] = (cost - limit) / limit
        return Result(plan=candidate.plan, values=self._values(candidate), excess=excess)

    def results(self) -> list[Result]:
        """Return what all compressed candidates are for the sampler."""
        bounds = self.bounds()
        return [self.result(known, bounds) for known in self.archive.done() if known.number]

    def _values(self, candidate: Candidate) -> tuple[float, ...] | None:
        if candidate.state != "done":
            return None
        sign = -1.0 if self.options.better == "higher" else 1.0
        score = next((sign * score.value for score in candidate.first_scores[:1]), None)
        if self.options.guide == "divergence":
            score = measure_of(candidate, "divergence")
        costs = [place_on(axis, candidate) for axis in self.options.objectives]
        found = [value for value in (score, *costs) if value is not None]
        return tuple(found) if len(found) == 1 + len(costs) else None

    def snapshot(self, title: str, origin: str, applied: int | None) -> StudyState:
        """Return the state of this moment, fronts included."""
        options = self.options
        axis = options.objectives[0]
        return StudyState(
            title=title,
            metric=self.metric,
            better=options.better,
            state=self.stage,
            candidates=self.archive.begun(),
            planned=self.planned,
            message=self.message,
            seconds_left=self.seconds_left(),
            fronts=self.archive.fronts(),
            applied=applied,
            objectives=tuple(options.objectives),
            budgets=tuple(Budget(axis=name, limit=limit) for name, limit in self.bounds().items()),
            volumes=self.archive.volumes(axis),
            contributions=self.archive.contributions(axis),
            origin=origin,
        )

    def interrupted(self) -> list[Candidate]:
        """Return the candidates whose try was cancelled, by number."""
        return [known for known in self.archive.everything() if known.state == "cancelled"]

    def leave(self, numbers: Iterable[int]) -> None:
        """Note that nobody works on these any more: who has no result may be tried again."""
        with self.lock:
            for known in map(self.archive.get, numbers):
                if known is not None and known.state == "running":
                    self.archive.put(dataclasses.replace(known, state="cancelled"))

    def begin(self, candidate: Candidate, number: int) -> Candidate:
        """Note that a candidate is begun under ``number``; one that climbs stays as it is meanwhile."""
        begun = dataclasses.replace(candidate, number=number, seed=self.options.seed + number)
        known = self.archive.get(number)
        if known is None or known.state != "done":
            self.archive.put(begun)
        return begun


def measure_of(candidate: Candidate, name: str) -> float | None:
    """Return one of its measures; None where it has none of that name."""
    return next((score.value for score in candidate.measures if score.metric == name), None)
