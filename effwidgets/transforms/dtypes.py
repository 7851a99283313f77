"""What a dtype that is written as text takes."""

from __future__ import annotations

import torch

__all__ = ["bytes_each"]


def bytes_each(dtype: str) -> int:
    """Return the bytes of one element of a dtype that is written without ``torch.``.

    >>> bytes_each("bfloat16")
    2
    """
    found: torch.dtype = getattr(torch, dtype)
    return found.itemsize
