from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effwidgets.errors import InputError
from effwidgets.units import bytes_text, count_text, number_of, percent_text, seconds_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (7, "7"),
        (999, "999"),
        (1000, "1.00 k"),
        (11_689_512, "11.7 M"),
        (999_999, "1.00 M"),
        (3.6e9, "3.60 G"),
        (-2500, "-2.50 k"),
    ],
)
def test_counts_have_three_digits_and_a_prefix(value: float, text: str) -> None:
    assert count_text(value) == text


def test_bytes_seconds_and_percentages_carry_their_unit() -> None:
    assert bytes_text(46_758_048) == "46.8 MB"
    assert seconds_text(0.0288) == "28.8 ms"
    assert seconds_text(125) == "2 min 5 s"
    assert percent_text(-0.674) == "−67%"
    assert percent_text(-0.0001) == "0%"


def test_what_is_not_finite_is_a_dash() -> None:
    assert {count_text(math.nan), seconds_text(math.inf), percent_text(math.nan)} == {"–"}


@pytest.mark.parametrize("text", ["", "many", "1.2.3", "4 GiB", "--3", "1,5", "3b", "40%B", "B"])
def test_what_is_no_number_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InputError, match="Write for example"):
        number_of(text)


@given(st.integers(1, 10**15))
def test_reading_what_was_written_gives_the_number_back_to_three_digits(value: int) -> None:
    # three significant digits are written, so half a unit of the third is lost at most: 0.5 %
    text = count_text(value)
    if not text.endswith("P"):  # a reader of budgets stops at tera
        assert number_of(text) == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(
    ("text", "value"), [("1.2MB", 1.2e6), ("0.5 kB", 500.0), ("500 B", 500.0), ("4 GB", 4e9), ("2 tb", 2e12)]
)
def test_bytes_are_read_as_the_screens_write_them(text: str, value: float) -> None:
    assert number_of(text) == value


@given(st.integers(1, 10**15))
def test_reading_bytes_that_were_written_gives_them_back_to_three_digits(value: int) -> None:
    text = bytes_text(value)
    if "P" not in text:  # as above
        assert number_of(text) == pytest.approx(value, rel=0.0051)
