"""Copies of what a module is called with, so that a call can be repeated though it writes into its inputs."""

from __future__ import annotations

import copy
from typing import Any, Final

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from effwidgets.profiling.calls import tensors_in

__all__ = ["Copier", "copy_tensor"]

_ATOMS: Final = frozenset({type(None), bool, int, float, str, torch.dtype, torch.device, torch.Size})
_WIDEST: Final = 8  # times its own entries: a view whose entries stand further apart than that is packed


class Copier:
    """Copies arguments for one call: tensors with their strides, and each object once, however often it is named.

    Identity matters: `nn.MultiheadAttention` takes its fused path where query *is* key. Modules and parameters are not
    copied: a module may be handed to another one, and parameters are what it is measured with.

    Args:
        model: whose modules stay themselves.
    """

    def __init__(self, model: nn.Module) -> None:
        self._kept: dict[int, Any] = {id(module): module for module in model.modules()}

    def __call__(self, value: Any) -> Any:
        """Return a copy of nested arguments.

        Raises:
            Exception: whatever an object that cannot be copied raises.
        """
        return self._copy(value, {})

    def _copy(self, value: Any, memo: dict[int, Any]) -> Any:
        if isinstance(value, torch.Tensor):
            if id(value) not in memo:
                memo[id(value)] = value if isinstance(value, nn.Parameter) else copy_tensor(value)
            return memo[id(value)]
        kind = type(value)
        if kind in _ATOMS:
            return value
        if kind is tuple or kind is list:
            return kind(self._copy(item, memo) for item in value)
        if kind is dict:
            return {name: self._copy(item, memo) for name, item in value.items()}
        # A cache of keys and values, an output of transformers, a packed sequence: whatever it is, with its tensors.
        for tensor in tensors_in(value):
            self._copy(tensor, memo)
        with _Deep():
            return copy.deepcopy(value, {**self._kept, **memo})


class _Deep(TorchFunctionMode):
    """Lets `copy.deepcopy` copy the tensors inside of objects as others are, also those with a history."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.__deepcopy__:
            tensor, memo = args
            return memo.setdefault(id(tensor), copy_tensor(tensor))
        return func(*args, **(kwargs or {}))


def copy_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor of the same values that lies in memory as this one does: kernels take other ways for others.

    >>> copy_tensor(torch.zeros(1, 3).expand(4, 3)).stride()
    (0, 1)
    """
    tensor = tensor.detach()
    strided = type(tensor) is torch.Tensor and tensor.layout is torch.strided and not tensor.is_quantized
    if not strided or tensor.is_nested or tensor.is_conj() or tensor.is_neg() or not tensor.numel():
        return tensor.clone()
    span = 1 + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    if span == tensor.numel() or span > _WIDEST * tensor.numel():
        return tensor.clone()  # keeps the order of the strides
    flat = tensor.as_strided((span,), (1,), tensor.storage_offset()).clone()
    return flat.as_strided(tensor.shape, tensor.stride())
