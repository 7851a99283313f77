"""What others have published about the cost of well-known models, and builders of the same models.

torchvision: `num_params` and `_ops` in the `_meta` of each `*_Weights` of torchvision 0.29.2 (BSD-3-Clause); `_ops` is
in billions of multiply-adds, rounded to three decimals, of what multiplies matrices: convolutions, linear layers,
attention. MobileNets: the tables of tensorflow/models, research/slim/nets/mobilenet/README.md at 0ba83cf0 and
research/slim/nets/mobilenet_v1.md at 02c04f49 (Apache-2.0), in millions of multiply-adds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from torch import nn

from effwidgets.testing import classic, convnext, mobilenet, resnet, squeezenet
from effwidgets.testing import vision_transformer as vit
from effwidgets.testing.densenet import densenet
from effwidgets.testing.efficientnet import efficientnet
from effwidgets.testing.regnet import regnet
from effwidgets.testing.shufflenet import shufflenet_v2

__all__ = ["MOBILENETS", "TORCHVISION", "Published"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A model, and what is published about it.

    Attributes:
        name: as the publisher has it.
        build: makes it, with any numbers; cheap under ``torch.device("meta")``.
        params: published; 0 where none are, or where it is not said which are counted.
        macs: published, in ``unit``.
        unit: how many MACs one of ``macs`` is.
        decimals: of ``macs``, as it is printed.
        side: of the picture, ``(1, 3, side, side)``.
        cut: the figure's further decimals were cut off; otherwise it was rounded.
    """

    name: str
    build: Callable[[], nn.Module]
    params: int
    macs: float
    unit: int
    decimals: int
    side: int = 224
    cut: bool = False

    def prints(self, macs: int) -> bool:
        """Say whether ``macs`` would be printed as the published figure is.

        >>> Published(name="a", build=nn.Identity, params=0, macs=1.81, unit=10**9, decimals=2).prints(1_814_073_344)
        True
        """
        fine = 10**self.decimals
        whole = macs * fine // self.unit if self.cut else (2 * macs * fine + self.unit) // (2 * self.unit)
        return bool(whole == round(self.macs * fine))


def _torchvision(name: str, build: Callable[[], nn.Module], params: int, giga: float, side: int = 224) -> Published:
    return Published(name=name, build=build, params=params, macs=giga, unit=10**9, decimals=3, side=side)


