"""Packed weights as dense tensors and back."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from effwidgets.transforms.recipes.packed_state import dense_state, repack


def _packed(*, per_channel: bool, times: float = 1.0) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.ao.nn.quantized.dynamic import Linear

        layer = Linear(4, 2)
        values = torch.tensor([[1.0, -2.0, 0.0, 0.5], [0.1, 0.2, -0.3, 0.0]]) * times
        if per_channel:
            weight = torch.quantize_per_channel(
                values, torch.tensor([0.02, 0.01]), torch.zeros(2, dtype=torch.long), 0, torch.qint8
            )
        else:
            weight = torch.quantize_per_tensor(values, 0.02, 3, torch.qint8)
        layer.set_weight_bias(weight, torch.tensor([1.0, -1.0]) * times)
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(2, 2))


def test_every_entry_is_a_dense_tensor_and_comes_back() -> None:
    x = torch.randn(5, 4)
    for per_channel in (True, False):
        model, blank = _packed(per_channel=per_channel), _packed(per_channel=True, times=-1.0)
        state = {name: value for name, value in dense_state(model).items() if isinstance(value, Tensor)}
        assert set(state) == set(dense_state(model))
        assert not any(value.is_quantized for value in state.values())
        assert not torch.equal(blank[0](x), model[0](x))
        repack(blank, state)
        assert torch.equal(blank[0](x), model[0](x))


def test_a_model_without_packed_weights_is_left_alone() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    assert set(dense_state(model)) == set(model.state_dict())
    repack(model, {})
