"""Plans to try: different, over the whole range, and in an order that shows it early."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from effwidgets.errors import Cancelled
from effwidgets.records import Plan
from effwidgets.search import ladder
from effwidgets.search.selection.ladder import spread
from effwidgets.transforms.apply import apply, hypothetical
from tests.search.conftest import fingerprint, same


@pytest.fixture(scope="module")
def sizes(_network, plans, images):
    return [hypothetical(_network, plan, images).cost.macs for plan in plans]


def test_plans_are_different_and_reach_from_near_dense_to_very_small(convolutional, images, plans, sizes):
    dense = hypothetical(convolutional, Plan(), images).cost.macs
    assert 12 <= len(plans) <= 24
    assert len(set(plans)) == len(plans)
    assert max(sizes) > 0.7 * dense
    assert min(sizes) < 0.2 * dense
    assert {step.transform for plan in plans for step in plan} >= {"spatial_svd", "bottleneck", "channel_prune"}


def test_the_first_plans_spread_over_the_range(sizes):
    ranks = [sorted(sizes).index(size) / (len(sizes) - 1) for size in sizes[:7]]
    # Seven points of a bisection: one in each quarter at least.
    assert {int(min(rank, 0.999) * 4) for rank in ranks} == {0, 1, 2, 3}


def test_every_plan_can_be_applied_in_full(convolutional, images, plans):
    for plan in plans:
        done = apply(convolutional, plan, images)
        assert not done.skipped, done.skipped


def test_the_model_stays_as_it_was_and_fewer_plans_are_some_of_the_same(convolutional, images, plans):
    before, state = fingerprint(convolutional), torch.get_rng_state()
    few = ladder(convolutional, images, most=5)
    assert len(few) == 5
    assert set(few) < set(plans)
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


@given(st.integers(1, 500), st.integers(1, 9))
def test_every_beginning_of_a_spread_leaves_no_wide_gap(length, levels):
    first = 2**levels - 1
    edges = [-1, *sorted(spread(range(length))[:first]), length]
    # Each level of bisection halves what lies between two points taken before.
    assert max(right - left for left, right in itertools.pairwise(edges)) <= length // 2**levels + 1
