"""Who is trained: few, near the fronts, within the budgets, and none twice."""

from __future__ import annotations

import random

import pytest

from effwidgets.records import Candidate, Climb, Cost, Memory, Plan, Score, Step, settings
from effwidgets.search.engine.book import Book
from effwidgets.search.engine.options import SearchOptions
from effwidgets.search.engine.promotion import near_fronts, worth_training

MEMORY = Memory(param_bytes=8, inference_peak_bytes=7, inference_peak_at="", saved_bytes=0)


def put(book, number, macs, score, **more):
    plan = Plan(steps=(Step(transform="low_rank", layers=("fc",), settings=settings(rank=number)),) if number else ())
    fields = {"rung": "repaired" if number else "dense", "state": "done", **more}
    book.archive.put(
        Candidate(
            number=number,
            plan=plan,
            cost=Cost(macs=macs),
            memory=MEMORY,
            scores=(Score(metric="accuracy", value=score),),
            **fields,
        )
    )


@pytest.fixture
def book():
    book = Book(SearchOptions(finetuned=3))
    put(book, 0, 100, 0.9)
    for number, (macs, score) in enumerate([(80, 0.89), (60, 0.85), (40, 0.8), (20, 0.6), (10, 0.3), (90, 0.2)], 1):
        put(book, number, macs, score)
    return book


def numbers(candidates):
    return [known.number for known in candidates]


def test_no_more_are_taken_than_may_be_trained_and_twice_as_many_briefly(book):
    assert len(worth_training(book, "fine-tuned")) == 3
    assert 3 < len(worth_training(book, "briefly tuned")) <= 6


def test_neither_the_dense_model_nor_one_far_behind_the_front_is_taken_first(book):
    assert 0 not in numbers(worth_training(book, "fine-tuned"))
    assert 6 not in numbers(worth_training(book, "fine-tuned"))


def test_who_was_trained_counts_and_is_not_taken_again(book):
    first = worth_training(book, "fine-tuned")
    put(book, first[0].number, first[0].cost.macs, 0.95, rung="fine-tuned")
    vain = first[1]
    put(book, vain.number, vain.cost.macs, vain.score(), climbed=(Climb(rung="fine-tuned", scores=()),))
    left = worth_training(book, "fine-tuned")
    assert len(left) <= 1
    assert not {first[0].number, vain.number} & set(numbers(left))


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_no_more_than_may_be_are_trained_whatever_is_learnt_while_others_are_on_their_way(slots):
    drawn = random.Random(0)  # noqa: S311  no secret
    for _ in range(30):
        book = Book(SearchOptions(finetuned=4))
        put(book, 0, 100, 0.95)
        for number in range(1, 13):
            put(book, number, 8 * number, drawn.uniform(0.2, 0.9))
        asked, out = set(), []
        while True:
            while len(out) < slots and (left := worth_training(book, "fine-tuned", asked)):
                asked.add(left[0].number)
                out.append(left[0])
            if not out:
                break
            one = out.pop(0)
            before = (Climb(rung="repaired", scores=one.scores),)
            score = drawn.uniform(one.score(), 0.96)
            put(book, one.number, one.cost.macs, score, rung="fine-tuned", climbed=before)
        assert len(asked) == 4


def test_only_those_within_the_budgets_are_taken_while_there_are_any(book):
    book.limits.set("macs", 0.4, book.dense)
    assert set(numbers(worth_training(book, "fine-tuned"))) <= {3, 4, 5}
    book.limits.set("macs", 0.01, book.dense)
    assert len(worth_training(book, "fine-tuned")) == 3  # nobody keeps it: all come into question


def test_those_on_the_front_come_first_and_then_those_behind_it(book):
    put(book, 7, 41, 0.79)
    order = numbers(near_fronts(book.archive.done(), book, 100))
    assert set(order) == {1, 2, 3, 4, 5, 6, 7}
    assert order.index(7) > max(order.index(number) for number in (1, 2, 3, 4, 5))
    assert len(near_fronts(book.archive.done(), book, 3)) < 7


def test_a_score_where_lower_is_better_is_understood():
    book = Book(SearchOptions(finetuned=1, better="lower"))
    put(book, 0, 100, 0.1)
    put(book, 1, 50, 0.2)
    put(book, 2, 50, 5.0)
    assert numbers(worth_training(book, "fine-tuned")) == [1]
