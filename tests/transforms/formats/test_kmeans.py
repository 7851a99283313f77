"""Clusters on a line: planted ones are found, and no number is far from the nearest."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from effwidgets.transforms.formats.kmeans import cluster, nearest


def _error(numbers: torch.Tensor, values: torch.Tensor) -> float:
    return float((numbers.double()[:, None] - values[None]).square().amin(1).sum())


def _least(numbers: list[float], count: int) -> float:
    # All ways to cut the sorted numbers into runs.
    line = torch.tensor(sorted(numbers), dtype=torch.float64)
    found = []
    for cuts in itertools.combinations(range(1, len(numbers)), count - 1):
        runs = torch.tensor_split(line, list(cuts))
        found.append(sum(float((run - run.mean()).square().sum()) for run in runs))
    return min(found)


def test_planted_clusters_are_found() -> None:
    own = torch.Generator().manual_seed(0)
    centres = torch.tensor([-3.0, -1.0, 0.5, 4.0], dtype=torch.float64)
    numbers = (centres.repeat(500) + 0.05 * torch.randn(2000, generator=own, dtype=torch.float64)).float()
    # Means of 500 numbers of spread 0.05: off by 0.002 as a rule, four times that here.
    torch.testing.assert_close(cluster(numbers, 4), centres, atol=0.01, rtol=0)


def test_few_distinct_numbers_are_kept_as_they_are() -> None:
    numbers = torch.tensor([0.3, -1.5, 0.3, 0.3, 7.0])
    assert cluster(numbers, 8).float().tolist() == pytest.approx([-1.5, 0.3, 7.0])


@given(st.lists(st.integers(-50, 50), min_size=6, max_size=12), st.integers(2, 4))
def test_each_value_is_the_mean_of_those_nearest_to_it(numbers: list[int], count: int) -> None:
    # What Lloyd's algorithm ends in; the best of all clusterings is one of these, and none is better than it.
    line = torch.tensor(numbers, dtype=torch.float64)
    values = cluster(line, count)
    index = nearest(line, values)
    for i, value in enumerate(values.tolist()):
        mine = line[index == i]
        assert not mine.numel() or float(mine.mean()) == pytest.approx(value, abs=1e-9)
    if len(set(numbers)) > count:
        assert _error(line, values) >= _least([float(n) for n in numbers], count) - 1e-9


def test_a_bell_is_quantised_about_as_well_as_can_be() -> None:
    # Max 1960, table I: the least error of a unit normal with 8 values is 0.03454, with 16 values 0.009497. Numbers of
    # a sample are fitted a little better than the bell; Lloyd's end may be a little worse.
    numbers = torch.randn(20_000, generator=torch.Generator().manual_seed(1))
    for count, least in ((8, 0.03454), (16, 0.009497)):
        assert _error(numbers, cluster(numbers, count)) / 20_000 == pytest.approx(least, rel=0.05)


@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=20))
def test_the_nearest_value_is_the_nearest(numbers: list[float]) -> None:
    line, values = torch.tensor(numbers), torch.tensor([-3.0, -1.0, 0.25, 4.0])
    chosen = values[nearest(line, values).long()]
    torch.testing.assert_close((line - chosen).abs(), (line[:, None] - values).abs().amin(1))
