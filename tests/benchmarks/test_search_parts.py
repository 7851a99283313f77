"""The parts of the search benchmark measure and do what they say."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from benchmarks._box import BANDS, HANDED_IN, pick, picked, share
from benchmarks._peers import at_score, fitted, full_rank, split
from effwidgets.search.fronts.pareto import Box, hypervolume

EIGHTHS = st.integers(0, 10).map(lambda whole: whole / 8)
POINTS = st.lists(st.tuples(EIGHTHS, EIGHTHS), max_size=10)


@given(POINTS, st.sampled_from([0.0, 0.25, 0.5]))
@settings(max_examples=100, deadline=None)
def test_the_share_is_the_hypervolume_of_the_package(points, floor):
    # Eighths are exact; only the last division rounds.
    assert share(points, floor) == pytest.approx(hypervolume(points, Box(cost=1, worst=floor, best=1)), abs=1e-12)


@given(st.lists(st.tuples(EIGHTHS, EIGHTHS, EIGHTHS), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_picked_are_those_that_nobody_beats(rows):
    costs, scores, losses = ([row[place] for row in rows] for place in range(3))

    def beats(one, other):
        better = (-scores[one], losses[one]), (-scores[other], losses[other])
        return (
            costs[one] <= costs[other]
            and better[0] <= better[1]
            and (costs[one], better[0]) != (costs[other], better[1])
        )

    kept = picked(costs, scores, losses)
    assert {rows[place] for place in kept} == {
        rows[place] for place in range(len(rows)) if not any(beats(other, place) for other in range(len(rows)))
    }
    assert len(kept) == len({rows[place] for place in kept})


def test_of_each_band_the_least_loss_is_handed_in():
    middles = [(low + high) / 2 for low, high in itertools.pairwise((0.0, *BANDS[:-2], 1.0))]
    costs = [cost for middle in middles for cost in (middle, middle * 1.001)]
    losses = [float(place % 2) for place in range(len(costs))]
    assert pick(costs, losses) == list(range(0, 2 * HANDED_IN, 2))


def test_empty_bands_are_filled_up_by_what_lies_farthest():
    assert pick([0.9, 0.91, 0.3, 0.31], [0.1, 0.2, 0.3, 0.4], count=3) == [2, 3, 0]
    assert pick([0.9, 1.2], [0.1, 0.0]) == [0]


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (nn.Conv2d(6, 8, 3, 2, padding=1), torch.randn(2, 6, 9, 9)),
        (nn.Conv2d(6, 8, 3, padding=1, bias=False), torch.randn(2, 6, 5, 5)),
        (nn.Linear(12, 7), torch.randn(3, 12)),
    ],
)
def test_a_layer_split_at_its_whole_rank_says_the_same(layer, x):
    flat = min(18, 24) if isinstance(layer, nn.Conv2d) else 7
    # Rounding of a product of two factors in single precision.
    assert torch.allclose(split(layer, flat)(x), layer(x), atol=1e-5)


def test_up_to_the_full_rank_a_split_layer_has_fewer_numbers_and_beyond_it_not():
    for layer in (nn.Conv2d(6, 8, 3, bias=False), nn.Linear(64, 32, bias=False)):
        sizes = [
            sum(weight.numel() for weight in split(layer, full_rank(layer) + more).parameters()) for more in (0, 1)
        ]
        assert sizes[0] < layer.weight.numel() <= sizes[1]


def test_a_fit_never_rises_and_keeps_the_mean():
    losses = [3.0, 1.0, 2.0, 2.5, 0.5]
    found = fitted(losses)
    assert found == sorted(found, reverse=True)
    assert sum(found) == pytest.approx(sum(losses))
    assert fitted([3.0, 2.0, 1.0]) == [3.0, 2.0, 1.0]


def test_each_layer_takes_the_smallest_ratio_that_reaches_the_common_score():
    table = {"a": [3.0, 1.0, 0.5], "b": [0.4, 0.3, 0.2], "c": [9.0, 8.0, 7.0]}
    assert at_score(table, [0.1, 0.5, 0.9], 1.0) == {"a": 0.5, "b": 0.1, "c": None}
