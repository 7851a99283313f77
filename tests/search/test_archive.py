"""The box that hypervolumes are measured in is fixed once."""

from __future__ import annotations

import pytest

from effwidgets.errors import SearchError, UnknownNameError
from effwidgets.records import Candidate, Cost, Memory, Plan, Score
from effwidgets.search.archive import Archive, amount

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


def test_an_amount_is_read_from_where_it_stands():
    assert amount("inference_peak_bytes", Cost(macs=3), MEMORY) == 7
    assert amount("macs", Cost(macs=3), MEMORY) == 3
    with pytest.raises(UnknownNameError, match="'params'"):
        amount("param", Cost(), MEMORY)


def test_a_candidate_without_a_score_has_no_point():
    with pytest.raises(SearchError, match="planned"):
        Archive("higher", None).point(Candidate(number=0, plan=Plan(), rung="dense", state="planned"), "macs")
