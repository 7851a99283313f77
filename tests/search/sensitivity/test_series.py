"""Places and their settings."""

from __future__ import annotations

import pytest

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.profiling import ProfileOptions, profile
from effwidgets.records import Plan
from effwidgets.search.sensitivity.options import SensitivityOptions
from effwidgets.search.sensitivity.series import series_of, shares_of
from effwidgets.transforms.foresee import estimate_plan


@pytest.fixture
def known(convolutional, images):
    return profile(convolutional, images, options=ProfileOptions(second_opinion=True))


def test_points_go_from_weak_to_strong_and_each_saves_something(known):
    series, _ = series_of(known, SensitivityOptions())
    assert {one.row.family for one in series} == {"prune", "factorize", "bottleneck"}
    for one in series:
        kept = [point.kept for point in one.points]
        assert kept == sorted(kept, reverse=True)
        assert 0 < kept[-1] < kept[0] < 1
        assert one.row.planned == len(one.points) <= 5
        for point in one.points:
            assert point.change == estimate_plan(known, Plan(steps=(point.step,)))


def test_what_is_left_is_the_share_of_the_work_of_the_layers_that_change(known):
    series, _ = series_of(known, SensitivityOptions(transforms=("spatial_svd",), shares=(0.5,)))
    one = next(one for one in series if one.row.layers == ("conv1",))
    # 3 x 3 from 12 to 24 channels as 3 x 1 to r and 1 x 3 to 24: r * 3 * (12 + 24) of 9 * 12 * 24 multiplications.
    rank = dict(one.points[0].step.settings)["rank"]
    assert one.points[0].kept == pytest.approx(rank * 3 * (12 + 24) / (9 * 12 * 24))
    assert one.row.unit == ("conv1",)  # a group of channels has the same name: it is not what changes here


def test_a_pruning_counts_all_members_of_its_group(known):
    series, _ = series_of(known, SensitivityOptions(transforms=("channel_prune",), shares=(0.5,)))
    one = next(one for one in series if one.row.layers == ("conv1",))
    assert {"conv1", "bn1", "conv2"} <= set(one.row.unit)
    assert one.points[0].kept == pytest.approx(0.5)


def test_layers_choose_the_places_that_change_one_of_them(known):
    series, skips = series_of(known, SensitivityOptions(layers=("conv2",)))
    assert series
    assert all("conv2" in one.row.unit for one in series)
    assert all("conv2" in skip.layers for skip in skips)


def test_a_technique_that_is_not_advised_is_tried_when_it_is_named(known):
    series, _ = series_of(known, SensitivityOptions(transforms=("unstructured", "int8"), levels=3))
    zeros = next(one for one in series if one.row.transform == "unstructured")
    shares = [dict(point.step.settings)["share"] for point in zeros.points]
    assert shares == sorted(shares)
    assert [point.kept for point in zeros.points] == pytest.approx([1 - share for share in shares])
    assert all(len(one.points) == 1 for one in series if one.row.transform == "int8")


def test_shares_are_those_asked_for_the_weakest_first():
    assert shares_of(SensitivityOptions(shares=(0.25, 0.9, 0.25))) == (0.9, 0.25)


@pytest.mark.parametrize(
    "wrong",
    [
        {"levels": 0},
        {"levels": True},
        {"shares": (0.0,)},
        {"shares": 0.5},
        {"shares": ()},
        {"held_out": 1.0},
        {"samples": 0},
        {"layers": "conv1"},
        {"evaluate": 3},
        {"time_limit_s": 0},
        {"resume": 3},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InputError):
        SensitivityOptions(**wrong)


@pytest.mark.parametrize("wrong", [{"gauge": "mse"}, {"better": "up"}])
def test_unknown_words_are_answered_with_the_known_ones(wrong):
    with pytest.raises(UnknownNameError):
        SensitivityOptions(**wrong)
