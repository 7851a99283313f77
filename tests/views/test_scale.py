from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from effwidgets.views.scale import scale_over, staircase

# Differences below a millionth of the values drown in rounding; nobody reads them off a picture either.
finite = st.floats(-1e12, 1e12, allow_nan=False).map(lambda value: round(value, 6))


@given(st.lists(finite, min_size=1, max_size=20), st.booleans())
def test_every_value_falls_inside_the_picture(values, from_zero):
    scale = scale_over(values, 40.0, 400.0, from_zero=from_zero)
    assert all(39.9 <= scale(value) <= 400.1 for value in values)


@given(st.lists(finite, min_size=1, max_size=20), st.integers(2, 10))
def test_ticks_are_few_even_and_inside(values, about):
    scale = scale_over(values, 0.0, 100.0)
    ticks = scale.ticks(about)
    assert 1 <= len(ticks) <= about + 1
    assert all(-0.1 <= scale(tick) <= 100.1 for tick in ticks)


def test_a_staircase_of_nothing_is_nothing():
    assert staircase([], 5) == []
