"""Low rank with respect to real inputs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from effwidgets.transforms.calibration import calibration_of
from effwidgets.transforms.factorize import whitening
from effwidgets.transforms.factorize.whitening import balanced, centred, moments_of, prepared, usable, whitened_factors
from effwidgets.transforms.moments import Moments


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("size", [(48, 64), (64, 48)], ids=str)
def test_the_output_error_is_the_tail_of_the_whitened_spectrum_and_less_than_plain(size):
    weight = random(*size)
    inputs = random(500, size[1], seed=1) * torch.logspace(-1, 1, size[1], dtype=torch.float64)
    gram = inputs.T @ inputs
    first, second = whitened_factors(weight, gram, 16)
    error = (inputs @ (weight - second @ first).T).norm()
    values = torch.linalg.svdvals(inputs @ weight.T)
    # No matrix of this rank is nearer: Eckart and Young for the outputs.
    assert float(error) == pytest.approx(float(values[16:].norm()), rel=1e-6)
    left, own, right = torch.linalg.svd(weight)
    plain = (left[:, :16] * own[:16]) @ right[:16]
    assert error < 0.8 * (inputs @ (weight - plain).T).norm()


def test_full_rank_gives_the_weight_back_also_for_inputs_of_few_directions():
    weight = random(12, 20)
    inputs = random(50, 3) @ random(3, 20, seed=1)
    first, second = whitened_factors(weight, inputs.T @ inputs, 12)
    assert torch.allclose(second @ first, weight, atol=1e-9)


def test_balancing_changes_the_factors_and_not_their_product():
    first, second = random(5, 20) * 1e3, random(12, 5, seed=1) * 1e-3
    one, two = balanced(first, second)
    assert torch.allclose(two @ one, second @ first, rtol=1e-9, atol=1e-9)
    assert torch.allclose(one.norm(dim=1), two.norm(dim=0), rtol=1e-9)


def test_a_bias_takes_the_mean_out_of_the_moments():
    rows = random(100, 4) + 3
    moments = Moments(gram=rows.T @ rows, mean=rows.mean(0), rows=100)
    gram, mean = centred(moments, by_mean=True)
    spread = torch.cov(rows.T, correction=0)
    squares, trace = float((spread @ spread).trace()), float(spread.trace())
    # Chen et al. 2010, equation 23, as printed.
    asked = min(1, ((1 - 2 / 4) * squares + trace**2) / ((100 + 1 - 2 / 4) * (squares - trace**2 / 4)))
    share = asked * 4 / 104
    assert mean is not None
    assert torch.allclose(
        gram[0], (1 - share) * spread + share * spread.diagonal().mean() * torch.eye(4, dtype=spread.dtype), rtol=1e-9
    )
    assert centred(moments, by_mean=False)[1] is None
    assert not usable(Moments(gram=torch.zeros(4, 4), mean=torch.zeros(4), rows=10))


def test_two_samples_do_not_make_the_factors_worse_than_those_of_the_weight():
    weight, real = random(24, 32), random(400, 32, seed=1)
    few = real[:2]
    gram, mean = centred(Moments(gram=few.T @ few, mean=few.mean(0), rows=2), by_mean=False)
    assert mean is None

    def error(factors):
        first, second = factors
        return float((real @ (weight - second @ first).T).norm())

    # Fitted to the two alone it is up to half as much again; a tenth is what any two samples may mislead.
    plain = whitened_factors(weight, torch.eye(32, dtype=torch.float64), 6)
    assert error(whitened_factors(weight, gram[0], 6)) <= 1.1 * error(plain)


def test_inputs_that_are_always_the_same_leave_the_factors_to_the_weight():
    rows = torch.full((64, 32), 3.0, dtype=torch.float64)
    gram, mean = centred(Moments(gram=rows.T @ rows, mean=rows.mean(0), rows=64), by_mean=True)
    assert mean is not None
    level = gram[0].diagonal().mean()
    assert torch.allclose(gram[0], level * torch.eye(32, dtype=torch.float64), atol=1e-6 * float(level))


def test_the_moments_of_a_whole_plan_take_one_forward(monkeypatch):
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    data = calibration_of(random(10, 4).float())
    asked = []
    plain = whitening.input_moments
    monkeypatch.setattr(
        whitening, "input_moments", lambda at, names, given: asked.append(list(names)) or plain(at, names, given)
    )
    with prepared(model, ["0", "1", "2", "nowhere"], data):
        found = {name: moments_of(model, name, data) for name in ("0", "2")}
    assert asked == [["0", "2"]]
    for name, moments in found.items():
        assert torch.equal(moments.gram, plain(model, [name], data)[name].gram)
    moments_of(model, "0", data)
    assert len(asked) == 2  # outside, each for itself


def test_a_layer_that_became_narrower_meanwhile_is_looked_at_again():
    model, data = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3)), calibration_of(random(10, 4).float())
    cut = nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 3))
    with prepared(model, ["1"], data):
        assert moments_of(cut, "1", data).gram.shape == (2, 2)
