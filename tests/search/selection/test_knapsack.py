"""The knapsack against every combination there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effwidgets.errors import InputError
from effwidgets.search.selection.knapsack import Menu, frontier

# Eighths add up exactly in floating point, so sums can be compared with ==.
eighths = st.integers(0, 24).map(lambda number: number / 8)


@st.composite
def instances(draw, costs):
    menus = []
    for _ in range(draw(st.integers(1, 4))):
        choices = draw(st.integers(1, 4))
        losses = draw(st.lists(eighths, min_size=choices, max_size=choices))
        rows = draw(st.lists(st.lists(eighths, min_size=costs, max_size=costs), min_size=choices, max_size=choices))
        menus.append(Menu(np.array(losses), np.array(rows)))
    return menus


def every(menus):
    for picked in itertools.product(*(range(len(menu.losses)) for menu in menus)):
        pairs = list(zip(menus, picked, strict=True))
        loss = sum(menu.losses[place] for menu, place in pairs)
        yield loss, tuple(sum(menu.costs[place] for menu, place in pairs)), picked


def best(menus, limits):
    fitting = [loss for loss, costs, _ in every(menus) if all(np.asarray(costs) <= np.asarray(limits))]
    return min(fitting, default=None)


@pytest.mark.parametrize("costs", [1, 2, 3])
def test_the_loss_is_the_least_of_all_combinations(costs):
    @settings(max_examples=60, deadline=None)
    @given(instances(costs), st.lists(st.integers(0, 96).map(lambda n: n / 8), min_size=costs, max_size=costs))
    def check(menus, limits):
        found = frontier(menus)
        place = found.within(limits)
        wanted = best(menus, limits)
        assert (None if place is None else found.losses[place]) == wanted

    check()


@settings(max_examples=60, deadline=None)
@given(instances(2))
def test_what_is_kept_is_what_no_other_combination_beats_and_says_how_it_is_made(menus):
    found = frontier(menus)
    rows = list(every(menus))

    def beaten(loss, costs):
        return any(
            other <= loss and all(np.asarray(paid) <= np.asarray(costs)) and (other, paid) != (loss, costs)
            for other, paid, _ in rows
        )

    unbeaten = {(loss, costs) for loss, costs, _ in rows if not beaten(loss, costs)}
    kept = {(loss, tuple(costs)) for loss, costs in zip(found.losses.tolist(), found.costs.tolist(), strict=True)}
    assert kept == unbeaten
    made = {picked: (loss, costs) for loss, costs, picked in rows}
    for loss, costs, picked in zip(found.losses, found.costs, found.choices, strict=True):
        assert made[tuple(picked.tolist())] == (loss, tuple(costs.tolist()))


@pytest.mark.parametrize("most", [4, 2048])  # 4: thinned all the time, when nothing is exact any more
def test_a_smaller_budget_never_gives_a_smaller_loss_nor_a_larger_cost(most):
    @settings(max_examples=60, deadline=None)
    @given(instances(2), st.tuples(eighths, eighths), eighths)
    def check(menus, limits, less):
        found = frontier(menus, most=most)
        wide, narrow = found.within(limits), found.within((limits[0] - less, limits[1]))
        if narrow is not None:
            assert wide is not None
            assert found.losses[narrow] >= found.losses[wide]
            assert found.costs[narrow, 0] <= found.costs[wide, 0]

    check()


def test_many_places_are_thinned_and_stay_close_to_the_best():
    drawn = np.random.default_rng(0)
    menus = []
    for _ in range(40):
        cost = np.sort(drawn.random(8))[::-1]
        menus.append(Menu(np.r_[0.0, np.cumsum(drawn.random(7))], cost[:, None]))
    rough, fine = frontier(menus, most=128), frontier(menus, most=8192)
    assert len(rough.losses) <= 129  # the cheapest is kept beside the cells
    whole = sum(menu.costs[0, 0] for menu in menus)
    for share in (0.7, 0.5, 0.35):
        one, two = (found.losses[found.within([share * whole])] for found in (rough, fine))
        # A cell is 1/128 of the range of costs; the curve of least losses falls by a few percent over so much.
        assert two <= one <= 1.1 * two


def test_what_is_nothing_to_choose_among_is_said():
    with pytest.raises(InputError, match="nothing to choose"):
        frontier([])
    with pytest.raises(InputError, match="Menu 1"):
        frontier([Menu(np.zeros(1), np.zeros((1, 1))), Menu(np.array([np.nan]), np.zeros((1, 1)))])