TORCHVISION: Final[tuple[Published, ...]] = (
    _torchvision("alexnet", classic.alexnet, 61_100_840, 0.714),
    _torchvision("convnext_tiny", convnext.convnext_tiny, 28_589_128, 4.456),
    _torchvision("convnext_small", convnext.convnext_small, 50_223_688, 8.684),
    _torchvision("convnext_base", convnext.convnext_base, 88_591_464, 15.355),
    _torchvision("convnext_large", convnext.convnext_large, 197_767_336, 34.361),
    _torchvision("densenet121", partial(densenet, 121), 7_978_856, 2.834),
    _torchvision("densenet161", partial(densenet, 161), 28_681_000, 7.728),
    _torchvision("densenet169", partial(densenet, 169), 14_149_480, 3.36),
    _torchvision("densenet201", partial(densenet, 201), 20_013_928, 4.291),
    _torchvision("efficientnet_b0", partial(efficientnet, 0), 5_288_548, 0.386),
    _torchvision("efficientnet_b1", partial(efficientnet, 1), 7_794_184, 0.687, 240),
    _torchvision("efficientnet_b2", partial(efficientnet, 2), 9_109_994, 1.088, 288),
    _torchvision("efficientnet_b3", partial(efficientnet, 3), 12_233_232, 1.827, 300),
    _torchvision("efficientnet_b4", partial(efficientnet, 4), 19_341_616, 4.394, 380),
    _torchvision("efficientnet_b5", partial(efficientnet, 5), 30_389_784, 10.266, 456),
    _torchvision("efficientnet_b6", partial(efficientnet, 6), 43_040_704, 19.068, 528),
    _torchvision("efficientnet_b7", partial(efficientnet, 7), 66_347_960, 37.746, 600),
    _torchvision("mnasnet0_5", partial(mobilenet.mnasnet, 0.5), 2_218_512, 0.104),
    _torchvision("mnasnet0_75", partial(mobilenet.mnasnet, 0.75), 3_170_208, 0.215),
    _torchvision("mnasnet1_0", mobilenet.mnasnet, 4_383_312, 0.314),
    _torchvision("mnasnet1_3", partial(mobilenet.mnasnet, 1.3), 6_282_256, 0.526),
    _torchvision("mobilenet_v2", mobilenet.mobilenet_v2, 3_504_872, 0.301),
    _torchvision("mobilenet_v3_large", mobilenet.mobilenet_v3_large, 5_483_032, 0.217),
    _torchvision("mobilenet_v3_small", mobilenet.mobilenet_v3_small, 2_542_856, 0.057),
    _torchvision("regnet_x_400mf", partial(regnet, "x_400mf"), 5_495_976, 0.414),
    _torchvision("regnet_x_800mf", partial(regnet, "x_800mf"), 7_259_656, 0.8),
    _torchvision("regnet_x_1_6gf", partial(regnet, "x_1_6gf"), 9_190_136, 1.603),
    _torchvision("regnet_x_3_2gf", partial(regnet, "x_3_2gf"), 15_296_552, 3.177),
    _torchvision("regnet_y_400mf", partial(regnet, "y_400mf"), 4_344_144, 0.402),
    _torchvision("regnet_y_800mf", partial(regnet, "y_800mf"), 6_432_512, 0.834),
    _torchvision("regnet_y_1_6gf", partial(regnet, "y_1_6gf"), 11_202_430, 1.612),
    _torchvision("regnet_y_3_2gf", partial(regnet, "y_3_2gf"), 19_436_338, 3.176),
    _torchvision("resnet18", resnet.resnet18, 11_689_512, 1.814),
    _torchvision("resnet34", resnet.resnet34, 21_797_672, 3.664),
    _torchvision("resnet50", resnet.resnet50, 25_557_032, 4.089),
    _torchvision("resnet101", resnet.resnet101, 44_549_160, 7.801),
    _torchvision("resnet152", resnet.resnet152, 60_192_808, 11.514),
    _torchvision("resnext50_32x4d", resnet.resnext50, 25_028_904, 4.23),
    _torchvision("shufflenet_v2_x0_5", partial(shufflenet_v2, 0.5), 1_366_792, 0.04),
    _torchvision("shufflenet_v2_x1_0", shufflenet_v2, 2_278_604, 0.145),
    _torchvision("shufflenet_v2_x1_5", partial(shufflenet_v2, 1.5), 3_503_624, 0.296),
    _torchvision("shufflenet_v2_x2_0", partial(shufflenet_v2, 2.0), 7_393_996, 0.583),
    _torchvision("squeezenet1_0", squeezenet.squeezenet1_0, 1_248_424, 0.819),
    _torchvision("squeezenet1_1", squeezenet.squeezenet1_1, 1_235_496, 0.349),
    _torchvision("vgg11", partial(classic.vgg, 11), 132_863_336, 7.609),
    _torchvision("vgg13_bn", partial(classic.vgg, 13, norms=True), 133_053_736, 11.308),
    _torchvision("vgg16", classic.vgg, 138_357_544, 15.47),
    _torchvision("vgg19_bn", partial(classic.vgg, 19, norms=True), 143_678_248, 19.632),
    _torchvision("vit_b_16", vit.vit_b_16, 86_567_656, 17.564),
    _torchvision("vit_b_32", vit.vit_b_32, 88_224_232, 4.409),
    _torchvision("vit_l_16", vit.vit_l_16, 304_326_632, 61.555),
    _torchvision("wide_resnet50_2", resnet.wide_resnet50, 68_883_240, 11.398),
)
"""Ten families, and all sizes of most of them."""

# width -> millions of multiply-adds at sides of 224, 192, 160, 128 (and 96)
_V1_MILLIONS: Final = {1.0: (569, 418, 291, 186), 0.5: (None, 110, 77, 49), 0.25: (41, None, 21, 14)}
_V2_MILLIONS: Final = {
    1.4: (582,),
    1.3: (509,),
    1.0: (300, 221, 154, 99, 56),
    0.75: (209, 153, 107, 69, 39),
    0.5: (97, 71, 50, 32, 18),
    0.35: (59, 43, 30, 20, 11),
}


def _mobilenet(version: int, width: float, side: int, millions: int) -> Published:
    build = partial(mobilenet.mobilenet_v1 if version == 1 else mobilenet.mobilenet_v2, width)
    name = f"mobilenet_v{version} {width} {side}"
    cut = version == 2
    return Published(name=name, build=build, params=0, macs=millions, unit=10**6, decimals=0, side=side, cut=cut)


MOBILENETS: Final[tuple[Published, ...]] = tuple(
    _mobilenet(version, width, 224 - 32 * place, millions)
    for version, table in ((1, _V1_MILLIONS), (2, _V2_MILLIONS))
    for width, row in table.items()
    for place, millions in enumerate(row)
    if millions is not None
)
"""MobileNet V1 and V2 by width and side of the picture; the table of V2 cuts, that of V1 rounds.

Left out: V1 of width 0.75, whose row (317 at 224) is not what the paper's own table 6 says (325) nor what its
architecture comes to; width 0.5 at 224, printed as 150 where the paper has 149 and the architecture 149.497; and width
0.25 at 192, printed as 34 between 41 and 21, where the squares of the sides leave 30.
"""
