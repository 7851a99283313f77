"""What a search has found: its candidates, the box they are measured in, the fronts."""

from __future__ import annotations

import math
from collections.abc import Iterable

from effwidgets.errors import SearchError, UnknownNameError
from effwidgets.records import Candidate, Front, Plan, Rung
from effwidgets.search.fronts.axes import AXES, place_on
from effwidgets.search.fronts.pareto import Better, Box, Point, front, hypervolume, knee

__all__ = ["Archive"]

# So many finished scores, the dense one with them, fix the worst score that counts where nothing better is known.
# The ladder puts a small, a middle and a large model first, so the worst of them is a fair floor.
_FIRST = 4


class Archive:
    """The candidates by number, in memory. Not locked: the study that owns it does that.

    Args:
        better: in which direction the main score improves.
        box: worst and best score for the hypervolume, or None to fix them by the first scores.
        axes: the costs that fronts are drawn against, the default first.
    """

    def __init__(self, better: Better, box: tuple[float, float] | None, axes: tuple[str, ...] = AXES) -> None:
        self.better: Better = better
        self.axes = axes
        self._ends = box
        self._candidates: list[Candidate] = []

    def plan(self, plans: Iterable[tuple[Plan, int]]) -> None:
        """Add planned candidates; each comes with its seed."""
        for plan, seed in plans:
            number = len(self._candidates)
            rung: Rung = "dense" if number == 0 else "zero-shot"
            self._candidates.append(Candidate(number=number, plan=plan, rung=rung, state="planned", seed=seed))

    def put(self, candidate: Candidate) -> None:
        """Replace the candidate of the same number."""
        self._candidates[candidate.number] = candidate
        self._fix_ends()

    def __len__(self) -> int:
        return len(self._candidates)

    def __getitem__(self, number: int) -> Candidate:
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(self._candidates):
            raise UnknownNameError("candidate", number, [str(known.number) for known in self._candidates])
        return self._candidates[number]

    def waiting(self) -> list[int]:
        """Return the numbers that were not tried, or whose try was cancelled."""
        return [known.number for known in self._candidates if known.state in ("planned", "cancelled")]

    def begun(self) -> tuple[Candidate, ...]:
        """Return the candidates that were begun, by number."""
        return tuple(known for known in self._candidates if known.state != "planned")

    def done(self) -> list[Candidate]:
        """Return the candidates that have a score, by number."""
        return [known for known in self._candidates if known.state == "done"]

    def point(self, candidate: Candidate, axis: str) -> Point:
        """Return cost along ``axis`` and main score of a candidate that is done; NaN where its metric gave no number.

        Raises:
            UnknownNameError: no such axis.
            SearchError: it has no cost or no score yet.
        """
        if axis not in self.axes:
            raise UnknownNameError("cost to search along", axis, self.axes)
        cost, score = place_on(axis, candidate), candidate.score()
        if candidate.cost is None or score is None:
            raise SearchError(f"Candidate {candidate.number} is {candidate.state}; it has no cost or no score.")
        return math.nan if cost is None else cost, score

    def front(self, axis: str) -> tuple[Candidate, ...]:
        """Return the candidates that no other beats, from cheap to dear; unknown axes are answered with the known."""
        if axis not in self.axes:
            raise UnknownNameError("cost to search along", axis, self.axes)
        done = self.done()
        return tuple(done[place] for place in front([self.point(known, axis) for known in done], self.better))

    def fronts(self) -> tuple[Front, ...]:
        """Return the front of every axis with its hypervolume and knee."""
        return tuple(self._front_record(axis) for axis in self.axes)

    def _front_record(self, axis: str) -> Front:
        done = self.done()
        points = [self.point(known, axis) for known in done]
        bend = knee(points, self.better)
        volume = None
        if self._ends is not None and done and done[0].number == 0 and math.isfinite(points[0][0]):
            box = Box(cost=points[0][0], worst=self._ends[0], best=self._ends[1])
            volume = hypervolume(points, box, self.better)
        return Front(
            axis=axis,
            numbers=tuple(done[place].number for place in front(points, self.better)),
            hypervolume=volume,
            knee=None if bend is None else done[bend].number,
        )

    def _fix_ends(self) -> None:
        # Once: a reference that moves makes a curve of hypervolumes go down while the front goes up.
        done = self.done()
        if self._ends is not None or not done or done[0].number != 0:
            return
        scores = [score for known in done if (score := known.score()) is not None]
        if self.better == "higher" and 0 < scores[0] <= 1:
            self._ends = (0.0, 1.0)
        elif len(scores) >= _FIRST and min(scores) < max(scores):
            low, high = min(scores), max(scores)
            self._ends = (low, high) if self.better == "higher" else (high, min(0.0, low))
