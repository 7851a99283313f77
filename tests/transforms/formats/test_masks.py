"""Which numbers go, against slow and obvious versions."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from effwidgets.transforms.calibration import calibration_of
from effwidgets.transforms.formats.masks import input_norms, scores, smallest, smallest_in_rows, two_of_four
from effwidgets.transforms.moments import input_moments

few = st.lists(st.integers(0, 4), min_size=1, max_size=24)


@given(few, st.integers(0, 24))
def test_the_smallest_go_and_of_equal_ones_the_first(numbers: list[int], count: int) -> None:
    order = sorted(range(len(numbers)), key=lambda i: (numbers[i], i))[:count]
    marked = smallest(torch.tensor(numbers, dtype=torch.float32), count)
    assert marked.nonzero().flatten().tolist() == sorted(order)


@given(st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=4), st.integers(0, 6))
def test_in_rows_each_row_loses_as_many(rows: list[list[int]], count: int) -> None:
    worth = torch.tensor(rows, dtype=torch.float32)
    marked = smallest_in_rows(worth, count)
    assert marked.tolist() == [smallest(row, count).tolist() for row in worth]


def test_of_each_four_inputs_the_two_larger_stay() -> None:
    torch.manual_seed(0)
    worth = torch.rand(3, 8, 2)  # a Conv1d: fours along the inputs, apart for each place of the kernel
    marked = two_of_four(worth)
    for out in range(3):
        for place in range(2):
            for four in range(2):
                run = worth[out, 4 * four : 4 * four + 4, place]
                gone = marked[out, 4 * four : 4 * four + 4, place]
                assert int(gone.sum()) == 2
                assert run[~gone].min() > run[gone].max()


def test_input_norms_are_the_diagonal_of_the_second_moments() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5))
    data = calibration_of([torch.randn(4, 4, 4, 4), torch.randn(4, 4, 4, 4)])
    assert data is not None
    for layer in ("0", "3"):
        gram = input_moments(model, [layer], data)[layer].gram
        expected = gram.diagonal(dim1=-2, dim2=-1).sqrt().reshape(-1, gram.shape[-1])
        torch.testing.assert_close(input_norms(model, layer, data), expected)


def test_wanda_weighs_each_number_by_the_input_that_it_meets() -> None:
    # By hand: two groups, each with two outputs and inputs of its own.
    weight = torch.tensor([[1.0, -2.0], [3.0, 4.0], [5.0, 6.0], [-7.0, 8.0]])
    norms = torch.tensor([[1.0, 10.0], [100.0, 0.5]])
    assert scores(weight, norms).tolist() == [[1.0, 20.0], [3.0, 40.0], [500.0, 3.0], [700.0, 4.0]]
