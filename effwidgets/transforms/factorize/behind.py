"""What stands right behind a layer, where the modules alone tell it: the next ones of its `torch.nn.Sequential`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Behind", "behind"]

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Behind:
    """A ReLU behind a layer.

    Attributes:
        norm: scale and shift, in double precision, of the batch norm between them in evaluation; None where none is.
    """

    norm: tuple[Tensor, Tensor] | None


def behind(model: nn.Module, name: str) -> Behind | None:
    """Return the ReLU that all that layer ``name`` answers goes into, through a batch norm or at once; None otherwise.

    Only what a `torch.nn.Sequential` runs next is known; what another forward does is not.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    >>> behind(model, "0") is not None, behind(model, "2") is not None
    (True, False)
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    layer = modules[name]
    if sum(module is layer for module in modules.values()) > 1:
        return None
    path, _, child = name.rpartition(".")
    parent = modules[path]
    if type(parent) is not nn.Sequential:
        return None
    names = list(parent._modules)  # noqa: SLF001  named_children leaves second names out
    following = [parent._modules[each] for each in names[names.index(child) + 1 :]]  # noqa: SLF001
    norm = following[0] if following and isinstance(following[0], _NORMS) else None
    rest = following[1:] if norm is not None else following
    if not rest or type(rest[0]) is not nn.ReLU or (norm is not None and norm.running_var is None):
        return None
    return Behind(norm=None if norm is None else _affine(norm))


def _affine(norm: nn.modules.batchnorm._BatchNorm) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None  # noqa: S101  asked before
    assert norm.running_var is not None  # noqa: S101
    with torch.no_grad():
        scale = (norm.running_var.double() + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight.double()
        shift = -norm.running_mean.double() * scale
        return scale, shift if norm.bias is None else shift + norm.bias.double()
