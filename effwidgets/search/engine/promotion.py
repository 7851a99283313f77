"""Which candidates are worth training: some of those that few others beat."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from effwidgets.records import Candidate, Rung, Score
from effwidgets.search.engine.book import Book, measure_of
from effwidgets.search.engine.rungs import tried_at
from effwidgets.search.fronts.axes import place_on
from effwidgets.search.fronts.pareto import front
from effwidgets.search.selection.handin import hand_in

__all__ = ["near_fronts", "worth_training"]

_BRIEF = 2  # so many times as many are trained briefly as in full
_SPARE = 4  # so many times as many are looked at as are taken


def worth_training(book: Book, rung: Rung, asked: Collection[int] = ()) -> list[Candidate]:
    """Return who should be taken to ``rung``, the most useful first: what `hand_in` names of those near the fronts.

    At most ``finetuned`` candidates are trained in full and twice as many briefly, those of earlier runs counted in.
    Those that keep the budgets come first into question; when none does, all do. To be asked again after each
    training.

    Args:
        book: what the search knows.
        rung: where to.
        asked: numbers of those that are on their way there, or that another process takes there.
    """
    options = book.options
    most = options.finetuned * (_BRIEF if rung == "briefly tuned" else 1)
    done = [_judged(known, book) for known in book.archive.done()]
    tried = {known.number for known in done if known.number and tried_at(known, rung)}
    bounds = book.bounds()
    within = [known for known in done if all(_keeps(known, axis, limit) for axis, limit in bounds.items())]
    chosen = [known for known in within if known.number] or done
    near = near_fronts(chosen, book, _SPARE * most)
    rest = [known for known in done if known.number in tried | {0} and known not in near]
    numbers = hand_in([*rest, *near], options.objectives, most, better=options.better, trained=tried)
    left = [number for number in numbers if number not in asked]
    # What was learnt from one may move another aside that is on its way: its place is taken all the same.
    return [book.archive[number] for number in left[: max(0, most - len(tried.union(asked)))]]


def near_fronts(candidates: list[Candidate], book: Book, most: int) -> list[Candidate]:
    """Return the compressed candidates on the front of some objective, then those behind it, until there are enough."""
    left = [known for known in candidates if known.number and known.score() is not None]
    found: list[Candidate] = []
    while left and len(found) < most:
        places: dict[int, None] = {}
        for axis in book.options.objectives:
            points = [(_cost(axis, known), known.score() or 0.0) for known in left]
            places |= dict.fromkeys(front(points, book.options.better))
        if not places:
            break
        found += [left[place] for place in places]
        left = [known for place, known in enumerate(left) if place not in places]
    return found


def _judged(candidate: Candidate, book: Book) -> Candidate:
    # As it is compared: by its divergence where that guides the search, its latency as predicted before it was timed.
    candidate = book.priced(candidate)
    scores = candidate.scores
    parted = measure_of(candidate, "divergence") if candidate.number else 0.0
    if book.options.guide == "divergence" and parted is not None and book.archive.untrained:
        scores = (Score(metric="divergence", value=-parted if book.options.better == "higher" else parted),)
    return dataclasses.replace(candidate, scores=scores)


def _cost(axis: str, candidate: Candidate) -> float:
    cost = place_on(axis, candidate)
    return float("nan") if cost is None else cost


def _keeps(candidate: Candidate, axis: str, limit: float) -> bool:
    cost = place_on(axis, candidate)
    return cost is None or cost <= limit
