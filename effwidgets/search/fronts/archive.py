"""What a search has found: its candidates, the box they are measured in, the fronts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from effwidgets.errors import SearchError, UnknownNameError
from effwidgets.records import Candidate, Front, Plan, Rung, Score
from effwidgets.search.fronts.axes import AXES, full_name, place_on
from effwidgets.search.fronts.pareto import Better, Box, Point, knee
from effwidgets.search.fronts.shares import technique_shares
from effwidgets.search.fronts.staircase import Staircase

__all__ = ["Archive"]

# So many finished scores, the dense one with them, fix the worst score that counts where nothing better is known.
# The ladder puts a small, a middle and a large model first, so the worst of them is a fair floor.
_FIRST = 4


class Archive:
    """The candidates by number, in memory. Not locked: the study that owns it does that.

    Fronts and hypervolumes are kept up to date point by point, so to put a candidate costs about the same however many
    there are.

    Args:
        better: in which direction the main score improves.
        box: worst and best score for the hypervolume, or None to fix them by the first scores.
        axes: the costs that fronts are drawn against, the default first.
    """

    def __init__(self, better: Better, box: tuple[float, float] | None, axes: tuple[str, ...] = AXES) -> None:
        self.better: Better = better
        self.axes = axes
        self.ends = box
        self._candidates: dict[int, Candidate] = {}
        self._numbers: dict[Plan, int] = {}
        self._finished: dict[int, None] = {}  # in the order in which they got their first score
        self._last = -1
        self._low, self._high = math.inf, -math.inf
        self._stairs = {axis: Staircase(better=better) for axis in axes}
        self._results: list[Candidate] = []  # each result in the order in which it came, climbs among them
        self._told: dict[str, _History] = {}

    def plan(self, plans: Iterable[tuple[Plan, int]]) -> None:
        """Add planned candidates; each comes with its seed."""
        for plan, seed in plans:
            number = self.next_number
            rung: Rung = "dense" if number == 0 else "zero-shot"
            self.put(Candidate(number=number, plan=plan, rung=rung, state="planned", seed=seed))

    def put(self, candidate: Candidate) -> None:
        """Add a candidate, or replace that of the same number."""
        before = self._candidates.get(candidate.number)
        self._candidates[candidate.number] = candidate
        self._numbers.setdefault(candidate.plan, candidate.number)
        self._last = max(self._last, candidate.number)
        if candidate.state != "done":
            return
        if candidate.number not in self._finished:
            self._finished[candidate.number] = None
            self._note(_first(candidate))
        if before is None or before.state != "done" or self._moved(before, candidate):
            self._results.append(candidate)
        for axis, stairs in self._stairs.items():
            point = self._point(candidate, axis)
            if before is None or before.state != "done" or self._point(before, axis) != point:
                stairs.add(candidate.number, point)

    @property
    def next_number(self) -> int:
        """The first number above all that are taken."""
        return self._last + 1

    def __len__(self) -> int:
        return len(self._candidates)

    def __contains__(self, plan: object) -> bool:
        return plan in self._numbers

    def __getitem__(self, number: int) -> Candidate:
        if isinstance(number, bool) or not isinstance(number, int) or number not in self._candidates:
            raise UnknownNameError("candidate", number, [str(known) for known in sorted(self._candidates)])
        return self._candidates[number]

    def get(self, number: int) -> Candidate | None:
        """Return a candidate, or None where there is none of that number."""
        return self._candidates.get(number)

    def of(self, plan: Plan) -> Candidate | None:
        """Return the candidate that was made of ``plan``."""
        number = self._numbers.get(plan)
        return None if number is None else self._candidates[number]

    def everything(self) -> list[Candidate]:
        """Return all candidates, by number."""
        return [self._candidates[number] for number in sorted(self._candidates)]

    def waiting(self) -> list[int]:
        """Return the numbers that were not tried, or whose try was cancelled."""
        return [known.number for known in self.everything() if known.state in ("planned", "cancelled")]

    def begun(self) -> tuple[Candidate, ...]:
        """Return the candidates that were begun, by number."""
        return tuple(known for known in self.everything() if known.state != "planned")

    def done(self) -> list[Candidate]:
        """Return the candidates that have a score, by number."""
        return [known for known in self.everything() if known.state == "done"]

    @property
    def untrained(self) -> bool:
        """Whether no candidate was trained yet."""
        return all(known.rung not in ("briefly tuned", "fine-tuned") for known in self._candidates.values())

    def point(self, candidate: Candidate, axis: str) -> Point:
        """Return cost along ``axis`` and main score of a candidate that is done; NaN where its metric gave no number.

        Raises:
            UnknownNameError: no such axis.
            SearchError: it has no cost or no score yet.
        """
        axis = self._known(axis)
        if candidate.cost is None or candidate.score() is None:
            raise SearchError(f"Candidate {candidate.number} is {candidate.state}; it has no cost or no score.")
        return self._point(candidate, axis)

    def front(self, axis: str) -> tuple[Candidate, ...]:
        """Return the candidates that no other beats, from cheap to dear; unknown axes are answered with the known."""
        axis = self._known(axis)
        return tuple(self._candidates[number] for number in self._stairs[axis].numbers)

    def fronts(self) -> tuple[Front, ...]:
        """Return the front of every axis with its hypervolume and knee."""
        return tuple(self._front_record(axis) for axis in self.axes)

    def box(self, axis: str) -> Box | None:
        """Return the box that hypervolumes along ``axis`` are measured in; None before it is fixed."""
        dense = self._candidates.get(0)
        if self.ends is None or dense is None or dense.state != "done":
            return None
        cost = place_on(axis, dense)
        return None if cost is None else Box(cost=cost, worst=self.ends[0], best=self.ends[1])

    def volumes(self, axis: str) -> tuple[float, ...]:
        """Return the hypervolume after each result, in the order in which they came; () before there is a box.

        A candidate that was trained gives a result for each rung, and one for each time that it was timed. The curve
        never falls.

        Raises:
            UnknownNameError: no such axis.
        """
        axis = self._known(axis)
        box = self.box(axis)
        if box is None:
            return ()
        told = self._told.setdefault(axis, _History(Staircase(box, self.better)))
        for result in self._results[len(told.volumes) :]:
            told.add(result.number, self._point(result, axis))
        return tuple(told.volumes)

    def contributions(self, axis: str) -> tuple[Score, ...]:
        """Return by technique the share of the hypervolume that is lost without the candidates that use it, most first.

        () before there is a box.

        Raises:
            UnknownNameError: no such axis.
        """
        axis = self._known(axis)
        box = self.box(axis)
        if box is None:
            return ()
        done = self.done()
        points = [self._point(known, axis) for known in done]
        used = [{step.transform for step in known.plan} for known in done]
        shares = technique_shares(points, used, box, self.better)
        return tuple(Score(metric=name, value=shares[name]) for name in sorted(shares, key=lambda one: -shares[one]))

    def within(self, limits: Mapping[str, float]) -> list[Candidate]:
        """Return the candidates with a score that keep every limit, the best score first, of equals the cheapest."""
        found = []
        for known in self.done():
            costs = {axis: place_on(axis, known) for axis in limits}
            if all(cost is not None and cost <= limits[axis] for axis, cost in costs.items()):
                found.append(known)
        sign = -1.0 if self.better == "higher" else 1.0
        first = next(iter(limits), self.axes[0])

        def rank(known: Candidate) -> tuple[float, float, int]:
            cost = place_on(first, known)
            return sign * (known.score() or 0.0), math.inf if cost is None else cost, known.number

        return sorted(found, key=rank)

    def _known(self, axis: str) -> str:
        found = full_name(axis)
        if found not in self.axes:
            raise UnknownNameError("cost to search along", axis, self.axes)
        return found

    def _point(self, candidate: Candidate, axis: str) -> Point:
        cost, score = place_on(axis, candidate), candidate.score()
        return math.nan if cost is None else cost, math.nan if score is None else score

    def _moved(self, before: Candidate, after: Candidate) -> bool:
        return any(self._point(before, axis) != self._point(after, axis) for axis in self.axes)

    def _front_record(self, axis: str) -> Front:
        stairs = self._stairs[axis]
        bend = knee(stairs.points, self.better)
        box = self.box(axis)
        volume = None
        if box is not None:
            if stairs.hypervolume is None:
                stairs.fix(box)
            volume = stairs.hypervolume
        return Front(
            axis=axis,
            numbers=stairs.numbers,
            hypervolume=volume,
            knee=None if bend is None else stairs.numbers[bend],
        )

    def _note(self, score: float | None) -> None:
        # Once: a reference that moves makes a curve of hypervolumes go down while the front goes up.
        if score is not None:
            self._low, self._high = min(self._low, score), max(self._high, score)
        dense = self._candidates.get(0)
        if self.ends is not None or dense is None or dense.state != "done":
            return
        own = dense.score()
        if self.better == "higher" and own is not None and 0 < own <= 1:
            self.ends = (0.0, 1.0)
        elif len(self._finished) >= _FIRST and self._low < self._high:
            rising = self.better == "higher"
            self.ends = (self._low, self._high) if rising else (self._high, min(0.0, self._low))


@dataclass(slots=True)
class _History:
    # Hypervolumes after each result, so far as somebody asked.
    stairs: Staircase
    volumes: list[float] = field(default_factory=list)

    def add(self, number: int, point: Point) -> None:
        self.stairs.add(number, point)
        self.volumes.append(max(self.stairs.hypervolume or 0.0, self.volumes[-1] if self.volumes else 0.0))


def _first(candidate: Candidate) -> float | None:
    # Its score at the lowest rung.
    return next((score.value for score in candidate.first_scores[:1]), None)
