"""The box that hypervolumes are measured in is fixed once."""

from __future__ import annotations

import dataclasses
import random
from types import SimpleNamespace

import pytest

from effwidgets.errors import SearchError, UnknownNameError
from effwidgets.metrics.base import METRICS
from effwidgets.records import Candidate, Climb, Cost, Memory, Plan, Score, Step
from effwidgets.search.fronts.archive import Archive
from effwidgets.search.fronts.axes import cost_axes, measures_of, place_on
from effwidgets.search.fronts.pareto import Box, front, hypervolume

MEMORY = Memory(param_bytes=8, inference_peak_bytes=7, inference_peak_at="", saved_bytes=0)


def fill(archive, rows):
    volumes = []
    archive.plan((Plan(), 0) for _ in rows)
    for number, (macs, score) in enumerate(rows):
        scores = (Score(metric="score", value=score),)
        archive.put(
            Candidate(
                number=number,
                plan=Plan(),
                rung="repaired",
                state="done",
                cost=Cost(macs=macs),
                memory=MEMORY,
                scores=scores,
            )
        )
        volumes.append(archive.fronts()[0].hypervolume)
    return volumes


def test_a_score_between_0_and_1_is_measured_against_0_and_1_from_the_start():
    volumes = fill(Archive("higher", None), [(100, 0.9), (50, 0.8), (10, 0.5)])
    # By hand: nothing at the dense cost itself; then 0.8 x 50; then 0.5 x 90 + 0.3 x 50.
    assert volumes == pytest.approx([0.0, 0.40, 0.60])


def test_a_loss_is_measured_from_the_worst_of_the_first_four_to_0():
    volumes = fill(Archive("lower", None), [(100, 0.5), (50, 1.0), (10, 4.0), (20, 2.0), (5, 9.0)])
    assert volumes[:3] == [None, None, None]
    # By hand, from 4 down to 0: at 20 the loss falls by 2 (80 wide), at 50 by 1 more (50 wide).
    assert volumes[3] == pytest.approx((2 * 80 + 1 * 50) / 400)
    assert volumes[4] == volumes[3]  # worse than the worst that counts: the box stays


def test_a_score_of_0_at_the_dense_model_is_no_share_of_1():
    # A distance from the dense model, turned around: 0 is the best there is.
    volumes = fill(Archive("higher", None), [(100, 0.0), (50, -1.0), (10, -4.0), (20, -2.0)])
    assert volumes[3] == pytest.approx((2 * 80 + 1 * 50) / 400)


def test_a_box_that_was_given_is_kept():
    volumes = fill(Archive("higher", (0.5, 0.9)), [(100, 0.9), (50, 0.7)])
    assert volumes[1] == pytest.approx(0.5 * 0.5)


def test_more_candidates_never_lower_the_hypervolume():
    rows = [(100, 30.0), (50, 20.0), (25, 5.0), (70, 25.0), (10, 1.0), (60, 31.0), (5, 40.0)]
    volumes = [volume for volume in fill(Archive("higher", None), rows) if volume is not None]
    assert volumes == sorted(volumes)
    assert len(volumes) == 4


def test_a_place_is_read_from_where_it_stands():
    measures = (Score(metric="intensity", value=2.5),)
    built = Candidate(
        number=1, plan=Plan(), rung="repaired", state="done", cost=Cost(macs=3), memory=MEMORY, measures=measures
    )
    places = [place_on(axis, built) for axis in ("macs", "inference_peak_bytes", "intensity", "joules")]
    assert places == [3, 7, 2.5, None]
    planned = Candidate(number=1, plan=Plan(), rung="repaired", state="planned")
    assert [place_on(axis, planned) for axis in ("macs", "intensity")] == [None, None]
    with pytest.raises(UnknownNameError, match="'params'"):
        Archive("higher", None).front("param")


class Squared:
    """A cost of its own kind: of two models it has no number."""

    name, title, unit, better = "squared", "Squared", "", "lower"

    def measure(self, profile):
        if profile.cost.macs == 50:
            raise ZeroDivisionError("oh")
        return float("inf") if profile.cost.macs == 70 else float(profile.cost.macs**2)


def test_a_registered_cost_is_an_axis_with_a_front_of_its_own():
    METRICS.add("squared", Squared())
    try:
        axes = cost_axes()
        found = [measures_of(SimpleNamespace(cost=Cost(macs=macs))) for macs in (100, 50, 10, 70)]
    finally:
        METRICS.remove("squared")
    assert axes == ("macs", "params", "param_bytes", "inference_peak_bytes", "squared")
    assert "squared" not in cost_axes()
    assert [note for _, note in found] == [
        "",
        "The metric squared could not be measured: ZeroDivisionError: oh.",
        "",
        "The metric squared is inf here.",
    ]
    archive = Archive("higher", None, axes)
    fill(archive, [(100, 0.9), (50, 0.85), (10, 0.5), (70, 0.8)])
    for number, (measures, _) in enumerate(found):
        archive.put(dataclasses.replace(archive[number], measures=measures))
    front = archive.fronts()[-1]
    # What has no number on this axis is not on its front, and stays on the others.
    assert (front.axis, front.numbers) == ("squared", (2, 0))
    assert archive.fronts()[0].numbers == (2, 1, 0)
    assert front.hypervolume == pytest.approx(0.5 * (1 - 0.01))  # by hand: from 10 squared to 100 squared


