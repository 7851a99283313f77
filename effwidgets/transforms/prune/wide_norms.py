"""Norms over all channels, and what they are when some of the channels go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["NormOfSome", "WideNorm", "is_wide_norm"]

WideNorm: TypeAlias = nn.LayerNorm | nn.RMSNorm


def is_wide_norm(module: nn.Module) -> TypeGuard[WideNorm]:
    """Say whether a layer takes its statistics over the last dimension of what it is given, all channels together.

    >>> is_wide_norm(nn.LayerNorm(8)), is_wide_norm(nn.LayerNorm((4, 8))), is_wide_norm(nn.BatchNorm1d(8))
    (True, False, False)
    """
    return type(module) in (nn.LayerNorm, nn.RMSNorm) and len(module.normalized_shape) == 1  # type: ignore[arg-type]


class NormOfSome(nn.Module):
    """A norm over some of its channels; the others come out as zeros.

    It answers for a pruned norm at the full width: ``(..., channels)`` in, ``(..., channels)`` out.

    Args:
        norm: the norm over all channels; its tensors are read, not copied.
        kept: the channels that its statistics are taken over.

    >>> NormOfSome(nn.LayerNorm(3, eps=0), (0, 2))(torch.tensor([[1.0, 100.0, 3.0]])).tolist()
    [[-1.0, 0.0, 1.0]]
    """

    def __init__(self, norm: WideNorm, kept: Sequence[int]) -> None:
        super().__init__()
        self._norm = norm
        self._places = torch.tensor(tuple(kept), dtype=torch.long)

    def forward(self, x: Tensor) -> Tensor:
        """Return the norm of the kept channels in their places."""
        places = self._places.to(x.device)
        parts = [getattr(self._norm, name, None) for name in ("weight", "bias")]
        weight, bias = (part.index_select(0, places) if isinstance(part, Tensor) else None for part in parts)
        some, shape = x.index_select(-1, places), (len(places),)
        if isinstance(self._norm, nn.RMSNorm):
            found = functional.rms_norm(some, shape, weight, self._norm.eps)
        else:
            found = functional.layer_norm(some, shape, weight, bias, self._norm.eps)
        return found.new_zeros(x.shape).index_copy(-1, places, found)
