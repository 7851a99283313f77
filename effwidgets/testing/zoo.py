"""Small models of every make, each with its cost worked out by hand: what the contract suites run over.

The arithmetic below is written from the layers' shapes: a convolution is
``places x out x in / groups x kernel`` MACs, a linear layer ``rows x in x out``, an attention product
``heads x queries x keys x width of a head``, twice.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from effwidgets.errors import UnknownNameError
from effwidgets.profiling.calls import Call, map_tensors
from effwidgets.testing import convolutional as c
from effwidgets.testing import sequential as s
from effwidgets.testing.menagerie import MORE
from effwidgets.testing.resnet import resnet18, resnet50
from effwidgets.testing.specimen import Specimen, images, numbers, seeded

__all__ = ["MODELS", "Specimen", "resnet18", "resnet50", "specimen"]

_PICTURE = images(2, 3, 16, 16)


def _frozen() -> nn.Module:
    model = s.perceptron()
    model.requires_grad_(requires_grad=False)
    return model


def _half() -> nn.Module:
    return s.perceptron().to(torch.bfloat16)


def _encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def _signal() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(4, 8, 5, padding="same", dilation=2), nn.ReLU(), nn.Conv1d(8, 6, 3, stride=2, groups=2), nn.ReLU()
    )


def _half_inputs() -> Call:
    return map_tensors(images(4, 12)(), lambda tensor: tensor.to(torch.bfloat16))  # type: ignore[no-any-return]


# One block of width w: fused projection, output projection, two layers of the perceptron; with biases; two norms.
def _block_params(w: int) -> int:
    return (3 * w * w + 3 * w) + (w * w + w) + (4 * w * w + 4 * w) + (4 * w * w + w) + 2 * 2 * w


def _block_macs(batch: int, tokens: int, w: int) -> int:
    rows = batch * tokens
    return rows * (3 * w * w + w * w + 8 * w * w) + 2 * batch * tokens * tokens * w


# nn.TransformerEncoderLayer(16, 4, 32): in_proj, out_proj, two linear layers, two norms.
_ENCODER_LAYER_PARAMS = (48 * 16 + 48) + (16 * 16 + 16) + (16 * 32 + 32) + (32 * 16 + 16) + 2 * 2 * 16
_ENCODER_LAYER_MACS = 2 * 7 * (48 * 16 + 16 * 16 + 2 * 16 * 32) + 2 * (2 * 7 * 7 * 16)

MODELS: Final[tuple[Specimen, ...]] = (
    Specimen(
        name="perceptron",
        build=seeded(s.perceptron),
        inputs=images(4, 12),
        macs=4 * (12 * 32 + 32 * 32 + 32 * 5),
        params=(12 * 32 + 32) + (32 * 32 + 32) + (32 * 5 + 5),
        notes="Linear layers and nothing else.",
    ),
    Specimen(
        name="residual",
        build=seeded(c.ResidualNet),
        inputs=_PICTURE,
        macs=2 * (256 * 9 * (3 * 8 + 2 * 8 * 8) + 64 * 9 * (8 * 16 + 16 * 16) + 64 * 8 * 16 + 16 * 10),
        params=9 * (3 * 8 + 2 * 8 * 8 + 8 * 16 + 16 * 16) + 8 * 16 + 2 * (3 * 8 + 3 * 16) + 16 * 10 + 10,
        notes="Sums couple channels; batch norms; a shortcut with and without a convolution.",
    ),
    Specimen(
        name="inverted_residual",
        build=seeded(c.InvertedNet),
        inputs=_PICTURE,
        macs=2 * 64 * (9 * 3 * 8 + 8 * 24 + 9 * 24 + 24 * 8) + 2 * 8 * 10,
        params=(9 * 3 * 8 + 8) + (8 * 24 + 9 * 24 + 24 * 8) + 2 * (24 + 24 + 8) + (8 * 10 + 10),
        notes="A depthwise convolution passes its channels through.",
    ),
    Specimen(
        name="dense_concat",
        build=seeded(c.ConcatNet),
        inputs=_PICTURE,
        macs=2 * 256 * (9 * (3 * 8 + 8 * 4 + 12 * 4) + 16 * 6) + 2 * 6 * 10,
        params=9 * (3 * 8 + 8 * 4 + 12 * 4) + (8 + 4 + 4) + (16 * 6 + 6) + (6 * 10 + 10),
        notes="Concatenations give channels a place further back.",
    ),
    Specimen(
        name="fire",
        build=seeded(c.FireNet),
        inputs=_PICTURE,
        macs=2 * 64 * (9 * 3 * 8 + 8 * 4 + 4 * 8 + 9 * 4 * 8 + 16 * 10),
        params=(9 * 3 * 8 + 8) + (8 * 4 + 4) + (4 * 8 + 8) + (9 * 4 * 8 + 8) + (16 * 10 + 10),
        notes="Two branches beside one another, a convolution as head.",
    ),
    Specimen(
        name="u_net",
        build=seeded(c.UNet),
        inputs=_PICTURE,
        # The transposed convolution meets each of its 64 input places with the whole kernel.
        macs=2 * (256 * 9 * 3 * 8 + 64 * 9 * 8 * 16 + 64 * 4 * 16 * 8 + 256 * 16 * 4),
        params=(9 * 3 * 8 + 8) + (9 * 8 * 16 + 16) + (4 * 16 * 8 + 8) + (16 * 4 + 4),
        notes="A transposed convolution and a skip; its output is a picture.",
    ),
    Specimen(
        name="squeeze_excite",
        build=seeded(c.ExciteNet),
        inputs=_PICTURE,
        macs=2 * (64 * 9 * 3 * 16 + 16 * 4 + 4 * 16 + 36 * 9 * 16 * 8 + 8 * 10),
        params=(9 * 3 * 16 + 16) + (16 * 4 + 4) + (4 * 16 + 16) + (9 * 16 * 8 + 8) + (8 * 10 + 10),
        notes="A gate multiplies channels.",
    ),
    Specimen(
        name="shared_conv",
        build=seeded(c.SharedConvNet),
        inputs=_PICTURE,
        macs=2 * 256 * 9 * (3 * 8 + 8 * 8 + 8 * 8) + 2 * 8 * 10,
        params=(9 * 3 * 8 + 8) + (9 * 8 * 8 + 8) + (8 * 10 + 10),
        notes="One module under two names, run twice, counted once in parameters.",
    ),
    Specimen(
        name="channel_shuffle",
        build=seeded(c.ShuffleNet),
        inputs=_PICTURE,
        macs=2 * 64 * 9 * (3 * 8 + 8 * 4 + 8 * 4) + 2 * 8 * 10,
        params=(9 * 3 * 8 + 8) + 2 * (9 * 8 * 4 + 8) + (8 * 10 + 10),
        notes="Groups and a shuffle between them: nothing may be pruned there.",
    ),
    *(
        Specimen(
            name=name,
            build=seeded(kind),
            inputs=_PICTURE,
            macs=2 * (64 * 25 * 3 * 6 + 16 * 9 * 6 * 8 + 128 * 20 + 20 * 10),
            params=(25 * 3 * 6 + 6) + (9 * 6 * 8 + 8) + (128 * 20 + 20) + (20 * 10 + 10),
            notes=notes,
        )
        for name, kind, notes in (
            ("flatten_head", c.FlattenNet, "One channel becomes 16 inputs of a linear layer."),
            ("view_head", c.ViewNet, "The same by view(batch, -1)."),
            ("stated_view_head", c.StatedViewNet, "The same by view(-1, 128): the number would not follow."),
        )
    ),
    Specimen(
        name="signal",
        build=seeded(_signal),
        inputs=images(2, 4, 20),
        macs=2 * (20 * 5 * 4 * 8 + 9 * 3 * 4 * 6),
        params=(5 * 4 * 8 + 8) + (3 * 4 * 6 + 6),
        notes="One dimension, dilation, 'same' padding, groups.",
    ),
    Specimen(
        name="vit",
        build=seeded(s.ViT),
        inputs=_PICTURE,
        macs=2 * 16 * 48 * 24 + _block_macs(2, 17, 24) + 2 * 24 * 10,
        params=(48 * 24 + 24) + 24 + 17 * 24 + _block_params(24) + 2 * 24 + (24 * 10 + 10),
        notes="Functional attention, class token and position as raw parameters.",
    ),
    Specimen(
        name="multihead_attention",
        build=seeded(s.SelfAttention),
        inputs=images(2, 7, 6),
        macs=2 * 7 * (6 * 16 + 48 * 16 + 16 * 16 + 16 * 5) + 2 * (2 * 7 * 7 * 16),
        params=(6 * 16 + 16) + (48 * 16 + 48) + (16 * 16 + 16) + (16 * 5 + 5),
        notes="nn.MultiheadAttention, whose fused path hides its work.",
    ),
    Specimen(
        name="transformer_encoder",
        build=seeded(_encoder),
        inputs=images(2, 7, 16),
        macs=2 * _ENCODER_LAYER_MACS,
        params=2 * _ENCODER_LAYER_PARAMS,
        notes="nn.TransformerEncoder, whose fused path hides whole layers.",
    ),
    Specimen(
        name="gpt",
        build=seeded(s.LittleGpt),
        inputs=numbers(40, 2, 12),
        macs=_block_macs(2, 12, 16) + 2 * 12 * 16 * 40,
        params=40 * 16 + 12 * 16 + _block_params(16) + 2 * 16,
        notes="Whole numbers in; the embedding is also the head.",
    ),
    Specimen(
        name="gated",
        build=seeded(s.GatedNet),
        inputs=images(2, 5, 8),
        macs=2 * 5 * (8 * 12 + 3 * 12 * 20 + 12 * 4),
        params=(8 * 12 + 12) + 3 * 12 * 20 + (12 * 4 + 4),
        notes="Two layers whose outputs are multiplied.",
    ),
    Specimen(
        name="lstm",
        build=seeded(s.Recurrent),
        inputs=images(2, 6, 4),
        # A step of an LSTM layer: four gates, each from the input and from the state.
        macs=2 * 6 * (4 * 8 + 48 * (8 + 12) + 48 * (12 + 12)) + 2 * 12 * 3,
        params=(4 * 8 + 8) + (48 * (8 + 12) + 96) + (48 * (12 + 12) + 96) + (12 * 3 + 3),
        notes="Recurrence: one fused operation a layer.",
    ),
    Specimen(
        name="raw_parameter",
        build=seeded(s.WithRawParameter),
        inputs=images(4, 8),
        macs=4 * (8 * 12 + 12 * 6 + 6 * 4),
        params=(8 * 12 + 12) + 6 * 12 + (6 * 4 + 4),
        notes="A weight that belongs to no layer.",
    ),
    Specimen(
        name="frozen",
        build=seeded(_frozen),
        inputs=images(4, 12),
        macs=4 * (12 * 32 + 32 * 32 + 32 * 5),
        params=(12 * 32 + 32) + (32 * 32 + 32) + (32 * 5 + 5),
        notes="No parameter asks for a gradient.",
    ),
    Specimen(
        name="bfloat16",
        build=seeded(_half),
        inputs=_half_inputs,
        macs=4 * (12 * 32 + 32 * 32 + 32 * 5),
        params=(12 * 32 + 32) + (32 * 32 + 32) + (32 * 5 + 5),
        notes="Two bytes a number.",
    ),
    *MORE,
)
"""One of each make. Their order is fixed: tests name them by it."""


def specimen(name: str) -> Specimen:
    """Return the zoo model of that name.

    Raises:
        UnknownNameError: no such model; the message lists them.
    """
    for found in MODELS:
        if found.name == name:
            return found
    raise UnknownNameError("zoo model", name, [found.name for found in MODELS])
