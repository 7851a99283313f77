"""Who is timed: the dense model and those near the fronts that are known without a clock."""

from __future__ import annotations

from effwidgets.records import Candidate, Cost, Memory, Plan, Score, Step, settings
from effwidgets.search.engine.book import PREDICTED, Book
from effwidgets.search.engine.latency import near_front
from effwidgets.search.engine.options import SearchOptions


def book_of(rows, size=8):
    book = Book(SearchOptions(objectives=("latency_s",)))
    for number, (macs, seconds, score) in enumerate(rows):
        step = Step(transform="low_rank", layers=("fc",), settings=settings(rank=number))
        book.archive.put(
            Candidate(
                number=number,
                plan=Plan(steps=(step,) if number else ()),
                rung="repaired" if number else "dense",
                state="done",
                cost=Cost(macs=macs, params=macs, param_bytes=macs),
                memory=Memory(param_bytes=size, inference_peak_bytes=macs, inference_peak_at="", saved_bytes=0),
                scores=(Score(metric="accuracy", value=score),),
                measures=(Score(metric=PREDICTED, value=seconds),),
            )
        )
    return book


def test_the_dense_model_comes_first_and_who_is_beaten_everywhere_is_left_out():
    rows = [(100, 1.0, 0.9), (50, 0.5, 0.8), (60, 0.9, 0.4), (40, 1.2, 0.7), (70, 0.2, 0.6)]
    # 2 is beaten by 1 on every axis; 3 is slow but has the fewest MACs, 4 is fast.
    assert [known.number for known in near_front(book_of(rows))] == [0, 4, 1, 3]


def test_one_that_is_about_as_fast_as_predictions_can_tell_is_timed_too():
    rows = [(100, 1.0, 0.9), (50, 0.5, 0.8), (55, 0.52, 0.8)]
    assert [known.number for known in near_front(book_of(rows))] == [0, 1, 2]


def test_large_models_are_not_all_held_at_once():
    rows = [(100, 1.0, 0.9), *((100 - n, 1.0 - n / 100, 0.9 - n / 1000) for n in range(1, 40))]
    assert len(near_front(book_of(rows))) == 1 + 24
    assert len(near_front(book_of(rows, size=2**30))) == 1 + 4


def test_what_is_in_memory_is_timed_too_where_there_is_room():
    rows = [(100, 1.0, 0.9), (50, 0.5, 0.8), (60, 0.9, 0.4), (40, 1.2, 0.7), (70, 0.2, 0.6), (80, 0.9, 0.3)]
    assert [known.number for known in near_front(book_of(rows), held={0, 2, 4})] == [0, 4, 1, 3, 2]
    assert [known.number for known in near_front(book_of(rows, size=2**30), held={2, 5})] == [0, 4, 1, 3, 2]


def test_a_prediction_is_scaled_to_the_dense_model_as_it_was_timed():
    book = book_of([(100, 1.0, 0.9), (50, 0.5, 0.8)])
    dense = book.archive[0]
    book.archive.put(
        Candidate(
            number=0,
            plan=Plan(),
            rung="dense",
            state="done",
            cost=dense.cost,
            memory=dense.memory,
            scores=dense.scores,
            measures=(*dense.measures, Score(metric="latency_s", value=0.8)),
        )
    )
    measures = {score.metric: score.value for score in book.priced(book.archive[1]).measures}
    assert measures["latency_s"] == 0.4
