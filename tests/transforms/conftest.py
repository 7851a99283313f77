"""A small residual network that was really trained, for techniques whose worth shows on real weights alone."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn


class Residual(nn.Module):
    """Two convolutions of 3 x 3 and a shortcut, which is a convolution where the shapes differ."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        same = stride == 1 and into == out
        self.shortcut = nn.Sequential() if same else nn.Sequential(nn.Conv2d(into, out, 1, stride), nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inside = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(inside)) + self.shortcut(x))


class DigitNet(nn.Module):
    """Stem 1-16, blocks 16-16, 16-32 with stride 2, 32-32, a linear head over the flattened 4 x 4."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.block1 = Residual(16, 16, 1)
        self.block2 = Residual(16, 32, 2)
        self.block3 = Residual(32, 32, 1)
        self.head = nn.Linear(32 * 16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.block3(self.block2(self.block1(self.stem(x)))).flatten(1))


@dataclass(frozen=True, slots=True)
class Trained:
    """The network, 512 pictures that it was trained on in batches of 64, and 500 others with their labels."""

    model: nn.Module
    batches: tuple[torch.Tensor, ...]
    pictures: torch.Tensor
    labels: torch.Tensor

    def accuracy(self, model: nn.Module) -> float:
        """Return the share of the other pictures that ``model`` names."""
        with torch.no_grad():
            return float((model(self.pictures).argmax(1) == self.labels).float().mean())


@pytest.fixture(scope="session")
def trained() -> Trained:
    """Train for a few seconds; the same network each time."""
    data = load_digits()
    x = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    y = torch.tensor(data.target)
    dice = torch.Generator().manual_seed(0)
    order = torch.randperm(len(x), generator=dice)
    train, test = order[:-500], order[-500:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = DigitNet()
    adam = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(8):
        for rows in torch.randperm(len(train), generator=dice).split(64):
            adam.zero_grad()
            some = train[rows]
            nn.functional.cross_entropy(model(x[some]), y[some]).backward()
            adam.step()
    return Trained(model.eval(), x[train[:512]].split(64), x[test], y[test])
