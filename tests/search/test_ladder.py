"""Plans to try: different, over the whole range, and in an order that shows it early."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from effwidgets.errors import Cancelled
from effwidgets.search import ladder
from effwidgets.search.ladder import spread
from effwidgets.transforms.apply import apply, hypothetical
from tests.search.conftest import fingerprint, same


@pytest.fixture
def images():
    return torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(5))


def macs(model, plans, inputs):
    return [hypothetical(model, plan, inputs).cost.macs for plan in plans]


def test_plans_are_different_and_reach_from_near_dense_to_very_small(convolutional, images):
    plans = ladder(convolutional, images)
    dense = hypothetical(convolutional, plans[0].__class__(), images).cost.macs
    sizes = macs(convolutional, plans, images)
    assert 12 <= len(plans) <= 24
    assert len(set(plans)) == len(plans)
    assert max(sizes) > 0.7 * dense
    assert min(sizes) < 0.2 * dense
    assert {step.transform for plan in plans for step in plan} >= {"spatial_svd", "bottleneck"}


def test_the_first_plans_spread_over_the_range(convolutional, images):
    sizes = macs(convolutional, ladder(convolutional, images), images)
    ranks = [sorted(sizes).index(size) / (len(sizes) - 1) for size in sizes[:7]]
    # Seven points of a bisection: one in each quarter at least.
    assert {int(min(rank, 0.999) * 4) for rank in ranks} == {0, 1, 2, 3}


def test_every_plan_can_be_applied_in_full(convolutional, images):
    for plan in ladder(convolutional, images):
        done = apply(convolutional, plan, images)
        assert not done.skipped, done.skipped


def test_a_limit_is_kept_and_still_spreads(convolutional, images):
    plans = ladder(convolutional, images, most=5)
    assert len(plans) == 5
    sizes = macs(convolutional, plans, images)
    assert min(sizes) < 0.5 * max(sizes)


def test_the_model_stays_as_it_was_and_the_ladder_is_the_same_twice(convolutional, images):
    before, state = fingerprint(convolutional), torch.get_rng_state()
    assert ladder(convolutional, images) == ladder(convolutional, images)
    assert same(before, fingerprint(convolutional))
    assert torch.equal(state, torch.get_rng_state())


def test_a_model_with_nothing_to_save_has_no_plans():
    assert ladder(nn.Sequential(nn.Linear(3, 2)), torch.zeros(1, 3)) == ()


def test_cancelling_ends_it(convolutional, images):
    def check():
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        ladder(convolutional, images, check=check)


@given(st.lists(st.integers(), max_size=60))
def test_spreading_keeps_every_item_once(items):
    assert sorted(spread(items)) == sorted(items)


@given(st.integers(1, 200), st.integers(1, 200))
def test_every_beginning_of_a_spread_leaves_no_wide_gap(length, first):
    taken = sorted(spread(range(length))[:first])
    edges = [-1, *taken, length]
    # After a whole level of k = 2^n - 1 points, no gap is wider than a level above would leave.
    level = 2 ** (min(first, length) + 1).bit_length() // 4
    assert max(right - left for left, right in zip(edges, edges[1:], strict=False)) <= length / max(level, 1) + 2
