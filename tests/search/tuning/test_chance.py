"""The chance of one training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from effwidgets.search.tuning.chance import Chance, Chances

DRAWS = {
    "dropout": lambda: nn.functional.dropout(torch.ones(200), 0.5),
    "dropout of channels": lambda: nn.functional.dropout2d(torch.ones(4, 20, 2, 2), 0.5),
    "fused dropout": lambda: torch.native_dropout(torch.ones(200), 0.5, train=True)[0],
    "attention": lambda: nn.functional.scaled_dot_product_attention(*[torch.ones(1, 2, 9, 4)] * 3, dropout_p=0.5),
    "rrelu": lambda: nn.functional.rrelu(-torch.ones(200), training=True),
    "rand": lambda: torch.rand(20),
    "order": lambda: torch.randperm(50),
    "choice": lambda: torch.multinomial(torch.ones(90), 20),
    "gumbel": lambda: nn.functional.gumbel_softmax(torch.zeros(40)),
    "a generator of its own": lambda: torch.rand(20, generator=torch.Generator().manual_seed(3)),
}


@pytest.mark.parametrize("kind", DRAWS)
def test_the_same_seed_draws_the_same_and_the_process_draws_nothing(kind):
    before, found = torch.get_rng_state(), []
    for seed in (1, 1, 2):
        with Chance(seed):
            found.append(DRAWS[kind]())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("p", [0.0, 0.25, 1.0])
def test_the_fused_dropout_keeps_the_share_that_it_should_and_the_mean(p):
    x = torch.ones(40_000, requires_grad=True)
    with Chance(0):
        out, kept = torch.native_dropout(x, p, train=True)
        out.sum().backward()
    # Four standard deviations of a share of 40,000: 0.009.
    assert float(kept.float().mean()) == pytest.approx(1 - p, abs=0.009)
    assert torch.equal(out != 0, kept)
    assert torch.equal(x.grad, out.detach())
    if p < 1:
        assert float(out.detach()[kept][0]) == pytest.approx(1 / (1 - p))
    with Chance(0):
        assert torch.equal(torch.native_dropout(x, p, train=False)[0], x)


def test_where_a_forward_draws_nothing_it_is_not_watched_any_more():
    chances = Chances(seed=0)
    layers = {"drawing": nn.Dropout(0.5), "plain": nn.ReLU()}
    watched = {}
    for kind, layer in layers.items():
        for _ in range(3):
            with chances.around(kind):
                layer(torch.ones(9))
                watched[kind] = torch.utils._python_dispatch._get_current_dispatch_mode() is not None
    assert watched == {"drawing": True, "plain": False}
    chances.forget()
    with chances.around("plain"):
        assert torch.utils._python_dispatch._get_current_dispatch_mode() is not None
