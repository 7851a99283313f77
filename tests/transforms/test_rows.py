"""Linear layers as matrices times rows: what `torch` computes is what the rows give."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from effwidgets.errors import TransformError
from effwidgets.transforms.rows import choose_places, rows_in, rows_out, weight_from, weight_matrix

LAYERS = {
    "tokens": (nn.Linear(5, 3), (4, 6, 5)),
    "one vector": (nn.Linear(5, 3), (5,)),
    "stride": (nn.Conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 9, 8)),
    "same, dilated": (nn.Conv2d(4, 6, (3, 2), padding="same", dilation=2), (2, 4, 9, 8)),
    "valid": (nn.Conv2d(4, 6, 3, padding="valid"), (4, 9, 8)),
    "groups, reflected": (nn.Conv2d(4, 6, 3, groups=2, padding=2, padding_mode="reflect"), (2, 4, 9, 8)),
    "depthwise, circular": (nn.Conv1d(4, 8, 5, groups=4, padding=2, padding_mode="circular"), (2, 4, 9)),
    "three dimensions": (nn.Conv3d(2, 3, 2), (2, 2, 4, 5, 6)),
    "turned": (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1), (2, 4, 5, 6)),
    "turned, groups": (
        nn.ConvTranspose2d(4, 6, 4, stride=(2, 3), padding=(1, 0), dilation=(1, 2), groups=2),
        (2, 4, 5, 6),
    ),
    "turned, one sample": (nn.ConvTranspose1d(4, 6, 2, stride=3), (4, 7)),
    "turned, cropped": (nn.ConvTranspose2d(3, 2, 1, stride=2, padding=1), (1, 3, 4, 4)),
}


@pytest.mark.parametrize("limit", [10**9, 7], ids=["all places", "a few"])
@pytest.mark.parametrize("name", LAYERS)
def test_the_matrix_times_the_rows_is_what_the_layer_writes(name, limit):
    layer, shape = LAYERS[name]
    layer = layer.double()
    value = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    output = layer(value)
    places = choose_places(layer, output, limit)
    rows, wrote = rows_in(layer, value, places), rows_out(layer, output, places)
    product = torch.einsum("rgw,gow->rgo", rows, weight_matrix(layer, layer.weight)).flatten(1) + layer.bias
    assert len(places.index.unique()) == min(limit, output.numel() // layer.bias.numel())
    torch.testing.assert_close(product, wrote)  # double precision: 1e-7 by default


@pytest.mark.parametrize("name", LAYERS)
def test_a_weight_comes_back_from_its_matrix(name):
    layer, _ = LAYERS[name]
    assert torch.equal(weight_from(layer, weight_matrix(layer, layer.weight), layer.weight.shape), layer.weight)


def test_places_are_the_same_each_time_and_no_sample_is_left_out():
    layer = nn.Conv2d(1, 1, 1)
    output = torch.zeros(32, 1, 16, 16)
    one, again, other = (choose_places(layer, output, 64, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.index, again.index)
    assert not torch.equal(one.index, other.index)
    assert (one.index // 256).bincount(minlength=32).tolist() == [2] * 32  # 64 places over 32 samples
    assert torch.cat([part.index for part in one.split(10)]).equal(one.index)


def test_a_layer_that_is_no_matrix_is_refused():
    layer = nn.BatchNorm2d(2)
    with pytest.raises(TransformError, match="a BatchNorm2d; a Linear or a convolution"):
        rows_in(layer, torch.zeros(1, 2, 3, 3), choose_places(nn.Conv2d(2, 2, 1), torch.zeros(1, 2, 3, 3), 4))
