"""The zoo's convolutions of other makes: groups, deep stems, pictures that grow, one and three dimensions."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = ["DeepStemNet", "PixelShuffleNet", "ResNextNet", "TwoTowerNet", "generator", "signal_stack", "volume"]


class _Grouped(nn.Module):
    # 1x1, 3x3 in groups, 1x1, as Xie et al. 2017, arXiv:1611.05431, figure 3 (c).
    def __init__(self, outer: int, inner: int, groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(outer, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outer, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inside = functional.relu(self.bn1(self.conv1(x)))
        inside = functional.relu(self.bn2(self.conv2(inside)))
        return functional.relu(x + self.bn3(self.conv3(inside)))


class ResNextNet(nn.Module):
    """Stem 3-24, one bottleneck 24-16-16-24 with four groups, head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 3, 2, 1)
        self.block = _Grouped(24, 16, 4)
        self.head = nn.Linear(24, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        logits: torch.Tensor = self.head(self.block(functional.relu(self.stem(x))).mean((2, 3)))
        return logits


class TwoTowerNet(nn.Module):
    """AlexNet in small: response norms, convolutions in two groups with a whole one between them, flatten."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 5, 2, 2)
        self.norm = nn.LocalResponseNorm(3)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.conv2 = nn.Conv2d(8, 12, 3, padding=1, groups=2)
        self.conv3 = nn.Conv2d(12, 16, 3, padding=1)
        self.conv4 = nn.Conv2d(16, 12, 3, padding=1, groups=2)
        self.fc1 = nn.Linear(12 * 4 * 4, 20)
        self.fc2 = nn.Linear(20, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = self.pool(self.norm(functional.relu(self.conv1(x))))
        x = functional.relu(self.conv3(functional.relu(self.conv2(x))))
        logits: torch.Tensor = self.fc2(functional.relu(self.fc1(functional.relu(self.conv4(x)).flatten(1))))
        return logits


class PixelShuffleNet(nn.Module):
    """3-8-16, four channels become one of twice the side, 4-3; a picture out (Shi et al. 2016, arXiv:1609.05158)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 16, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)
        self.out = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a picture with three channels."""
        x = self.shuffle(functional.relu(self.second(functional.relu(self.first(x)))))
        picture: torch.Tensor = self.out(x)
        return picture


class DeepStemNet(nn.Module):
    """Three convolutions as stem, two with stride 2; a residual block whose shortcut averages (He et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem1 = nn.Conv2d(3, 6, 3, 2, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(6)
        self.stem2 = nn.Conv2d(6, 6, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(6)
        self.stem3 = nn.Conv2d(6, 12, 3, 2, 1)
        self.conv1 = nn.Conv2d(12, 16, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 16, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.pool = nn.AvgPool2d(2)
        self.shortcut = nn.Conv2d(12, 16, 1)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = functional.relu(self.norm1(self.stem1(x)))
        x = functional.relu(self.stem3(functional.relu(self.norm2(self.stem2(x)))))
        inside = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        x = functional.relu(inside + self.shortcut(self.pool(x)))
        logits: torch.Tensor = self.head(x.mean((2, 3)))
        return logits


def generator() -> nn.Sequential:
    """Two transposed convolutions, 8-6-3, a batch norm between them: a picture of four times the side."""
    return nn.Sequential(
        nn.ConvTranspose2d(8, 6, 4, 2, 1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.ConvTranspose2d(6, 3, 4, 2, 1),
        nn.Tanh(),
    )


def signal_stack() -> nn.Sequential:
    """Three convolutions over time, 4-8-12-8, a batch norm, mean, head."""
    return nn.Sequential(
        nn.Conv1d(4, 8, 3, padding=1),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Conv1d(8, 12, 3, 2, 1),
        nn.ReLU(),
        nn.Conv1d(12, 8, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


def volume() -> nn.Sequential:
    """Two convolutions over three dimensions, 2-6-8, a batch norm, mean, head."""
    return nn.Sequential(
        nn.Conv3d(2, 6, 3, padding=1, bias=False),
        nn.BatchNorm3d(6),
        nn.ReLU(),
        nn.Conv3d(6, 8, 3, 2, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )
