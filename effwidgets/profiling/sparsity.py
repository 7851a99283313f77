"""How many numbers of a model are zero: beside what the kernels do, which multiply by a zero like by any other number.

A mask (`torch.nn.utils.prune`) and a parametrization change a weight each time it is read; what the layer multiplies by
is counted too, under the name that the layer reads.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Final

import torch
from torch import nn
from torch.nn.utils import parametrize

from effwidgets.errors import InputError
from effwidgets.profiling.compressed import is_sparse
from effwidgets.profiling.dice import Dice
from effwidgets.records import Zeros, ZerosSource

__all__ = ["sparsity_of", "zeros_of"]

_ORIGINAL: Final = "_orig"
_MASK: Final = "_mask"


def sparsity_of(model: nn.Module) -> tuple[Zeros, ...]:
    """Count the zeros in each parameter, and in each weight as it is under its mask or parametrization.

    Reads every number once; the model is not touched. Left out: tensors on meta and those of a shadow, which have no
    numbers, buffers, and weights that a quantised layer has packed.

    Raises:
        InputError: not a module.

    >>> layer = nn.Linear(4, 2)
    >>> _ = nn.init.constant_(layer.bias, 0)
    >>> [(zeros.name, zeros.zeros) for zeros in sparsity_of(layer)]
    [('weight', 0), ('bias', 2)]
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"The model is {type(model).__name__}; a torch.nn.Module was expected.")
    with torch.no_grad(), torch.inference_mode(mode=False):
        return tuple(_found(model))


def zeros_of(model: nn.Module) -> dict[str, int]:
    """Return how many zeros there are, by dotted path of the tensor; see `sparsity_of`.

    >>> layer = nn.Linear(4, 2)
    >>> _ = nn.init.constant_(layer.bias, 0)
    >>> zeros_of(layer)
    {'weight': 0, 'bias': 2}
    """
    return {found.name: found.zeros for found in sparsity_of(model)}


def _found(model: nn.Module) -> Iterator[Zeros]:
    for name, parameter in model.named_parameters():
        if not _is_empty(parameter):
            yield _zeros(name, parameter, "value")
    for path, module in model.named_modules():
        before = f"{path}." if path else ""
        for name, weight in _masked(module):
            yield _zeros(before + name, weight, "mask")
        for name, weight in _parametrized(module):
            yield _zeros(before + name, weight, "parametrization")


def _is_empty(tensor: torch.Tensor) -> bool:
    return tensor.is_meta or hasattr(tensor, "fake_mode")  # a fake tensor names the device that it stands for


def _zeros(name: str, tensor: torch.Tensor, source: ZerosSource) -> Zeros:
    tensor = tensor.detach()
    if is_sparse(tensor):
        stored = tensor.coalesce().values() if tensor.layout is torch.sparse_coo else tensor.values()
        return Zeros(
            name=name, entries=tensor.numel(), zeros=tensor.numel() - int(stored.count_nonzero()), source=source
        )
    return Zeros(
        name=name,
        entries=tensor.numel(),
        zeros=tensor.numel() - int(tensor.count_nonzero()),
        source=source,
        two_of_four=_two_of_four(tensor),
    )


def _two_of_four(weight: torch.Tensor) -> float | None:
    if weight.dim() < 2 or weight.numel() == 0 or weight.shape[1] % 4:
        return None
    groups = (weight == 0).movedim(1, -1).reshape(-1, 4).sum(-1) >= 2
    return int(groups.count_nonzero()) / int(groups.numel())


def _masked(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for name, original in module._parameters.items():
        plain = name.removesuffix(_ORIGINAL)
        mask = module._buffers.get(plain + _MASK)
        if original is None or mask is None or plain == name or _is_empty(original) or _is_empty(mask):
            continue
        yield plain, original * mask.to(original.dtype)


def _parametrized(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    if not parametrize.is_parametrized(module):
        return
    for name, steps in module.parametrizations.items():  # type: ignore[operator, union-attr]
        held = (*steps.parameters(), *steps.buffers())
        if any(map(_is_empty, held)):
            continue
        # On a copy, in eval mode: spectral_norm writes into its buffers while it trains.
        twin = copy.deepcopy(steps).eval()
        with Dice():
            weight = twin()
        if isinstance(weight, torch.Tensor):
            yield name, weight
