"""The box that hypervolumes are measured in is fixed once."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from effwidgets.errors import SearchError, UnknownNameError
from effwidgets.metrics.base import METRICS
from effwidgets.records import Candidate, Cost, Memory, Plan, Score
from effwidgets.search.fronts.archive import Archive
from effwidgets.search.fronts.axes import cost_axes, measures_of, place_on

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
