"""Least squares against closed forms."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from effwidgets.transforms.blocks.observed import Observed
from effwidgets.transforms.blocks.solving import Ends, least_squares, settle_norms, solve_last

DICE = torch.Generator().manual_seed(4)


@pytest.fixture(autouse=True)
def _same_networks() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        yield


def test_least_squares_finds_a_planted_map() -> None:
    x = torch.randn(200, 6, generator=DICE, dtype=torch.float64)
    weight, bias = torch.randn(3, 6, generator=DICE, dtype=torch.float64), torch.tensor([1.0, -2.0, 0.5]).double()
    found, offset = least_squares(x, x @ weight.T + bias)
    # The ridge is a millionth of the Gram matrix.
    torch.testing.assert_close(found, weight, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(offset, bias, rtol=1e-5, atol=1e-5)


def test_least_squares_stays_finite_where_features_are_the_same_or_constant() -> None:
    x = torch.randn(50, 2, generator=DICE)
    doubled = torch.cat([x, x, torch.ones(50, 1)], 1)
    weight, bias = least_squares(doubled, x.sum(1, keepdim=True))
    assert bool(torch.isfinite(weight).all())
    torch.testing.assert_close(doubled.double() @ weight.T + bias, x.sum(1, keepdim=True).double(), rtol=0, atol=1e-4)
    assert least_squares(doubled, x, biased=False)[1].abs().max() == 0


def test_a_last_convolution_with_a_stride_is_solved_to_the_one_that_made_the_outputs() -> None:
    block = nn.Sequential()
    block.add_module("first", nn.Conv2d(3, 5, 1))
    block.add_module("act", nn.ReLU())
    block.add_module("last", nn.Conv2d(5, 4, 3, 2, 1))
    x = torch.randn(20, 3, 9, 9, generator=DICE)
    with torch.no_grad():
        y = block(x)
        block.last.weight.zero_()
        block.last.bias.zero_()
    solve_last(block, Ends(last=("last",)), Observed(x, y))
    with torch.no_grad():
        # The ridge of a millionth leaves a relative error of that size where the features depend on each other.
        torch.testing.assert_close(block(x), y, rtol=0, atol=1e-3 * float(y.std()))


def test_behind_a_relu_zeros_of_the_output_may_be_anything_below() -> None:
    # A map whose outputs are cut at zero: plain least squares on these is far off, taking zeros as the target.
    block = nn.Sequential()
    block.add_module("last", nn.Conv2d(4, 3, 1))
    block.add_module("end", nn.ReLU())
    x = torch.randn(40, 4, 5, 5, generator=DICE)
    with torch.no_grad():
        y = block(x)
    plain, offset = least_squares(x.movedim(1, -1).flatten(0, 2), y.movedim(1, -1).flatten(0, 2))
    linear = torch.relu(x.double().movedim(1, -1) @ plain.T + offset).movedim(-1, 1)
    solve_last(block, Ends(last=("last",)), Observed(x, y))
    with torch.no_grad():
        aware = float((block(x) - y).norm())
    assert aware < 0.7 * float((linear - y).norm())


def test_settling_batch_norms_leaves_the_function_and_makes_their_statistics_those_of_the_data() -> None:
    block = nn.Sequential()
    block.add_module("conv", nn.Conv2d(3, 4, 1))
    block.add_module("norm", nn.BatchNorm2d(4))
    x = 3 + 2 * torch.randn(16, 3, 6, 6, generator=DICE)
    with torch.no_grad():
        block.eval()
        before, inside = block(x), block.conv(x)
    settle_norms(block, x)
    with torch.no_grad():
        # Two affine maps in float32: a few roundings.
        torch.testing.assert_close(block(x), before, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(block.norm.running_mean, inside.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
