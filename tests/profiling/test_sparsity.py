"""Zeros beside the work: in the numbers themselves, under masks, under parametrizations."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from effwidgets.errors import InputError
from effwidgets.profiling import make_shadow
from effwidgets.profiling.sparsity import sparsity_of, zeros_of
from effwidgets.records import Zeros
from effwidgets.testing.untouched import state_of


def filled(module):
    """The module with numbers of which none is zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.arange(1, parameter.numel() + 1).view_as(parameter))
    return module


def found(model):
    return {zeros.name: zeros for zeros in sparsity_of(model)}


def test_zeros_are_counted_in_each_parameter():
    model = filled(nn.Sequential(nn.Linear(4, 3), nn.Conv2d(2, 2, 3)))
    with torch.no_grad():
        model[0].weight[1:] = 0.0
        model[1].bias[0] = -0.0
    assert zeros_of(model) == {"0.weight": 8, "0.bias": 0, "1.weight": 0, "1.bias": 1}
    assert found(model)["0.weight"].share == 8 / 12


def test_a_masked_weight_is_counted_as_the_layer_reads_it():
    model = nn.Sequential(filled(nn.Linear(8, 4)))
    prune.l1_unstructured(model[0], "weight", 24)
    seen = found(model)
    assert (seen["0.weight_orig"].zeros, seen["0.weight"].zeros, seen["0.weight"].source) == (0, 24, "mask")
    # The truth is what the next forward multiplies by.
    model(torch.zeros(1, 8))
    assert seen["0.weight"].zeros == int((model[0].weight == 0).sum())


class Checkers(nn.Module):
    def forward(self, weight):
        return weight * (torch.arange(weight.numel()).view_as(weight) % 2)


def test_a_parametrized_weight_is_counted_as_the_layer_reads_it():
    model = filled(nn.Linear(4, 3))
    parametrize.register_parametrization(model, "weight", Checkers())
    seen = found(model)
    assert seen["parametrizations.weight.original"].zeros == 0
    assert (seen["weight"].zeros, seen["weight"].source) == (6, "parametrization")


def test_a_mask_that_came_off_leaves_its_zeros():
    model = filled(nn.Linear(8, 4))
    prune.ln_structured(model, "weight", 1, n=2, dim=0)
    prune.remove(model, "weight")
    assert zeros_of(model) == {"weight": 8, "bias": 0}


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("layout", ["coo", "csr", "csc", "bsr"])
def test_what_a_sparse_tensor_does_not_store_is_zero(layout):
    weight = torch.zeros(4, 6)
    weight[0, 0], weight[3, 4] = 1.0, 2.0
    stored = weight.to_sparse() if layout == "coo" else getattr(weight, f"to_sparse_{layout}")
    model = nn.Module()
    model.weight = nn.Parameter(stored((2, 2)) if layout == "bsr" else stored() if callable(stored) else stored)
    assert zeros_of(model) == {"weight": 22}


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
def test_a_sparse_weight_under_a_mask_or_a_parametrization_is_said_to_be_under_it():
    class Half(nn.Module):
        def forward(self, weight):
            return (weight * torch.tensor([1.0, 0.0])).to_sparse()

    model = filled(nn.Linear(2, 3))
    parametrize.register_parametrization(model, "weight", Half(), unsafe=True)
    assert (found(model)["weight"].zeros, found(model)["weight"].source) == (3, "parametrization")


def test_two_of_four_is_the_share_of_fours_along_the_inputs_with_two_zeros():
    rows = nn.Linear(8, 2, bias=False)
    channels = nn.Conv2d(4, 1, 2, bias=False)
    with torch.no_grad():
        rows.weight.copy_(torch.tensor([[1, 0, 2, 0, 1, 1, 1, 0], [0, 0, 0, 0, 3, 0, 0, 1]]))
        channels.weight.copy_(torch.tensor([1.0, 0.0, 1.0, 0.0])[None, :, None, None].expand(1, 4, 2, 2))
    assert found(rows)["weight"].two_of_four == 3 / 4
    assert found(channels)["weight"].two_of_four == 1.0
    assert found(nn.Linear(6, 2))["weight"].two_of_four is None
    assert found(nn.Linear(4, 2))["bias"].two_of_four is None


def test_tied_weights_are_counted_once_and_those_on_meta_not():
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False), nn.Linear(4, 4, device="meta"))
    model[1].weight = model[0].weight
    assert list(zeros_of(model)) == ["0.weight"]


def test_on_a_shadow_which_has_no_numbers_nothing_is_counted():
    model = nn.Sequential(nn.Linear(8, 4), parametrizations.weight_norm(nn.Linear(4, 4)))
    prune.random_unstructured(model[0], "weight", 0.5)
    assert sparsity_of(make_shadow(model).model) == ()


def test_the_model_is_left_as_it_was_while_it_trains():
    model = nn.Sequential(nn.Linear(8, 4), parametrizations.spectral_norm(nn.Linear(4, 4)), nn.BatchNorm1d(4)).train()
    prune.random_unstructured(model[0], "weight", 0.5)
    before = state_of(model)
    sparsity_of(model)
    assert before.differences(state_of(model)) == []


def test_a_record_of_zeros_survives_json():
    zeros = Zeros(name="weight", entries=4, zeros=1, source="mask", two_of_four=0.5)
    assert Zeros.from_dict(zeros.to_dict()) == zeros


def test_something_else_than_a_module_is_named():
    with pytest.raises(InputError, match="dict"):
        sparsity_of({})
