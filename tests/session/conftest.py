from __future__ import annotations

import pytest
import torch
from torch import nn


class Net(nn.Module):
    """Small, with a place for each family: a 3x3 conv, a prunable pair, a batch norm, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
        self.bn = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.bn(self.conv1(x)))
        return self.head(torch.relu(self.conv2(y)).mean(dim=(2, 3)))


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net()


@pytest.fixture
def x() -> torch.Tensor:
    return torch.linspace(-1, 1, 8 * 3 * 6 * 6).reshape(8, 3, 6, 6)
