"""Factors fitted to real inputs."""

from __future__ import annotations

import torch

from effwidgets.transforms.factorize.refit import alternated, composed, refit_behind_relu, refit_last


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scene() -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Patches of 6 channels and 4 places, a weight for 8 outputs, factors of 3 and 4 to start from."""
    rows = random(300, 24) * torch.logspace(-1, 1, 24, dtype=torch.float64)
    return rows, random(8, 24, seed=1), (random(3, 6, seed=2), random(4, 3, 4, seed=3), random(8, 4, seed=4))


def off(rows: torch.Tensor, weight: torch.Tensor, factors: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> float:
    first, core, last = factors
    return float((rows @ (weight - last @ composed(first, core)).T).norm())


def test_the_last_factor_is_the_answer_of_least_squares():
    rows, weight, factors = scene()
    fitted = refit_last(weight, factors, rows.T @ rows)
    oracle = torch.linalg.lstsq(rows @ composed(*factors[:2]).T, rows @ weight.T).solution.T
    assert torch.allclose(fitted[2], oracle, rtol=1e-5, atol=1e-8)


def test_all_factors_in_turns_come_nearer_than_the_last_alone():
    rows, weight, factors = scene()
    gram = rows.T @ rows
    start, last = off(rows, weight, factors), off(rows, weight, refit_last(weight, factors, gram))
    every = off(rows, weight, alternated(weight, factors, gram))
    assert every < 0.9 * last < 0.9 * start


def test_a_weight_that_has_these_ranks_is_found():
    rows, _, (first, core, last) = scene()
    weight = last @ composed(first, core)
    near = (first + 0.05 * random(3, 6, seed=5), core + 0.05 * random(4, 3, 4, seed=6), last)
    before = off(rows, weight, near)
    assert off(rows, weight, alternated(weight, near, rows.T @ rows)) < 0.05 * before


def test_behind_a_relu_what_comes_through_is_nearer_than_by_least_squares():
    rows, weight, factors = scene()
    inner, wanted = rows @ composed(*factors[:2]).T, rows @ weight.T - 0.5
    with_ones = torch.cat([inner, torch.ones(300, 1, dtype=torch.float64)], 1)
    line = torch.linalg.lstsq(with_ones, wanted).solution.T
    new, bias = refit_behind_relu(inner, wanted, (line[:, :-1], line[:, -1]), None)
    assert bias is not None
    linear = (wanted.relu() - (with_ones @ line.T).relu()).norm()
    aware = (wanted.relu() - (inner @ new.T + bias).relu()).norm()
    assert aware < 0.99 * linear


def test_a_batch_norm_in_between_that_silences_a_channel_leaves_it_alone():
    rows, weight, factors = scene()
    inner, wanted = rows @ composed(*factors[:2]).T, rows @ weight.T
    scale = torch.ones(8, dtype=torch.float64)
    scale[3] = 0
    start = random(8, 4, seed=7)
    new, bias = refit_behind_relu(inner, wanted, (start, None), (scale, torch.zeros_like(scale)))
    assert bias is None
    assert torch.equal(new[3], start[3])
    assert bool(new.isfinite().all())
