"""One choice a layer under a common budget, against trying everything."""

from __future__ import annotations

import itertools

import pytest
import torch

from effwidgets.transforms.factorize.allocation import Choice, allocated


def convex(seed: int) -> Choice:
    own = torch.Generator().manual_seed(seed)
    steps = torch.rand(5, generator=own, dtype=torch.float64).sort(descending=True).values
    losses = torch.cat([steps.flip(0).cumsum(0).flip(0), torch.zeros(1, dtype=torch.float64)])
    return Choice(ranks=tuple((n,) for n in range(6)), costs=torch.arange(1.0, 7.0).double(), losses=losses)


@pytest.mark.parametrize("budget", [4.0, 9.0, 13.0, 24.0])
@pytest.mark.parametrize("seed", range(3))
def test_equal_costs_and_convex_losses_are_shared_out_best(budget, seed):
    choices = [convex(10 * seed + number) for number in range(4)]
    picked = allocated(choices, budget)
    assert picked is not None
    tried = itertools.product(range(6), repeat=4)
    least = min(
        sum(float(c.losses[n]) for c, n in zip(choices, numbers, strict=True))
        for numbers in tried
        if sum(n + 1 for n in numbers) <= budget
    )
    assert sum(float(c.losses[n]) for c, n in zip(choices, picked, strict=True)) == pytest.approx(least)


def test_a_budget_below_the_cheapest_has_no_answer():
    assert allocated([convex(0), convex(1)], 1.5) is None
