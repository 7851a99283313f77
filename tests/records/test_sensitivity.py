"""Curves as records."""

from __future__ import annotations

import math

import pytest

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.records import Cost, Sensitivity, SensitivityPoint, SensitivityRow, Step, settings


def row(*pairs: tuple[float, float | None], layer: str = "fc") -> SensitivityRow:
    points = tuple(
        SensitivityPoint(
            step=Step(transform="low_rank", layers=(layer,), settings=settings(rank=number)),
            kept=kept,
            change=Cost(macs=-number - 1),
            divergence=divergence,
        )
        for number, (kept, divergence) in enumerate(pairs)
    )
    return SensitivityRow(
        transform="low_rank", layers=(layer,), family="factorize", unit=(layer,), cost=Cost(macs=10), points=points
    )


def test_between_two_settings_the_logarithm_is_a_straight_line():
    assert row((0.75, 1e-4), (0.25, 1e-2)).at(0.5) == pytest.approx(1e-3)
    assert row((0.75, 1e-4), (0.25, 1e-2)).at(0.375) == pytest.approx(10**-2.5)


def test_at_a_setting_it_is_that_settings_and_beyond_the_last_one_that_ones():
    curve = row((0.75, 1e-4), (0.5, 1e-3), (0.25, 1e-2))
    assert curve.at(0.5) == pytest.approx(1e-3)
    assert curve.at(0.1) == 1e-2
    assert curve.at(0.9) == 1e-4


def test_nothing_and_failures_do_not_disturb_it():
    assert row((0.75, 0.0), (0.25, 1e-2)).at(0.4) == 1e-2
    assert row((0.75, 0.0), (0.25, 1e-2)).at(0.7) == 0.0
    assert row((0.75, 1e-4), (0.5, None), (0.25, 1e-2)).at(0.5) == pytest.approx(1e-3)
    assert row((0.75, None)).at() is None


def found() -> Sensitivity:
    rows = (row((0.5, 1e-3), layer="a"), row((0.5, 1e-1), layer="b"), row((0.5, None), layer="c"))
    return Sensitivity(model="Net", cost=Cost(macs=100), divergence="kl", rows=rows)


def test_the_most_sensitive_come_first_and_what_was_not_measured_not_at_all():
    assert [one.layers for one in found().ranked()] == [("b",), ("a",)]
    with pytest.raises(InputError):
        found().ranked(1.5)


def test_it_survives_json_with_numbers_that_are_none():
    odd = row((math.inf, 1e-3))
    record = Sensitivity(model="Net", cost=Cost(), divergence="squares", rows=(odd,), model_digest="ab")
    assert Sensitivity.from_json(record.to_json()) == record
    assert Sensitivity.from_json(found().to_json()) == found()


def test_options_leave_out_what_was_not_measured():
    options = found().options
    assert [option.divergence for option in options] == [1e-3, 1e-1]
    assert [option.saving for option in options] == [0.01, 0.01]


def test_an_unknown_place_is_answered_with_the_known_ones():
    assert found().row("low_rank", "b").layers == ("b",)
    with pytest.raises(UnknownNameError, match="low_rank at a"):
        found().row("low_rank", "z")
