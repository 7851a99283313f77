"""A first guess of what a model wants to be called with, from its first layer; a person edits it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from effwidgets.errors import InputError
from effwidgets.profiling import Call
from effwidgets.seen.watch import shapes_text

__all__ = ["Guess", "call_from", "guess_for", "read_shapes"]

_PIXELS, _LENGTH = 32, 16
_MOST = 2**33  # elements; a shadow allocates nothing, the example that it is made from does


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """A shape to start from.

    Attributes:
        shape: as a person would type it ("1, 3, 32, 32").
        integer: whether the values are indices.
        note: what it was guessed from.
    """

    shape: str
    integer: bool
    note: str


def guess_for(model: nn.Module) -> Guess | None:
    """Return a guess from the first layer that tells its input width; None when none does.

    >>> guess_for(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())).shape
    '1, 3, 32, 32'
    """
    for name, layer in model.named_modules():
        shape = _shape_for(layer, _pixels(model))
        if shape is not None:
            note = f"guessed from {name or 'the model itself'}; edit it"
            return Guess(shape=shape, integer=isinstance(layer, nn.Embedding | nn.EmbeddingBag), note=note)
    return None


def _pixels(model: nn.Module) -> int:
    size = getattr(getattr(model, "config", None), "image_size", None)
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else _PIXELS


def _shape_for(layer: nn.Module, pixels: int) -> str | None:
    match layer:
        case nn.Embedding() | nn.EmbeddingBag():
            return f"1, {_LENGTH}"
        case _ConvNd() if layer.in_channels > 0:
            sizes = {1: [4 * _LENGTH], 2: [pixels] * 2}.get(len(layer.kernel_size), [_LENGTH, pixels, pixels])
            return ", ".join(map(str, [1, layer.in_channels, *sizes]))
        case nn.MultiheadAttention():
            return f"1, {_LENGTH}, {layer.embed_dim}" if layer.batch_first else f"{_LENGTH}, 1, {layer.embed_dim}"
        case nn.RNNBase():
            return f"1, {_LENGTH}, {layer.input_size}" if layer.batch_first else f"{_LENGTH}, 1, {layer.input_size}"
        case nn.Linear() if layer.in_features > 0:
            return f"1, {layer.in_features}"
        case _:
            return None


def read_shapes(text: str) -> tuple[tuple[int, ...], ...]:
    """Read shapes as people type them; several inputs are parted by a semicolon.

    >>> read_shapes("1, 3, 32, 32"), read_shapes("(1×16); 1 16")
    (((1, 3, 32, 32),), ((1, 16), (1, 16)))

    Raises:
        InputError: something else than whole numbers.
    """
    shapes = []
    for part in text.strip().rstrip(";").split(";"):
        words = part.translate(str.maketrans("()[],×x*", " " * 8)).split()
        if not words or not all(word.isascii() and word.isdigit() for word in words):
            raise InputError(
                f"{text!r} is no shape. Write whole numbers parted by commas, such as 1, 3, 32, 32; "
                f"several inputs parted by a semicolon."
            )
        shapes.append(tuple(map(int, words)))
    for shape in shapes:
        if torch.Size(shape).numel() > _MOST:
            raise InputError(f"{', '.join(map(str, shape))} has more than {_MOST:,} elements. Give a smaller example.")
    return tuple(shapes)


def call_from(model: nn.Module, text: str, seen: Call | None) -> Call:
    """Return a call with inputs of the shapes in ``text``: the call seen last where it fits, else zeros.

    A call seen with as many tensors keeps its keywords, dtypes and devices; only shapes that differ are replaced.

    Raises:
        InputError: ``text`` is no shape.
    """
    shapes = read_shapes(text)
    if seen is not None and len(shapes) == len(read_shapes(shapes_text(seen) or "0")):
        return _reshaped(seen, list(shapes))
    guess = guess_for(model)
    parameter = next(iter(model.parameters()), None)
    device = None if parameter is None else parameter.device
    floating = next((one.dtype for one in model.parameters() if one.is_floating_point()), torch.get_default_dtype())
    dtype = torch.long if guess is not None and guess.integer else floating
    return Call(tuple(torch.zeros(shape, dtype=dtype, device=device) for shape in shapes))


def _reshaped(seen: Call, shapes: list[tuple[int, ...]]) -> Call:
    from effwidgets.profiling.calls import map_tensors

    def change(tensor: torch.Tensor) -> torch.Tensor:
        shape = shapes.pop(0)
        same = tuple(tensor.shape) == shape
        return tensor if same else torch.zeros(shape, dtype=tensor.dtype, device=tensor.device)

    changed: Call = map_tensors(seen, change)
    return changed
