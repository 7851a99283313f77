"""Inputs of another size: fake tensors where only the shape counts, repeated values where they are read."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import torch

from effwidgets.errors import InputError
from effwidgets.profiling.calls import Call, map_tensors
from effwidgets.profiling.shadow import Shadow
from effwidgets.whatif.dims import Following, Place, places_of

__all__ = ["resized", "resized_for_real"]

_VALUES: Final = 65_536  # entries: larger tensors of whole numbers lose their values on a shadow, see `values`


def resized(call: Call, following: Following, size: int, shadow: Shadow) -> Call:
    """Return the call at another size, for a run on ``shadow``; nothing is allocated but small whole numbers.

    Whole numbers and truth values are repeated or cut, so that tokens stay words of the vocabulary.

    Raises:
        InputError: a size that does not come out whole.
    """

    def change(place: Place, shape: tuple[int, ...]) -> torch.Tensor:
        tensor = place.tensor
        readable = not tensor.is_floating_point() and not tensor.is_complex() and not tensor.is_meta
        if readable and math.prod(shape) <= _VALUES:
            return _repeated(tensor, shape)
        with torch.inference_mode(mode=False), shadow.mode:
            return _empty(tensor, shape)

    return _changed(call, following, size, change)


def resized_for_real(call: Call, following: Following, size: int) -> Call:
    """Return the call at another size with real numbers, those handed in, repeated or cut."""
    return _changed(call, following, size, lambda place, shape: _repeated(place.tensor, shape))


def _changed(
    call: Call, following: Following, size: int, change: Callable[[Place, tuple[int, ...]], torch.Tensor]
) -> Call:
    # A tensor may be handed in twice and follow in one place only. Where it follows in both, it stays one: torch's
    # attention takes another way where query and key are the same object.
    made: dict[tuple[int, tuple[int, ...]], torch.Tensor] = {}
    tensors = []
    for place in places_of(call):
        shape = _shape_at(place, following, size) if place.path in following.dims else place.shape
        key = (id(place.tensor), shape)
        if key not in made:
            made[key] = place.tensor if shape == place.shape else change(place, shape)
        tensors.append(made[key])
    rest = iter(tensors)  # both go through the call in the same order
    found: Call = map_tensors(call, lambda _: next(rest))
    return found


def _shape_at(place: Place, following: Following, size: int) -> tuple[int, ...]:
    shape = list(place.shape)
    for dim in following.dims[place.path]:
        shape[dim], rest = divmod(shape[dim] * size, following.reference)
        if rest:
            raise InputError(
                f"At {size}, size {dim} of {place} would be {place.shape[dim] * size / following.reference:.2f}: "
                f"choose sizes at which {place.shape[dim]} × size / {following.reference} is whole."
            )
    return tuple(shape)


def _repeated(tensor: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    with torch.inference_mode(mode=False), torch.no_grad():
        found = tensor.detach()
        for dim, size in enumerate(shape):
            if size != found.shape[dim]:
                if not found.shape[dim]:
                    raise InputError(f"Size {dim} of a tensor of shape {tuple(tensor.shape)} is 0: nothing to repeat.")
                found = found.index_select(dim, torch.arange(size, device=found.device) % found.shape[dim])
        return found.clone().requires_grad_(tensor.requires_grad)


def _empty(tensor: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    # A tensor on meta stands for one on the CPU, as in `make_shadow`.
    device = torch.device("cpu") if tensor.is_meta else tensor.device
    found = torch.empty(shape, dtype=tensor.dtype, device=device)
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(tensor.dim())
    if last is not None and tensor.is_contiguous(memory_format=last) and not tensor.is_contiguous():
        found = found.contiguous(memory_format=last)
    return found.requires_grad_(tensor.requires_grad)
