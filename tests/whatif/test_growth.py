"""How a cost grows, read from points."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effwidgets.whatif.growth import growth_of

KINDS = ["constant", "linear", "quadratic", "cubic", "quartic"]
sizes = st.lists(st.integers(1, 5000), min_size=6, max_size=9, unique=True).map(sorted)
coefficients = st.lists(st.integers(-(10**9), 10**12), min_size=1, max_size=5).filter(lambda found: found[-1] != 0)


@given(sizes, coefficients)
def test_every_polynomial_up_to_the_fourth_degree_is_found_to_the_integer(places, wanted):
    """Also with unequal steps and negative coefficients."""
    found = growth_of("macs", [(n, sum(c * n**k for k, c in enumerate(wanted))) for n in places])
    assert found.kind == KINDS[len(wanted) - 1]
    assert [Fraction(*one) for one in found.coefficients] == wanted
    assert found.exact
    assert found.at(7919) == sum(c * 7919**k for k, c in enumerate(wanted))


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_a_polynomial_is_claimed_only_with_a_point_more_than_could_be_bent_to_it(degree):
    points = [(n, 5 * n**degree + 1) for n in (1, 2, 3, 5, 8, 13)]
    assert growth_of("macs", points[: degree + 2]).kind == KINDS[degree]
    assert growth_of("macs", points[: degree + 1]).kind == "power"


def test_one_point_off_by_one_is_no_polynomial():
    points = [(n, 64 * n) for n in (1, 2, 4, 8, 16)]
    points[2] = (4, 64 * 4 + 1)
    found = growth_of("macs", points)
    assert found.kind == "power"
    assert not found.exact
    assert found.exponent == pytest.approx(1, abs=0.01)
    assert 0 < found.deviation < 0.01


def test_the_factor_of_half_of_a_triangle_is_a_fraction():
    found = growth_of("macs", [(n, n * (n + 1) // 2) for n in (3, 5, 8, 10)])
    assert found.formula() == "1/2·n² + 1/2·n"
    assert found.at(100) == 5050
    assert found.formula("b", times=2) == "b² + b"


def test_a_peak_that_another_layer_takes_over_is_exact_from_there_on():
    found = growth_of("inference_peak_bytes", [(n, max(1000, 300 * n + 100)) for n in (1, 2, 4, 8, 16)])
    assert (found.kind, found.since, found.points) == ("linear", 4, 3)
    assert found.formula() == "300·n + 100"
    assert found.at(2) is None
    assert found.at(32) == 9700


def test_a_power_is_the_line_through_the_logarithms_with_its_largest_distance():
    # Values on 3 n^1.5 but for one that lies 10% above; the fit of four points lies between them.
    found = growth_of("macs", [(4, 24), (16, 192), (64, 1536), (256, 13517)])
    assert found.kind == "power"
    assert found.exponent == pytest.approx(1.5, abs=0.03)
    assert 0.01 < found.deviation < 0.1
    assert found.at(16) == pytest.approx(192, rel=0.1)
    assert found.formula().endswith(f"× n^{found.exponent:.2f}")


def test_two_points_give_a_slope_and_one_or_a_zero_give_nothing():
    assert growth_of("macs", [(2, 8), (4, 64)]).exponent == pytest.approx(3)
    assert growth_of("macs", [(2, 8), (4, 8)]).kind == "constant"
    assert growth_of("macs", [(2, 8)]).kind == "unknown"
    assert growth_of("macs", [(1, 0), (2, 5), (3, 99)]).kind == "unknown"
    assert growth_of("macs", []).formula() == ""
    assert growth_of("macs", [(1, 0), (2, 0), (3, 0)]).formula() == "0"


def test_a_falling_line_is_written_with_a_true_minus():
    assert growth_of("macs", [(n, 1_000_000 - 1024 * n) for n in (1, 2, 3)]).formula() == "−1,024·n + 1,000,000"
