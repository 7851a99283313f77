"""Budgets as people give them."""

from __future__ import annotations

import pytest

from effwidgets.errors import InputError
from effwidgets.search.selection.budget import amount_text, limit_of


@pytest.mark.parametrize(
    ("budget", "limit"), [(0.4, 400.0), (1, 1000.0), ("40%", 400.0), (250, 250.0), ("0.5k", 500.0), (1000, 1000.0)]
)
def test_a_share_an_amount_and_text_are_understood(budget, limit):
    assert limit_of(budget, "macs", 1000) == limit


@pytest.mark.parametrize("budget", [0, -0.1, float("nan"), float("inf"), 1001, "200%", "", "much", None, True, [0.4]])
def test_what_leaves_nothing_or_is_no_number_is_answered_with_what_would_do(budget):
    with pytest.raises(InputError, match=r"0\.4|40%"):
        limit_of(budget, "macs", 1000)


def test_an_amount_of_bytes_is_one_where_bytes_are_counted_and_nowhere_else():
    assert limit_of("1.5 kB", "param_bytes", 2000) == 1500
    assert limit_of("1 B", "param_bytes", 2000) == 1  # no share, though it is not above 1
    for axis in ("macs", "params"):
        with pytest.raises(InputError, match="not counted in bytes"):
            limit_of("1.5 kB", axis, 2000)


def test_amounts_carry_their_unit():
    assert amount_text("macs", 2e6) == "2.00 M MACs"
    assert amount_text("param_bytes", 512) == "512 B"
    assert amount_text("params", 1500) == "1.50 k parameters"
    assert amount_text("latency_s", 0.0016) == "1.60 ms"


def test_where_there_is_nothing_to_save_that_is_said():
    with pytest.raises(InputError, match="takes no macs now"):
        limit_of("50%", "macs", 0)


def test_a_time_is_an_amount_where_times_are_budgeted_and_nowhere_else():
    for text in ("3 ms", "3ms", "3000 µs", "3000us", "0.003 s"):
        assert limit_of(text, "latency_s", 0.01) == pytest.approx(0.003)
    assert limit_of(0.3, "latency_s", 0.01) == pytest.approx(0.003)
    for axis in ("macs", "param_bytes"):
        with pytest.raises(InputError, match="is a time, and"):
            limit_of("3 ms", axis, 1e6)
    with pytest.raises(InputError, match=r"more than the model has\..* below 10\.0 ms"):
        limit_of("3 s", "latency_s", 0.01)


@pytest.mark.parametrize("text", ["ms", "1.2.3 ms", "-3 ms", "three", "5 parsecs"])
def test_text_that_is_no_amount_says_what_would_be_one(text):
    with pytest.raises(InputError, match=r"for latency_s is no number\. Give a share such as 0\.4 or '40%'"):
        limit_of(text, "latency_s", 0.01)