def test_a_cost_that_the_dense_model_has_no_number_for_has_no_hypervolume():
    archive = Archive("higher", (0.0, 1.0), ("macs", "squared"))
    fill(archive, [(1, 0.5)])
    assert [front.hypervolume for front in archive.fronts()] == [0.0, None]
    assert archive.front("squared") == ()


def test_a_candidate_without_a_score_has_no_point():
    with pytest.raises(SearchError, match="planned"):
        Archive("higher", None).point(Candidate(number=0, plan=Plan(), rung="dense", state="planned"), "macs")


def candidate(number, macs, score, plan=None, **more):
    scores = (Score(metric="score", value=score),)
    return Candidate(
        number=number,
        plan=plan or Plan(),
        rung="repaired",
        state="done",
        cost=Cost(macs=macs, params=macs),
        memory=MEMORY,
        scores=scores,
        **more,
    )


def test_fronts_kept_point_by_point_are_those_of_all_points_at_once():
    dice = random.Random(7)  # noqa: S311  no secret
    archive, points = Archive("higher", (0.0, 1.0)), {}
    for turn in range(300):
        # Some are put again with another score, as after a climb; values repeat, so that there are ties.
        number = turn if turn % 5 or turn == 0 else dice.randrange(turn)
        points[number] = (100 if number == 0 else dice.randrange(1, 40), dice.randrange(20) / 20)
        archive.put(candidate(number, *points[number]))
    numbers = sorted(points)
    wanted = front([points[number] for number in numbers])
    found = archive.fronts()[0]
    assert found.numbers == tuple(numbers[place] for place in wanted)
    whole = hypervolume([points[number] for number in numbers], Box(cost=100, worst=0.0, best=1.0))
    assert found.hypervolume == pytest.approx(whole, abs=1e-12)  # sums of 300 areas in another order
    assert [known.number for known in archive.front("macs")] == list(found.numbers)


def test_the_history_has_a_value_for_each_result_and_ends_at_the_front():
    archive = Archive("higher", (0.0, 1.0))
    for number, (macs, score) in enumerate([(100, 0.9), (50, 0.8), (60, 0.7), (10, 0.5)]):
        archive.put(candidate(number, macs, score))
    assert archive.volumes("macs") == pytest.approx((0.0, 0.4, 0.4, 0.6))
    climb = (Climb(rung="repaired", scores=archive[1].scores),)
    archive.put(dataclasses.replace(candidate(1, 50, 0.9, climbed=climb), rung="fine-tuned"))
    archive.put(archive[1])  # nothing new: no result
    # By hand: 0.5 x 90 + 0.4 x 50.
    assert archive.volumes("macs") == pytest.approx((0.0, 0.4, 0.4, 0.6, 0.65))
    assert archive.volumes("params") == archive.volumes("macs")
    assert Archive("lower", None).volumes("macs") == ()


def test_each_technique_has_the_share_that_is_lost_without_it():
    def plan(*names):
        return Plan(steps=tuple(Step(transform=name, layers=("fc",)) for name in names))

    archive = Archive("higher", (0.0, 1.0))
    archive.put(candidate(0, 100, 0.9))
    archive.put(candidate(1, 50, 0.8, plan("low_rank")))
    archive.put(candidate(2, 25, 0.8, plan("low_rank", "channel_prune")))
    # By hand: 0.8 x 75 with all, 0.8 x 50 without pruning, nothing without either.
    found = {share.metric: share.value for share in archive.contributions("macs")}
    assert found == pytest.approx({"low_rank": 1.0, "channel_prune": 1 / 3})


def test_within_limits_the_best_score_comes_first_and_of_equals_the_cheapest():
    archive = Archive("higher", None)
    for number, (macs, score) in enumerate([(100, 0.9), (50, 0.8), (40, 0.8), (10, 0.3)]):
        archive.put(candidate(number, macs, score))
    assert [known.number for known in archive.within({"macs": 60})] == [2, 1, 3]
    assert [known.number for known in archive.within({"macs": 60, "params": 45})] == [2, 3]
    assert archive.within({"macs": 5}) == []


def test_a_plan_is_found_again_and_numbers_may_have_gaps():
    archive = Archive("higher", None)
    mine = Plan(steps=(Step(transform="low_rank", layers=("fc",)),))
    archive.put(candidate(4, 10, 0.5, mine))
    assert (archive.next_number, len(archive), mine in archive, Plan() in archive) == (5, 1, True, False)
    assert archive.of(mine).number == 4
    with pytest.raises(UnknownNameError, match="'4'"):
        archive[3]
