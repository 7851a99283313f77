"""Who goes on to be trained."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effwidgets.records import Candidate, Climb, Cost, Memory, Plan, Score, Step
from effwidgets.search.selection.handin import hand_in

MEMORY = Memory(param_bytes=1, inference_peak_bytes=1, inference_peak_at="", saved_bytes=1)


def candidate(number, macs, score, latency=None, state="done"):
    timed = () if latency is None else (Score(metric="latency_s", value=latency),)
    return Candidate(
        number=number,
        plan=Plan(),
        rung="repaired",
        state=state,
        cost=Cost(macs=macs),
        memory=MEMORY,
        scores=() if score is None else (Score(metric="accuracy", value=score),),
        measures=timed,
    )


def curve(scores, macs):
    return [
        candidate(0, 1000, 1.0),
        *(candidate(1 + k, m, s) for k, (m, s) in enumerate(zip(macs, scores, strict=True))),
    ]


def test_many_near_each_other_do_not_crowd_out_the_rest():
    macs = [500 + k for k in range(20)] + [200, 100, 50, 20]
    scores = [0.99] * 20 + [0.97, 0.9, 0.7, 0.4]
    found = hand_in(curve(scores, macs), most=5)
    assert {21, 22, 23, 24} <= set(found)


def test_one_below_another_of_its_cost_is_left_out():
    found = hand_in(curve([0.9, 0.5, 0.8], [100, 100, 300]), most=2)
    assert 1 in found
    assert 2 not in found


def test_some_places_go_to_wide_gaps_although_the_guess_sees_nothing_there():
    # By its guess everything from 10 to 300 is worse than the smallest; a tenth of the cost apart nobody would look.
    macs = [5, 20, 30, 40, 400, 500, 600, 700, 800, 900, 950]
    scores = [0.5, 0.30, 0.35, 0.32, 0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96]
    found = hand_in(curve(scores, macs), most=8)
    assert 3 in found  # 30: the best of those in the middle of the gap from 5 to 400
    assert len(set(found)) == 8


def test_what_failed_the_dense_model_and_what_costs_more_are_never_handed_in():
    rows = [
        candidate(0, 100, 0.9),
        candidate(1, 50, None, state="failed"),
        candidate(2, 120, 0.95),
        candidate(3, 60, 0.8),
    ]
    assert hand_in(rows, most=5) == (3,)
    assert hand_in([], most=5) == ()


def test_a_score_that_is_better_when_lower_is_turned_round():
    rows = [candidate(0, 100, 0.1), candidate(1, 50, 0.2), candidate(2, 50, 2.0), candidate(3, 90, 3.0)]
    assert hand_in(rows, most=1, better="lower") == (1,)


def test_two_costs_both_have_their_say():
    rows = [
        candidate(0, 100, 1.0, latency=1.0),
        candidate(1, 10, 0.9, latency=0.95),
        candidate(2, 90, 0.9, latency=0.3),
        candidate(3, 12, 0.9, latency=0.97),
    ]
    assert set(hand_in(rows, ("macs", "latency_s"), most=2)) == {1, 2}


def guessed(lost):
    return 1 - max(lost**1.7, 0.4 * lost)


def test_what_was_trained_is_taken_as_it_came_out_and_leaves_the_others_their_places():
    macs = [10, 20, 40, 80, 500]
    untrained = curve([0.5, 0.6, 0.7, 0.8, 0.95], macs)
    first = hand_in(untrained, most=3)
    assert len(first) == 3
    rows = curve([0.5, 0.6, 0.95, 0.8, 0.95], macs)  # the third came out as good as the last
    again = hand_in(rows, most=3, trained=(3,))
    assert len(again) == 2
    assert not {3, 4} & set(again)  # the fourth is dearer and can at best be as good as its guess
    assert hand_in(rows, most=1, trained=(3,)) == ()


def test_where_training_came_to_nothing_the_step_there_stays_worth_a_place():
    # The second is as good untrained as the others promise to become, and no better when it was trained.
    macs = [4, 21, 18, 37, 400]
    rows = curve([0.70, 0.72, 0.45, 0.93, 0.98], macs)
    assert hand_in(rows, most=5, trained=(1, 2, 4, 5)) == (3,)
    assert hand_in([*rows, candidate(6, 900, 0.981)], most=5, trained=(1, 2, 4, 5)) == (3,)


def test_a_range_that_was_seen_is_not_forgotten_when_its_worst_is_trained():
    # With a range that ends at 0.7 the two small ones would promise next to nothing, and the dear one would win.
    before = curve([0.1, 0.75, 0.97], [10, 20, 800])
    assert hand_in(before, most=1) == (2,)
    risen = dataclasses.replace(
        before[1],
        scores=(Score(metric="accuracy", value=0.72),),
        climbed=(Climb(rung="repaired", scores=before[1].scores),),
    )
    assert hand_in([before[0], risen, *before[2:]], most=2, trained=(1,)) == (2,)


def test_those_of_one_cost_do_no_harm():
    rows = curve([0.5, 0.7, 0.6, 0.9, 0.9, 0.8], [20, 20, 20, 500, 500, 300])
    assert set(hand_in(rows, most=6, trained=(1, 2, 4))) == {3, 5, 6}
    assert len(hand_in(rows, most=6)) == 6


@pytest.mark.parametrize(("in_vain", "next_one"), [("low_rank", 3), ("channel_prune", 2)])
def test_what_stayed_as_it_was_lowers_the_hopes_in_its_own_kind(in_vain, next_one):
    rows = curve([0.4, 0.56, 0.56, 0.9], [20, 21, 22, 600])  # 2 and 3 score alike and cost nearly the same
    for number, name in ((1, in_vain), (2, "low_rank"), (3, "channel_prune")):
        plan = Plan(steps=(Step(transform=name, layers=("fc",), settings=(("rank", number),)),))
        rows[number] = dataclasses.replace(rows[number], plan=plan)
    rows[1] = dataclasses.replace(rows[1], climbed=(Climb(rung="fine-tuned", scores=rows[1].scores),))
    risen = (Climb(rung="repaired", scores=rows[4].scores),)
    rows[4] = dataclasses.replace(rows[4], climbed=risen, scores=(Score(metric="accuracy", value=0.97),))
    assert hand_in(rows, most=3, trained=(1, 4)) == (next_one,)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_the_choice_is_nearly_the_best_of_all_choices(most):
    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.tuples(st.integers(1, 99), st.integers(0, 100)), min_size=3, max_size=7))
    def check(rows):
        found = curve([score / 100 for _, score in rows], [10 * cost for cost, _ in rows])
        worst = min(score for _, score in rows) / 100
        gains = {
            1 + k: (cost / 100, guessed((1 - score / 100) / (1.25 * (1 - worst))) if worst < 1 else 1.0)
            for k, (cost, score) in enumerate(rows)
        }

        def area(numbers):
            # A step function on a grid of the costs, which are whole hundredths.
            points = [gains[number] for number in numbers]
            return sum(max((g for c, g in points if c <= k / 100 + 1e-9), default=0.0) for k in range(100)) / 100

        best = max(area(numbers) for numbers in itertools.combinations(gains, min(most, len(gains))))
        # Greedy is 1 - 1/e of the best at least (Nemhauser, Wolsey and Fisher 1978); the exchange only improves it.
        assert area(hand_in(found, most=most)) >= 0.63 * best - 1e-9

    check()
