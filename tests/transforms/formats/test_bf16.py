"""bfloat16: half of the bytes, the same dtypes outside, and it trains."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from effwidgets import profile
from effwidgets.records import Plan, Site, Skip, Step
from effwidgets.transforms.apply import apply
from effwidgets.transforms.formats.bf16 import BF16


def _step(layer: str) -> Step:
    return Step(transform="bf16", layers=(layer,))


def _model() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 5))
    return model, torch.randn(4, 3, 4, 4)


@pytest.mark.parametrize("layer", ["0", "3"])
def test_a_layer_computes_as_torchs_own_does_in_bfloat16(layer: str) -> None:
    model, x = _model()
    applied = apply(model, Plan(steps=(_step(layer),)), x)
    assert applied.edits, applied.skipped
    place = int(layer)
    inputs = model[:place](x)
    expected = copy.deepcopy(model[place]).to(torch.bfloat16)(inputs.to(torch.bfloat16)).float()
    assert torch.equal(applied.model[place](inputs), expected)
    held = sum(parameter.numel() for parameter in model[place].parameters())
    change = applied.profile.cost - applied.before.cost
    assert (change.params, change.param_bytes, change.macs, change.backward_macs) == (0, -2 * held, 0, 0)


def test_an_embedding_answers_in_the_dtype_that_it_had() -> None:
    model, ids = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2)), torch.tensor([[1, 8]])
    applied = apply(model, Plan(steps=(_step("0"),)), ids)
    assert torch.equal(applied.model[0](ids), model[0].weight.to(torch.bfloat16).float()[ids])


def test_the_padding_row_of_an_embedding_does_not_learn() -> None:
    model, ids = nn.Sequential(nn.Embedding(9, 4, padding_idx=0), nn.Linear(4, 2)), torch.tensor([[0, 3, 0]])
    made = apply(model, Plan(steps=(_step("0"),)), ids).model
    made(ids).sum().backward()
    learnt = made.get_parameter("0.weight").grad.abs().sum(1) > 0
    assert learnt.nonzero().flatten().tolist() == [3]


def test_weights_train_on_and_frozen_ones_stay_frozen() -> None:
    model, x = _model()
    model[0].weight.requires_grad_(requires_grad=False)
    made = apply(model, Plan(steps=(_step("0"), _step("3"))), x).model
    made(x).sum().backward()
    assert made.get_parameter("0.weight").grad is None
    assert made.get_parameter("3.weight").grad.dtype is torch.bfloat16


def test_the_weights_of_a_dense_checkpoint_fit() -> None:
    model, x = _model()
    made = apply(model, Plan(steps=(_step("3"),)), x).model
    made.load_state_dict(model.state_dict())
    pickled = pickle.dumps(made)
    assert b"effwidgets" not in pickled
    assert torch.equal(pickle.loads(pickled)(x), made(x))  # noqa: S301  our own bytes


def test_what_has_sixteen_bits_already_is_skipped() -> None:
    for dtype in (torch.bfloat16, torch.float16):
        model = nn.Sequential(nn.Linear(8, 8)).to(dtype)
        found = next(iter(BF16.sites(profile(model, torch.ones(1, 8, dtype=dtype)))))
        assert isinstance(found, Skip)
        assert "already" in found.reason
    site = next(iter(BF16.sites(profile(nn.Sequential(nn.Linear(8, 8)), torch.ones(1, 8)))))
    assert isinstance(site, Site)
    assert "slower" in site.warnings[0]


def test_numbers_beyond_its_range_are_not_made_infinite() -> None:
    model = nn.Sequential(nn.Linear(4, 4)).double()
    with torch.no_grad():
        model[0].weight[0, 0] = 1e300
    applied = apply(model, Plan(steps=(_step("0"),)), torch.ones(1, 4, dtype=torch.float64))
    assert "beyond the range" in applied.skipped[0].reason


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a_model_that_is_cast_as_a_whole_afterwards_runs(dtype: torch.dtype) -> None:
    model, x = _model()
    made = apply(model, Plan(steps=(_step("0"), _step("3"))), x).model
    with torch.no_grad():
        expected = made(x)
        answer = made.to(dtype)(x.to(dtype))
    assert answer.dtype == dtype
    # The weights keep their values; inputs and sums round otherwise: a few roundings of 2 ** -8 each.
    assert (answer.float() - expected).norm() < 0.05 * expected.norm()
