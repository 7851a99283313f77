"""The time of whole models: measured one after the other, for those near the front only."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

from effwidgets.profiling.calls import Call
from effwidgets.records import Candidate
from effwidgets.search.engine.book import PREDICTED, Book, measure_of
from effwidgets.search.engine.rungs import carried, spread
from effwidgets.search.fronts.axes import AXES, LATENCY, place_on
from effwidgets.search.fronts.choices import near_front as near
from effwidgets.transforms.apply import Applied

__all__ = ["near_front", "time_candidates"]

_MOST = 24
_ALL = 64
_TOLERANCE = 0.1  # predictions are off by about so much
_BYTES = 4 * 2**30  # of parameters held at once


def near_front(book: Book, held: Container[int] = ()) -> list[Candidate]:
    """Return the dense model and the candidates on one of the fronts that are known without a clock, dense first.

    That is: of score against the predicted time (or close to it), and against each counted cost. When there are more
    than fit, they are evenly spread over the predicted time, or over MACs. Where there is room left, those follow whose
    models are ``held`` in memory, which cost nothing but the timing: the predictions of small models are rough.
    """
    done = book.archive.done()
    chosen: dict[int, Candidate] = {}
    for axis, tolerance in ((PREDICTED, _TOLERANCE), *((axis, 0.0) for axis in AXES)):
        points = [(_place(axis, known), known.score() or 0.0) for known in done]
        chosen |= {done[place].number: done[place] for place in near(points, tolerance, book.options.better)}
    dense = book.archive[0]
    axis = PREDICTED if measure_of(dense, PREDICTED) is not None else AXES[0]
    rest = sorted((known for known in chosen.values() if known.number), key=lambda known: _place(axis, known))
    size = dense.memory.param_bytes if dense.memory is not None else 0
    fit = max(2, _BYTES // max(1, size))
    near_ones = spread(rest, min(_MOST, fit))
    others = [known for known in done if known.number in held and known.number and known not in near_ones]
    return [dense, *near_ones, *others[: max(0, min(_ALL, fit) - len(near_ones))]]


def time_candidates(
    candidates: Iterable[Candidate],
    take: Callable[[Candidate], Applied],
    call: Call,
    check: Callable[[], None],
) -> list[Candidate]:
    """Return the candidates with the measure "latency_s", timed side by side in shuffled rounds."""
    from effwidgets.search.clocks.models import time_models

    known = {candidate.number: candidate for candidate in candidates}
    models = {}
    for number, candidate in known.items():
        check()
        models[number] = take(candidate).model
    scores = time_models(models, call, check=check)
    return [carried(known[number], [score]) for number, score in scores.items()]


def _place(axis: str, candidate: Candidate) -> float:
    found = measure_of(candidate, axis) if axis in (PREDICTED, LATENCY) else place_on(axis, candidate)
    return float("nan") if found is None else found
