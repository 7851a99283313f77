"""Random numbers of their own for forwards on worker threads."""

import pytest
import torch

from effwidgets.profiling.dice import Dice

DRAWS = {
    "randn": lambda: torch.randn(4),
    "rand": lambda: torch.rand(4),
    "rand_like": lambda: torch.rand_like(torch.zeros(4)),
    "randn_like": lambda: torch.randn_like(torch.zeros(4)),
    "randint": lambda: torch.randint(0, 1000, (4,)),
    "randperm": lambda: torch.randperm(50),
    "normal_": lambda: torch.empty(4).normal_(),
    "normal": lambda: torch.normal(torch.zeros(4), 1.0),
    "bernoulli": lambda: torch.bernoulli(torch.full((64,), 0.5)),
    "multinomial": lambda: torch.multinomial(torch.ones(100), 8),
}


@pytest.mark.parametrize("draw", DRAWS)
def test_a_draw_is_the_same_each_time_and_takes_nothing_from_torchs_own_generator(draw):
    before = torch.get_rng_state()
    with Dice():
        first, next_one = DRAWS[draw](), DRAWS[draw]()
    with Dice():
        again = DRAWS[draw]()
    assert torch.equal(first, again)
    assert not torch.equal(first, next_one)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_generator_that_the_forward_brings_itself_is_used():
    mine = torch.Generator().manual_seed(3)
    expected = torch.randn(4, generator=torch.Generator().manual_seed(3))
    with Dice():
        assert torch.equal(torch.randn(4, generator=mine), expected)
