"""Weights that are packed away are found."""

import pytest
import torch
from torch import nn

from effwidgets.profiling.packed import packed_tensors


def quantised(model, dtype=torch.qint8):
    from torch.ao.quantization import quantize_dynamic

    kinds = {nn.Linear, nn.LSTM, nn.GRU, nn.LSTMCell}
    return quantize_dynamic(nn.Sequential(model), kinds, dtype=dtype)


def found(model):
    return [tensor for module in model.modules() for _, tensor in packed_tensors(module)]


@pytest.mark.filterwarnings(
    "ignore:.*torch.ao.quantization:DeprecationWarning", "ignore:torch.quantize_per:UserWarning"
)
@pytest.mark.parametrize(
    "layer", [nn.Linear(32, 8), nn.LSTM(8, 16, 2, bidirectional=True), nn.GRU(8, 16), nn.LSTMCell(8, 16)]
)
def test_a_quantised_layer_has_the_weights_that_it_had_at_a_byte_each(layer):
    tensors = found(quantised(layer))
    weights = [weight for weight in layer.parameters() if weight.dim() == 2]
    narrow = [tensor for tensor in tensors if tensor.dim() == 2]
    assert sorted(tensor.shape for tensor in narrow) == sorted(weight.shape for weight in weights)
    assert {tensor.element_size() for tensor in narrow} == {1}
    biases = sum(bias.numel() for bias in layer.parameters() if bias.dim() == 1)
    assert sum(tensor.numel() for tensor in tensors if tensor.dim() == 1) == biases


def test_ordinary_layers_have_packed_nothing():
    assert found(nn.Sequential(nn.Linear(4, 4), nn.LSTM(4, 4))) == []
