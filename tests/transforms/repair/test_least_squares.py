"""Ridge least squares from sums, against torch.linalg.lstsq on the rows."""

from __future__ import annotations

import pytest
import torch

from effwidgets.transforms.repair.bias import bias_change
from effwidgets.transforms.repair.least_squares import Equations, Sums, best_change


def rows(count: int, groups: int = 1, width: int = 5, out: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    dice = torch.Generator().manual_seed(seed)
    given = torch.randn(count, groups, width, generator=dice, dtype=torch.float64) + 1
    return given, torch.randn(count, groups, out, generator=dice, dtype=torch.float64)


def sums(given: torch.Tensor, missing: torch.Tensor) -> Sums:
    found = Sums(given.shape[1], given.shape[2], missing.shape[2], given)
    for some, lack in zip(given.split(7), missing.split(7), strict=True):
        found.add(some, lack, float(lack.square().sum()))
    return found


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 2])
def test_without_a_ridge_it_is_least_squares(groups, bias):
    given, missing = rows(60, groups)
    change = Equations(sums(given, missing), bias=bias).solve(0.0)
    for group in range(groups):
        matrix = given[:, group]
        if bias:
            matrix = torch.cat([matrix, torch.ones(60, 1, dtype=torch.float64)], 1)
        best = torch.linalg.lstsq(matrix, missing[:, group]).solution
        torch.testing.assert_close(change.weight[group].T, best[:5])
        torch.testing.assert_close(change.bias[group], best[5] if bias else torch.zeros(3, dtype=torch.float64))


def test_a_ridge_holds_the_change_as_its_formula_says():
    given, missing = rows(60)
    change = Equations(sums(given, missing), bias=False).solve(0.5)
    matrix = given[:, 0]
    hold = 0.5 * matrix.square().sum(0).mean() * torch.eye(5, dtype=torch.float64)
    best = torch.linalg.solve(matrix.T @ matrix + hold, matrix.T @ missing[:, 0])
    torch.testing.assert_close(change.weight[0].T, best)


def test_what_is_left_is_counted_from_the_sums_alone():
    given, missing = rows(60)
    found = sums(given, missing)
    change = Equations(found, bias=True).solve(0.1)
    scale = torch.tensor([[1.0, 2.0, 0.0]], dtype=torch.float64)
    left = (missing[:, 0] - given[:, 0] @ change.weight[0].T - change.bias[0]) * scale
    assert found.left(change, scale) == pytest.approx(float(left.square().sum()))
    assert found.left(None, scale) == pytest.approx(float((missing[:, 0] * scale).square().sum()))


def test_inputs_that_repeat_each_other_are_no_calamity():
    given, missing = rows(60)
    twice = torch.cat([given, given], -1)
    change = Equations(sums(twice, missing), bias=True).solve(0.0)
    once = Equations(sums(given, missing), bias=True).solve(0.0)
    made = torch.einsum("rgw,gow->rgo", twice, change.weight) + change.bias
    best = torch.einsum("rgw,gow->rgo", given, once.weight) + once.bias
    assert float((made - best).norm() / best.norm()) < 1e-5  # half the digits, as ever with normal equations
    dead = Equations(sums(torch.zeros_like(given), missing), bias=True).solve(1e-3)
    torch.testing.assert_close(dead.weight, torch.zeros_like(dead.weight))
    torch.testing.assert_close(dead.bias[0], missing[:, 0].mean(0))


def test_what_lacks_nothing_gets_no_change():
    given, missing = rows(60)
    found = sums(given, torch.zeros_like(missing))
    change = Equations(found, bias=True).solve(1e-3)
    assert not change.weight.any()
    assert not change.bias.any()
    assert best_change(found, found, torch.ones(1, 3), bias=True) is None


def test_a_fit_that_does_not_carry_over_is_not_taken():
    scale = torch.ones(1, 3, dtype=torch.float64)
    seen, unseen = (sums(*rows(12, width=10, seed=seed)) for seed in (0, 1))
    assert best_change(seen, unseen, scale, bias=False) is None  # noise in, noise out
    given, missing = rows(400, width=10)
    made = torch.einsum("rgw,ow->rgo", given, torch.eye(3, 10, dtype=torch.float64))
    change = best_change(sums(given[:300], made[:300]), sums(given[300:], made[300:]), scale, bias=False)
    assert change is not None
    torch.testing.assert_close(change.weight[0], torch.eye(3, 10, dtype=torch.float64), atol=1e-4, rtol=0)
    assert missing.shape == made.shape


def test_the_bias_takes_up_the_mean_of_what_is_missing_and_nothing_where_that_does_not_carry_over():
    given, missing = rows(60)
    scale = torch.ones(1, 3, dtype=torch.float64)
    lacking = missing * 0.1 + torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    change = bias_change(sums(given[:40], lacking[:40]), sums(given[40:], lacking[40:]), scale)
    assert change is not None
    torch.testing.assert_close(change.bias[0], lacking[:, 0].mean(0))
    assert not change.weight.any()
    assert bias_change(sums(given[:40], lacking[:40]), sums(given[40:], -lacking[40:]), scale) is None
