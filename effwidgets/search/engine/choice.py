"""The best candidate within budgets, or what can be reached."""

from __future__ import annotations

from collections.abc import Mapping

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.records import Candidate
from effwidgets.search.engine.book import Book
from effwidgets.search.fronts.axes import full_name, place_on
from effwidgets.search.fronts.doubts import Measured, p_dominates
from effwidgets.search.selection.budget import amount_text, limit_of

__all__ = ["best_within", "chance_to_dominate"]


def best_within(book: Book, budget: float | str | Mapping[str, float | str] | None, axis: str) -> Candidate:
    """Return the candidate with the best score that keeps every budget, the cheapest of equals; see `Study.best`.

    Raises:
        InputError: nothing is scored yet, a budget leaves nothing, or no candidate keeps them.
        UnknownNameError: no such cost.
    """
    axis = full_name(axis)
    given = budget if isinstance(budget, Mapping) else {} if budget is None else {axis: budget}
    asked = {full_name(name): limit for name, limit in given.items()}
    for name in (axis, *asked):
        if name not in book.archive.axes:
            raise UnknownNameError("cost to search along", name, book.archive.axes)
    limits = book.bounds() if budget is None else {}
    for name, limit in asked.items():
        known = [place for one in book.archive.done() if (place := place_on(name, one)) is not None]
        if not known:
            what = f"both a score and a number for {name}" if book.archive.begun() else "a score"
            raise InputError(f"No candidate has {what} yet. Run the search first.")
        dense = book.dense
        now = None if dense is None else place_on(name, dense)
        if now is None:
            raise InputError(f"The dense model has no number for {name} yet, so no budget of {limit!r} can be told.")
        limits[name] = limit_of(limit, name, now)
    if not book.archive.done():
        raise InputError("No candidate has a score yet. Run the search first.")
    found = book.archive.within({axis: float("inf"), **limits})
    if not found:
        raise InputError(_out_of_reach(book, limits))
    return found[0]


def chance_to_dominate(book: Book, a: Candidate, b: Candidate, axis: str) -> float:
    """Return the probability that ``a`` dominates ``b``, from the errors of what was measured; see `p_dominates`.

    Raises:
        UnknownNameError: no such cost.
        InputError: one of them has no score, or no number for ``axis``.
    """
    axis = full_name(axis)
    if axis not in book.archive.axes:
        raise UnknownNameError("cost to search along", axis, book.archive.axes)
    return p_dominates(_measured(a, axis), _measured(b, axis), book.options.better)


def _measured(candidate: Candidate, axis: str) -> Measured:
    cost, score = place_on(axis, candidate), next(iter(candidate.scores), None)
    if cost is None or score is None:
        what = "score" if score is None else f"number for {axis}"
        raise InputError(f"Candidate {candidate.number} has no {what}; a search times those near the front only.")
    error = next((one.error for one in candidate.measures if one.metric == axis), None)
    return Measured(cost=cost, score=score.value, cost_error=error or 0.0, score_error=score.error or 0.0)


def _out_of_reach(book: Book, limits: Mapping[str, float]) -> str:
    asked = " and ".join(f"{name} within {amount_text(name, limit)}" for name, limit in limits.items())
    said = []
    for name in limits:
        known = [(place, one.number) for one in book.archive.done() if (place := place_on(name, one)) is not None]
        if known:
            least, number = min(known)
            said.append(f"The smallest in {name}, candidate {number}, needs {amount_text(name, least)}.")
    return f"No candidate keeps {asked}. {' '.join(said)}"
