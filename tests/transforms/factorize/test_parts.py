"""Layers as plain values: their arithmetic against torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from effwidgets.errors import TransformError
from effwidgets.profiling.profile import profile
from effwidgets.transforms.factorize.parts import Part

LAYERS = [
    (nn.Linear(6, 4), (3, 5, 6)),
    (nn.Embedding(9, 4), (3, 5)),
    (nn.Conv1d(6, 4, 5, stride=2, dilation=2, padding=3), (2, 6, 21)),
    (nn.Conv2d(6, 4, (3, 5), stride=(2, 1), padding=(0, 2), bias=False), (2, 6, 9, 8)),
    (nn.Conv2d(6, 4, 3, padding="same", dilation=2, groups=2), (6, 9, 8)),
    (nn.Conv2d(6, 4, 3, padding=1, padding_mode="circular"), (2, 6, 9, 8)),
    (nn.Conv3d(6, 4, 2, padding="valid"), (2, 6, 4, 5, 6)),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=str)
def test_a_part_is_built_as_it_was_and_knows_the_shape_that_it_answers(layer, shape):
    part = Part.of_module(layer)
    made = part.build()
    assert type(made) is type(layer)
    assert Part.of_module(made) == part
    given = torch.zeros(shape, dtype=torch.long if isinstance(layer, nn.Embedding) else torch.float32)
    assert part.returns(shape) == tuple(layer(given).shape)
    known = profile(nn.Sequential(layer), given).layer("0")
    assert Part.of_layer(known) == part
    assert part.macs(part.returns(shape)) == known.self_cost.macs


def test_a_layer_without_a_weight_is_refused_by_name():
    known = profile(nn.Sequential(nn.ReLU()), torch.zeros(1, 3))
    with pytest.raises(TransformError, match="0 has no plain weight"):
        Part.of_layer(known.layer("0"))
