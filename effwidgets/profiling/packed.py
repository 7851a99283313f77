"""The tensors that a quantised layer has packed for its kernel, where `parameters()` does not find them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes

__all__ = ["packed_tensors"]


def packed_tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield name and tensor of each weight and bias that ``module`` itself holds packed; none for ordinary layers.

    They are unpacked to be looked at: copies, with the element size of what is packed. Left out: the scales and zero
    points of the quantiser, and what cannot be unpacked.

    >>> list(packed_tensors(nn.Linear(4, 2)))
    []
    """
    for name, value in vars(module).items():
        if isinstance(value, torch.ScriptObject):
            with _disable_current_modes():
                found = list(_unpacked(value))
            for part, tensor in found:
                yield f"{name}.{part}", tensor


def _unpacked(packed: torch.ScriptObject) -> Iterator[tuple[str, torch.Tensor]]:
    if hasattr(packed, "unpack"):
        for name, tensor in zip(("weight", "bias"), packed.unpack(), strict=False):
            if isinstance(tensor, torch.Tensor):
                yield name, tensor
    else:
        # A recurrent layer's state: its kind, biases, numbers, and packed products.
        for place, product in enumerate(_products(packed.__getstate__())):
            for name, tensor in _unpacked(product):
                yield f"{place}.{name}", tensor


def _products(state: object) -> Iterator[torch.ScriptObject]:
    if isinstance(state, torch.ScriptObject):
        yield state
    elif isinstance(state, list | tuple):
        for item in state:
            yield from _products(item)
