"""A tiny model that works without layers: products of tensors, raw parameters, one layer under two names."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = ["Functional"]


class Functional(nn.Module):
    """`torch.matmul`, ``@``, `torch.einsum` and `functional.linear`, after a shared layer that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 64)
        self.again = self.first
        self.mix = nn.Parameter(torch.randn(64, 32))
        self.weight = nn.Parameter(torch.randn(10, 32))
        self.bias = nn.Parameter(torch.randn(10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ten numbers for each row of ``(batch, rows, 64)``."""
        x = torch.relu(self.again(torch.relu(self.first(x))))
        scores = torch.matmul(x, x.transpose(1, 2))
        x = torch.softmax(scores, -1) @ x
        return functional.linear(torch.einsum("brw,wm->brm", x, self.mix), self.weight, self.bias)
