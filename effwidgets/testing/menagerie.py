"""The zoo's second house: other spellings, groups, wrapped layers. Costs by hand, as in `effwidgets.testing.zoo`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import nn

from effwidgets.profiling.calls import Call, map_tensors
from effwidgets.testing import attentive as a
from effwidgets.testing import grouped as g
from effwidgets.testing import wrapped as w
from effwidgets.testing.convolutional import ResidualNet
from effwidgets.testing.specimen import Specimen, images, numbers, seeded

__all__ = ["MORE", "planted"]

_PICTURE = images(2, 3, 16, 16)


def _half_residual() -> nn.Module:
    return ResidualNet().to(torch.bfloat16)


def _half_picture() -> Call:
    return map_tensors(_PICTURE(), lambda tensor: tensor.to(torch.bfloat16))  # type: ignore[no-any-return]


def planted(zero: int = 3) -> Callable[[], nn.Module]:
    """Return a builder of a `PlantedNet`: removing its planted channels must not move its outputs.

    The last ``zero`` channels of the groups ``conv1`` (12 channels) and ``stem`` (8, around the sum) are zero behind
    their batch norms; their weights and statistics are not. Pictures of ``(batch, 3, height, width)`` in.

    >>> model = planted(zero=2)()
    >>> int((model.bn1.weight == 0).sum()), int((model.norm.bias == 0).sum()), model.training
    (2, 2, False)
    """
    make = seeded(lambda: w.PlantedNet(zero))

    def build() -> nn.Module:
        model = make()
        assert isinstance(model, w.PlantedNet)
        model.plant()
        return model

    return build


# The same arithmetic as for the residual network of the first house.
_RESIDUAL_MACS = 2 * (256 * 9 * (3 * 8 + 2 * 8 * 8) + 64 * 9 * (8 * 16 + 16 * 16) + 64 * 8 * 16 + 16 * 10)
_RESIDUAL_PARAMS = 9 * (3 * 8 + 2 * 8 * 8 + 8 * 16 + 16 * 16) + 8 * 16 + 2 * (3 * 8 + 3 * 16) + 16 * 10 + 10
# A block of a GPT of width 16: fused projection, output projection, two layers, two norms; attention product apart.
_GPT_BLOCK_PARAMS = (48 * 16 + 48) + (16 * 16 + 16) + (64 * 16 + 64) + (16 * 64 + 16) + 2 * 2 * 16
_GPT_BLOCK_MACS = 2 * 8 * (48 * 16 + 16 * 16 + 2 * 64 * 16) + 2 * (2 * 8 * 8 * 16)

_CONVOLUTIONS: Final = (
    Specimen(
        name="resnext",
        build=seeded(g.ResNextNet),
        inputs=_PICTURE,
        # In four groups of four channels each.
        macs=2 * 64 * (9 * 3 * 24 + 24 * 16 + 9 * 16 * 4 + 16 * 24) + 2 * 24 * 10,
        params=(9 * 3 * 24 + 24) + (24 * 16 + 9 * 16 * 4 + 16 * 24) + 2 * (16 + 16 + 24) + (24 * 10 + 10),
        notes="A bottleneck whose 3 x 3 convolution has four groups.",
    ),
    Specimen(
        name="two_towers",
        build=seeded(g.TwoTowerNet),
        inputs=_PICTURE,
        macs=2 * (64 * 25 * 3 * 8 + 16 * 9 * (12 * 4 + 12 * 16 + 12 * 8) + 192 * 20 + 20 * 10),
        params=(25 * 3 * 8 + 8)
        + (9 * 12 * 4 + 12)
        + (9 * 12 * 16 + 16)
        + (9 * 12 * 8 + 12)
        + (192 * 20 + 20)
        + (20 * 10 + 10),
        notes="Two groups, a whole convolution between them, response norms, a flatten behind groups.",
    ),
    Specimen(
        name="pixel_shuffle",
        build=seeded(g.PixelShuffleNet),
        inputs=_PICTURE,
        macs=2 * (256 * 9 * (3 * 8 + 8 * 16) + 1024 * 9 * 4 * 3),
        params=(9 * 3 * 8 + 8) + (9 * 8 * 16 + 16) + (9 * 4 * 3 + 3),
        notes="Four channels become one: they can only go together.",
    ),
    Specimen(
        name="deep_stem",
        build=seeded(g.DeepStemNet),
        inputs=_PICTURE,
        macs=2 * (64 * 9 * (3 * 6 + 6 * 6) + 16 * 9 * 6 * 12 + 4 * (9 * 12 * 16 + 9 * 16 * 16 + 12 * 16) + 16 * 10),
        params=9 * (3 * 6 + 6 * 6)
        + (9 * 6 * 12 + 12)
        + 9 * (12 * 16 + 16 * 16)
        + (12 * 16 + 16)
        + 2 * (6 + 6 + 16 + 16)
        + (16 * 10 + 10),
        notes="Strides in stem and block; the shortcut averages before its convolution.",
    ),
    Specimen(
        name="generator",
        build=seeded(g.generator),
        inputs=images(2, 8, 4, 4),
        # A transposed convolution meets each input place with the whole kernel.
        macs=2 * (16 * 16 * 8 * 6 + 64 * 16 * 6 * 3),
        params=16 * 8 * 6 + 2 * 6 + (16 * 6 * 3 + 3),
        notes="Transposed convolutions alone, with a batch norm.",
    ),
    Specimen(
        name="signal_stack",
        build=seeded(g.signal_stack),
        inputs=images(2, 4, 16),
        macs=2 * (16 * 3 * 4 * 8 + 8 * 3 * 8 * 12 + 6 * 3 * 12 * 8 + 8 * 5),
        params=(3 * 4 * 8 + 8) + 2 * 8 + (3 * 8 * 12 + 12) + (3 * 12 * 8 + 8) + (8 * 5 + 5),
        notes="One dimension, one group, a stride, a batch norm.",
    ),
    Specimen(
        name="volume",
        build=seeded(g.volume),
        inputs=images(2, 2, 4, 8, 8),
        macs=2 * (256 * 27 * 2 * 6 + 32 * 27 * 6 * 8 + 8 * 4),
        params=27 * 2 * 6 + 2 * 6 + (27 * 6 * 8 + 8) + (8 * 4 + 4),
        notes="Three dimensions.",
    ),
)

_SEQUENCES: Final = (
    Specimen(
        name="gpt_split",
        build=seeded(a.SplitGpt),
        inputs=numbers(30, 2, 8),
        macs=2 * _GPT_BLOCK_MACS + 2 * 8 * 16 * 30,
        params=30 * 16 + 10 * 16 + 2 * _GPT_BLOCK_PARAMS + 2 * 16 + 16 * 30,
        notes="Query, key and value are cut apart at a stated width.",
    ),
    Specimen(
        name="separate_attention",
        build=seeded(a.SeparateAttention),
        inputs=images(2, 6, 10),
        macs=2 * 6 * (10 * 24 + 4 * 24 * 24 + 24 * 4) + 2 * (2 * 6 * 6 * 24),
        params=(10 * 24 + 24) + 4 * (24 * 24 + 24) + 2 * 24 + (24 * 4 + 4),
        notes="Query, key and value are layers; heads and their size are stated numbers.",
    ),
    Specimen(
        name="gated_input",
        build=seeded(a.GatedInput),
        inputs=images(2, 5, 8),
        macs=2 * 5 * 3 * 8 * 20,
        params=3 * 8 * 20,
        notes="A gated unit in a residual whose other end is the model's input: the width around it is not ours.",
    ),
    Specimen(
        name="chunked_gate",
        build=seeded(a.ChunkedGate),
        inputs=images(2, 5, 8),
        macs=2 * 5 * (8 * 12 + 12 * 40 + 20 * 12 + 12 * 4),
        params=(8 * 12 + 12) + (12 * 40 + 40) + (20 * 12 + 12) + (12 * 4 + 4),
        notes="One layer makes both halves: channel i and channel 20 + i go together.",
    ),
    Specimen(
        name="gru",
        build=seeded(a.Gru),
        inputs=images(2, 6, 4),
        # A step: three gates, each from the input and from the state.
        macs=2 * 6 * (4 * 8 + 36 * (8 + 12)) + 2 * 12 * 3,
        params=(4 * 8 + 8) + (36 * (8 + 12) + 72) + (12 * 3 + 3),
        notes="Recurrence with three gates.",
    ),
)

_WRAPPED: Final = (
    Specimen(
        name="masked",
        build=seeded(w.MaskedNet),
        inputs=_PICTURE,
        macs=2 * (64 * 9 * (3 * 8 + 8 * 12) + 12 * 16 + 16 * 10),
        params=(9 * 3 * 8 + 8) + (9 * 8 * 12 + 12) + (12 * 16 + 16) + (16 * 10 + 10),
        notes="Masks of torch.nn.utils.prune: the zeros are multiplied all the same.",
    ),
    *(
        Specimen(
            name=name,
            build=seeded(make),
            inputs=images(4, 8),
            macs=4 * (8 * 16 + 16 * 16 + 16 * 4),
            params=(8 * 16 + 16 + 16) + (16 * 16 + 16) + (16 * 4 + 4 + 4),
            notes=notes,
        )
        for name, make, notes in (
            ("weight_norm", w.weight_norm, "A weight as length and direction, by a parametrization."),
            ("old_weight_norm", w.old_weight_norm, "The same by a hook that writes the weight before each forward."),
        )
    ),
    Specimen(
        name="parametrized",
        build=seeded(w.symmetric),
        inputs=images(4, 12),
        macs=4 * (12 * 12 + 12 * 12 + 12 * 5),
        params=2 * (12 * 12 + 12) + (12 * 5 + 5),
        notes="A weight that a function of the model's own keeps symmetric.",
    ),
    Specimen(
        name="branch",
        build=seeded(w.Branching),
        inputs=images(4, 12),
        # One of the two layers in the middle.
        macs=4 * (12 * 16 + 16 * 16 + 16 * 5),
        params=(12 * 16 + 16) + 2 * (16 * 16 + 16) + (16 * 5 + 5),
        notes="Its numbers decide which layer runs; the other one was not seen.",
    ),
    Specimen(
        name="half_frozen",
        build=seeded(w.half_frozen),
        inputs=_PICTURE,
        macs=_RESIDUAL_MACS,
        params=_RESIDUAL_PARAMS,
        notes="Stem and first block ask for no gradient, the rest does.",
    ),
    Specimen(
        name="bfloat16_residual",
        build=seeded(_half_residual),
        inputs=_half_picture,
        macs=_RESIDUAL_MACS,
        params=_RESIDUAL_PARAMS,
        notes="Convolutions and batch norms of two bytes a number.",
    ),
    Specimen(
        name="normed_perceptron",
        build=seeded(w.normed_perceptron),
        inputs=images(4, 12),
        macs=4 * (12 * 24 + 24 * 24 + 24 * 5),
        params=12 * 24 + (24 * 24 + 24) + (24 * 5 + 5) + 2 * (2 * 24),
        notes="Batch norms behind linear layers.",
    ),
)

MORE: Final[tuple[Specimen, ...]] = (*_CONVOLUTIONS, *_SEQUENCES, *_WRAPPED)
"""What stands behind the first house in `effwidgets.testing.zoo.MODELS`."""
