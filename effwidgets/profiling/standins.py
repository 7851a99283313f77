"""What an operation returns on a shadow, where torch's own fake kernel refuses what the real one takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import torch

__all__ = ["STAND_INS", "StandIn"]

StandIn: TypeAlias = Callable[..., Any]


def _grouped_mm(
    first: torch.Tensor,
    second: torch.Tensor,
    offs: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    # The fake kernel takes bfloat16 alone; the CPU's takes float32 and float16 too, and mixtures of experts use it so.
    del bias
    groups = () if offs is None else (offs.numel(),)
    if first.dim() == second.dim() == 2:
        shape = (*groups, first.shape[0], second.shape[1])
    elif first.dim() == second.dim() == 3:
        shape = (first.shape[0], first.shape[1], second.shape[2])
    else:
        shape = (first.shape[-2], second.shape[-1])
    inner = first.shape[-1], second.shape[-2]
    if inner[0] != inner[1]:
        raise RuntimeError(f"contraction dimension of mat_a and mat_b must match, got {inner[0]} and {inner[1]}")
    dtype = out_dtype or first.dtype
    row = -(-shape[-1] * dtype.itemsize // 16) * 16 // dtype.itemsize  # each row begins at a multiple of 16 bytes
    strides = (shape[-2] * row, row, 1)[-len(shape) :]
    return first.new_empty_strided(shape, strides, dtype=dtype)


STAND_INS: Final[dict[Any, StandIn]] = (
    {torch.ops.aten._grouped_mm.default: _grouped_mm} if hasattr(torch.ops.aten, "_grouped_mm") else {}
)
"""Operation -> what makes its output from the same arguments."""
