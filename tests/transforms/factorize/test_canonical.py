"""The algebra of CP and of depthwise and pointwise factors."""

from __future__ import annotations

import pytest
import torch

from effwidgets.transforms.factorize import canonical
from effwidgets.transforms.factorize.canonical import cp_factors, cp_product, depthwise_factors, depthwise_product


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def relative(came: torch.Tensor, expected: torch.Tensor) -> float:
    return float((came - expected).norm() / expected.norm())


def test_a_sum_of_few_lines_is_found_again():
    parts = [random(size, 3, seed=number).double() for number, size in enumerate((10, 8, 3, 3))]
    whole = torch.einsum("or,ir,hr,wr->oihw", *parts)
    # Alternating least squares creeps at the end; a thousandth of the weight is far below any one of the lines.
    assert relative(cp_product(*cp_factors(whole, 3)), whole) < 1e-3


def test_full_rank_of_both_is_exact_and_lower_ones_lose_less_and_less():
    weight = random(6, 5, 3, 3)
    errors = [relative(cp_product(*cp_factors(weight, rank)), weight) for rank in (2, 10, 20, 45)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-5  # 3 * 3 * 5
    each = [relative(depthwise_product(*depthwise_factors(weight, many), into=5), weight) for many in (1, 3, 6)]
    assert each == sorted(each, reverse=True)
    assert each[-1] < 1e-5  # min(3 * 3, 6)


def test_depthwise_factors_lose_the_tails_of_each_input():
    weight = random(6, 5, 3, 3).double()
    values = torch.linalg.svdvals(weight.flatten(2).transpose(0, 1))
    error = (depthwise_product(*depthwise_factors(weight, 2), into=5) - weight).norm()
    assert float(error) == pytest.approx(float(values[:, 2:].norm()), rel=1e-9)  # Eckart and Young, input by input


def test_no_one_elses_random_numbers_are_drawn():
    state = torch.get_rng_state()
    first = cp_factors(random(6, 5, 3, 3), 4)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one, two) for one, two in zip(first, cp_factors(random(6, 5, 3, 3), 4), strict=True))


def test_a_weight_of_zeros_gives_finite_factors():
    zeros = torch.zeros(6, 5, 3, 3)
    assert all(bool(part.isfinite().all()) for part in (*cp_factors(zeros, 4), *depthwise_factors(zeros, 2)))


@pytest.mark.parametrize("sweeps", [1, 4])
def test_sweeps_that_made_it_worse_are_left_out_and_the_error_is_that_of_what_is_returned(monkeypatch, sweeps):
    # A ridge this strong pulls every answer towards zero: from a good start a sweep can only lose.
    monkeypatch.setattr(canonical, "_RIDGE", 0.3)
    for seed in range(6):
        whole = random(6, 5, 3, 3, seed=seed).double()
        norm = float(whole.square().sum())
        for rank in (3, 9):
            start = canonical._placed(whole, rank)
            error, lines = canonical._alternated(whole, start, sweeps)
            assert error == canonical._error(whole, lines, norm)
            assert error <= canonical._error(whole, start, norm)
