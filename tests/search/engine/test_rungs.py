"""What a candidate is after a climb."""

from __future__ import annotations

import pytest

from effwidgets.records import Candidate, Climb, Plan, Score
from effwidgets.search.engine.rungs import carried, climb_order, climbed, spread, tried_at


def candidate(rung="repaired", score=0.5, *, state="done", climbs=(), measures=(), note="", seconds=1.0):
    scores = () if score is None else (Score(metric="accuracy", value=score),)
    return Candidate(
        number=4,
        plan=Plan(),
        rung=rung,
        state=state,
        scores=scores,
        climbed=climbs,
        measures=measures,
        note=note,
        seconds=seconds,
        seed=44,
        source="tpe",
    )


def climb(before, score, *, state="done", note="", better="higher"):
    order = climb_order(before, "fine-tuned", "accuracy")
    after = candidate("fine-tuned", score, state=state, climbs=order.climbed, note=note, seconds=9.0)
    return climbed(before, after, better)


def test_an_order_to_climb_carries_where_it_stood():
    order = climb_order(candidate(seconds=2.0), "fine-tuned", "accuracy")
    assert (order.number, order.rung, order.seed, order.source, order.main) == (4, "fine-tuned", 44, "tpe", "accuracy")
    assert order.climbed == (Climb(rung="repaired", scores=(Score(metric="accuracy", value=0.5),), seconds=2.0),)


def test_one_that_scores_better_stands_on_the_new_rung_and_keeps_what_was_measured_below():
    before = candidate(measures=(Score(metric="divergence", value=0.1),))
    after, stands = climb(before, 0.7)
    assert stands
    assert (after.rung, after.score(), after.first_scores) == ("fine-tuned", 0.7, before.scores)
    assert [score.metric for score in after.measures] == ["divergence"]


@pytest.mark.parametrize(("better", "score"), [("higher", 0.4), ("lower", 0.6)])
def test_one_that_scores_worse_stays_as_it_was_and_says_so(better, score):
    before = candidate(note="One step was skipped.")
    after, stands = climb(before, score, better=better)
    assert not stands
    assert (after.rung, after.scores, after.seconds) == (before.rung, before.scores, before.seconds)
    assert after.note == f"One step was skipped. Fine-tuned it scored {score:.4g}, no better, so it stays as it was."
    assert tried_at(after, "fine-tuned")
    assert after.first_scores == before.scores


def test_one_whose_training_failed_stays_as_it_was_and_is_not_tried_again():
    after, stands = climb(candidate(), None, state="failed", note="ValueError: no labels")
    assert not stands
    assert (after.state, after.rung, after.score()) == ("done", "repaired", 0.5)
    assert "no labels" in after.note
    assert after.climbed == (Climb(rung="fine-tuned", scores=(), seconds=9.0),)
    assert tried_at(after, "fine-tuned")


def test_the_first_scores_are_those_of_the_lowest_rung_whatever_was_tried_first():
    poor = Climb(rung="briefly tuned", scores=(Score(metric="accuracy", value=0.4),))
    low = Climb(rung="repaired", scores=(Score(metric="accuracy", value=0.5),))
    assert candidate("fine-tuned", 0.9, climbs=(poor, low)).first_scores[0].value == 0.5


def test_a_rung_below_is_tried_a_rung_above_is_not():
    known = candidate("briefly tuned")
    assert [tried_at(known, rung) for rung in ("repaired", "briefly tuned", "fine-tuned")] == [True, True, False]


@pytest.mark.parametrize("most", [1, 2, 3, 7, 9])
def test_a_spread_has_both_ends_and_nobody_twice(most):
    many = [candidate() for _ in range(9)]
    found = [next(place for place, one in enumerate(many) if one is known) for known in spread(many, most)]
    assert len(found) == most == len(set(found))
    assert most == 1 or {found[0], found[-1]} == {0, 8}


def test_a_measure_of_the_same_name_is_replaced():
    before = candidate(measures=(Score(metric="latency_s", value=2.0), Score(metric="divergence", value=0.1)))
    after = carried(before, [Score(metric="latency_s", value=1.0, error=0.1)])
    assert {score.metric: score.value for score in after.measures} == {"latency_s": 1.0, "divergence": 0.1}
