"""The tensors that a quantised layer has packed for its kernel, where `parameters()` does not find them."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Iterator
from typing import Final

import torch
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes

__all__ = ["hear_torch_out", "packed_tensors"]

_LOCK: Final = threading.Lock()


def hear_torch_out() -> None:
    """Let torch say once, where nobody listens, that quantised tensors will go some day.

    It says so for the first one of a process, also for one that it unpacks itself; it is no news to who looks at one.
    """
    with _LOCK:
        _said()


@functools.cache
def _said() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch._make_per_tensor_quantized_tensor(torch.zeros(1, dtype=torch.int8), 1.0, 0)


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
                hear_torch_out()
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
