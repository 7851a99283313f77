"""Sums of squares, norms, and how many numbers are none, of tensors of every dtype and layout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch

__all__ = ["nonfinite", "norm", "square"]

_ROW: Final = 1024
_WIDE: Final = 4  # bytes of a number whose square is taken as it is
_COMPRESSED: Final = frozenset({torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc})


def nonfinite(tensor: torch.Tensor) -> int:
    """Return how many entries are NaN or infinite; whole numbers never are.

    >>> nonfinite(torch.tensor([1.0, math.nan, math.inf]))
    2
    """
    if not (tensor.is_floating_point() or tensor.is_complex()) or not tensor.numel():
        return 0
    stored = _stored(tensor)
    # A sum is 30 times as quick as a look at each entry, and not finite where one of them is not.
    return 0 if torch.isfinite(stored.sum()) else int((~torch.isfinite(stored)).sum())


def square(tensor: torch.Tensor) -> float:
    """Return the sum of squares: of short rows in float32, which is quick, and of their sums in float64.

    >>> square(torch.tensor([3.0, 4.0]).to_sparse_coo())
    25.0
    """
    stored = _stored(tensor)
    flat = (torch.view_as_real(stored) if stored.is_complex() else stored).reshape(-1)
    flat = flat if flat.element_size() >= _WIDE else flat.float()
    whole = len(flat) // _ROW * _ROW
    parts = [torch.linalg.vector_norm(flat[:whole].view(-1, _ROW), dim=1), torch.linalg.vector_norm(flat[whole:])[None]]
    norms = torch.cat(parts).cpu().double()
    return float(norms.square().sum())


def norm(tensors: Sequence[torch.Tensor]) -> float | None:
    """Return the Euclidean norm of all of them together; None where there are none or it is no finite number.

    >>> norm([torch.tensor([3.0]), torch.tensor([[4.0]])])
    5.0
    """
    value = math.sqrt(sum(map(square, tensors))) if tensors else math.nan
    return value if math.isfinite(value) else None


def _stored(tensor: torch.Tensor) -> torch.Tensor:
    """Return the entries that are not zero by layout, in a dtype that torch can add up."""
    tensor = tensor.detach()
    if tensor.layout is torch.sparse_coo:
        tensor = tensor.coalesce().values()
    elif tensor.layout in _COMPRESSED:
        tensor = tensor.values()
    elif tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    # Eight bits are for storage alone: torch has no sum of them.
    return tensor.float() if tensor.is_floating_point() and tensor.element_size() == 1 else tensor
