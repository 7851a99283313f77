"""The twelve models by which the profiler's exactness and speed are quoted, each with its cost worked out by hand.

Seven are published ones, whose costs `effwidgets.testing.published` compares with tables of others. The arithmetic
below is written from the papers and not from the code that builds the models: a convolution is
``places x out x in / groups x kernel`` MACs, a linear layer ``rows x in x out``, an attention product
``queries x keys x width``, twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch import nn

from effwidgets.errors import UnknownNameError
from effwidgets.profiling.calls import Call
from effwidgets.testing import convnext, language, mobilenet, resnet, squeezenet, unet, vision_transformer
from effwidgets.testing.functional import Functional
from effwidgets.testing.specimen import Specimen, images, numbers, seeded

__all__ = ["TWELVE", "named"]

Cost = tuple[int, int]  # parameters and MACs

_PICTURE: Final = images(1, 3, 224, 224)


def _sum(*costs: Cost) -> Cost:
    return sum(params for params, _ in costs), sum(macs for _, macs in costs)


def _conv(side: int, channels: tuple[int, int], kernel: int = 1, *, groups: int = 1, extra: int = 0) -> Cost:
    """A convolution with an output of ``side x side``; ``extra`` parameters for each output channel."""
    inner, outer = channels
    weights = outer * inner // groups * kernel**2
    return weights + extra * outer, weights * side**2


def _linear(rows: int, inner: int, outer: int) -> Cost:
    return inner * outer + outer, rows * inner * outer


def _times(count: int, cost: Cost) -> Cost:
    return count * cost[0], count * cost[1]


_NORMED: Final = 2  # a batch norm has a scale and a shift for each channel


def _resnet18() -> Cost:
    def conv(side: int, inner: int, outer: int, kernel: int = 3) -> Cost:
        return _conv(side, (inner, outer), kernel, extra=_NORMED)

    costs = [conv(112, 3, 64, 7), _times(4, conv(56, 64, 64)), _linear(1, 512, 1000)]
    for side, inner in ((28, 64), (14, 128), (7, 256)):
        outer = 2 * inner
        costs += [conv(side, inner, outer), _times(3, conv(side, outer, outer)), conv(side, inner, outer, 1)]
    return _sum(*costs)


def _resnet50() -> Cost:
    def conv(side: int, inner: int, outer: int, kernel: int = 1) -> Cost:
        return _conv(side, (inner, outer), kernel, extra=_NORMED)

    costs = [conv(112, 3, 64, 7), _linear(1, 2048, 1000)]
    inner, before = 64, 56  # the side of what comes in
    for width, depth, side in ((64, 3, 56), (128, 4, 28), (256, 6, 14), (512, 3, 7)):
        outer = 4 * width
        costs += [conv(before, inner, width), conv(side, inner, outer)]  # the first block, and its shortcut
        costs += [_times(depth - 1, conv(side, outer, width))]
        costs += [_times(depth, _sum(conv(side, width, width, 3), conv(side, width, outer)))]
        inner, before = outer, side
    return _sum(*costs)


def _mobilenet_v2() -> Cost:
    def block(before: int, side: int, channels: tuple[int, int], expansion: int) -> Cost:
        inner, outer = channels
        wide = inner * expansion
        own = _conv(side, (wide, wide), 3, groups=wide, extra=_NORMED)
        grow = _conv(before, (inner, wide), extra=_NORMED) if expansion > 1 else (0, 0)
        return _sum(grow, own, _conv(side, (wide, outer), extra=_NORMED))

    rows = ((16, 1, 112), (24, 2, 56), (32, 3, 28), (64, 4, 14), (96, 3, 14), (160, 3, 7), (320, 1, 7))
    costs = [_conv(112, (3, 32), 3, extra=_NORMED)]
    inner, before = 32, 112
    for outer, repeats, side in rows:
        expansion = 1 if outer == 16 else 6
        costs += [block(before, side, (inner, outer), expansion)]
        costs += [_times(repeats - 1, block(side, side, (outer, outer), expansion))]
        inner, before = outer, side
    return _sum(*costs, _conv(7, (320, 1280), extra=_NORMED), _linear(1, 1280, 1000))


def _squeezenet() -> Cost:
    def fire(side: int, inner: int, squeezed: int) -> Cost:
        small = _conv(side, (squeezed, 4 * squeezed), 1, extra=1)
        return _sum(_conv(side, (inner, squeezed), extra=1), small, _conv(side, (squeezed, 4 * squeezed), 3, extra=1))

    # 224 -> 109 by the first convolution, then 54, 27, 13 by pools that round up.
    early = [fire(54, 96, 16), fire(54, 128, 16), fire(54, 128, 32)]
    middle = [fire(27, 256, 32), fire(27, 256, 48), fire(27, 384, 48), fire(27, 384, 64)]
    ends = [_conv(109, (3, 96), 7, extra=1), fire(13, 512, 64), _conv(13, (512, 1000), extra=1)]
    return _sum(*early, *middle, *ends)


def _convnext() -> Cost:
    costs = [_conv(56, (3, 96), 4, extra=1), (2 * 96, 0), (2 * 768, 0), _linear(1, 768, 1000)]
    inner = 96
    for width, depth, side in ((96, 3, 56), (192, 3, 28), (384, 9, 14), (768, 3, 7)):
        if width != inner:
            costs += [(2 * inner, 0), _conv(side, (inner, width), 2, extra=1)]
        filters = _conv(side, (width, width), 7, groups=width, extra=1)
        rows = _sum(_linear(side**2, width, 4 * width), _linear(side**2, 4 * width, width))
        costs.append(_times(depth, _sum(filters, rows, (3 * width, 0))))  # one norm, and a scale for each channel
        inner = width
    return _sum(*costs)


def _block(rows: int, keys: int, width: int) -> Cost:
    """A transformer layer, four times as wide inside: attention of ``rows`` to ``keys`` each, two norms."""
    own = (4 * width, 2 * rows * keys * width)
    return _sum(
        own,
        _linear(rows, width, 3 * width),
        _linear(rows, width, width),
        _linear(rows, width, 4 * width),
        _linear(rows, 4 * width, width),
    )


def _vit() -> Cost:
    raw = (768 + 197 * 768 + 2 * 768, 0)  # class token, positions, last norm
    return _sum(_conv(14, (3, 768), 16, extra=1), raw, _times(12, _block(197, 197, 768)), _linear(1, 768, 1000))


def _bert() -> Cost:
    embeddings = ((30_522 + 512 + 2) * 768 + 2 * 768, 0)
    return _sum(embeddings, _times(12, _block(128, 128, 768)), _linear(1, 768, 768))


def _gpt2() -> Cost:
    embeddings = ((50_257 + 1024) * 768 + 2 * 768, 128 * 768 * 50_257)  # the head is the embedding again
    return _sum(embeddings, _times(12, _block(128, 128, 768)))


def _lstm() -> Cost:
    # A step: four gates, each from the input and from the state; two biases a gate.
    weights = 4 * 512 * (256 + 512) + 4 * 512 * (512 + 512)
    return weights + 2 * 2 * 4 * 512, 4 * 128 * weights


def _encoder() -> Cost:
    return _times(4, _block(4 * 64, 64, 256))


def _tiny() -> Cost:
    rows = 8 * 16
    shared = (64 * 64 + 64, 2 * rows * 64 * 64)
    return _sum(shared, (0, 2 * rows * 16 * 64), (64 * 32, rows * 64 * 32), _linear(rows, 32, 10))


def _unet() -> Cost:
    widths = (64, 128, 256, 512, 1024)
    costs = [_conv(128, (64, 2), extra=1)]
    for level, outer in enumerate(widths):
        side, inner = 128 >> level, widths[level - 1] if level else 3
        costs += [_conv(side, (inner, outer), 3, extra=1), _conv(side, (outer, outer), 3, extra=1)]
        if level:  # and back up: each place of this level makes four of the one above
            grown = (inner * outer * 4 + inner, inner * outer * 4 * side**2)
            costs += [grown, _conv(2 * side, (outer, inner), 3, extra=1), _conv(2 * side, (inner, inner), 3, extra=1)]
    return _sum(*costs)


def _recurrent() -> nn.Module:
    return nn.LSTM(256, 512, num_layers=2, batch_first=True)


def _stack() -> nn.Module:
    layer = nn.TransformerEncoderLayer(256, 8, 1024, batch_first=True)
    return nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)


def _made(name: str, build: Callable[[], nn.Module], inputs: Callable[[], Call], cost: Cost) -> Specimen:
    return Specimen(name=name, build=seeded(build), inputs=inputs, params=cost[0], macs=cost[1])


TWELVE: Final[tuple[Specimen, ...]] = (
    _made("resnet18", resnet.resnet18, _PICTURE, _resnet18()),
    _made("resnet50", resnet.resnet50, _PICTURE, _resnet50()),
    _made("mobilenet_v2", mobilenet.mobilenet_v2, _PICTURE, _mobilenet_v2()),
    _made("squeezenet1_0", squeezenet.squeezenet1_0, _PICTURE, _squeezenet()),
    _made("convnext_tiny", convnext.convnext_tiny, _PICTURE, _convnext()),
    _made("vit_b_16", vision_transformer.vit_b_16, _PICTURE, _vit()),
    _made("bert_base", language.bert_base, numbers(30_522, 1, 128), _bert()),
    _made("gpt2", language.gpt2, numbers(50_257, 1, 128), _gpt2()),
    _made("lstm", _recurrent, images(4, 128, 256), _lstm()),
    _made("encoder", _stack, images(4, 64, 256), _encoder()),
    _made("functional", Functional, images(8, 16, 64), _tiny()),
    _made("unet", unet.unet, images(1, 3, 128, 128), _unet()),
)
"""Their order is that of the benchmark's table."""


def named(name: str) -> Specimen:
    """Return the one of that name.

    Raises:
        UnknownNameError: no such model; the message lists them.

    >>> named("mobilenet_v2").params, named("mobilenet_v2").macs
    (3504872, 300774272)
    """
    for found in TWELVE:
        if found.name == name:
            return found
    raise UnknownNameError("named model", name, [found.name for found in TWELVE])
