"""The zoo's convolutional half: pictures of 2 x 3 x 16 x 16 in, ten numbers out, unless they say otherwise."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = [
    "ConcatNet",
    "ExciteNet",
    "FireNet",
    "FlattenNet",
    "InvertedNet",
    "ResidualNet",
    "SharedConvNet",
    "ShuffleNet",
    "StatedViewNet",
    "UNet",
    "ViewNet",
]


class _Residual(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inner != outer:
            self.shortcut = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inside = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(inside)) + self.shortcut(x))


class ResidualNet(nn.Module):
    """Stem 3-8, a residual block 8-8, one 8-16 with stride 2, mean, linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.block1 = _Residual(8, 8, 1)
        self.block2 = _Residual(8, 16, 2)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        logits: torch.Tensor = self.head(self.block2(self.block1(self.stem(x))).mean((2, 3)))
        return logits


class _Inverted(nn.Module):
    def __init__(self, outer: int, inner: int) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(outer, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU6())
        self.depthwise = nn.Sequential(
            nn.Conv2d(inner, inner, 3, 1, 1, groups=inner, bias=False), nn.BatchNorm2d(inner), nn.ReLU6()
        )
        self.project = nn.Sequential(nn.Conv2d(inner, outer, 1, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.project(self.depthwise(self.expand(x)))
        return out


class InvertedNet(nn.Module):
    """Stem 3-8, one inverted residual 8-24-8 with a depthwise convolution, head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.block = _Inverted(8, 24)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        logits: torch.Tensor = self.head(self.pool(self.block(functional.relu(self.stem(x)))).flatten(1))
        return logits


class ConcatNet(nn.Module):
    """Dense concatenation: 3-8, 8-4, (8+4)-4, and a 1x1 over all 16."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 1, 1)
        self.second = nn.Conv2d(8, 4, 3, 1, 1)
        self.third = nn.Conv2d(12, 4, 3, 1, 1)
        self.mix = nn.Conv2d(16, 6, 1)
        self.head = nn.Linear(6, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        first = functional.relu(self.first(x))
        second = functional.relu(self.second(first))
        third = functional.relu(self.third(torch.cat([first, second], 1)))
        mixed = functional.relu(self.mix(torch.cat([first, second, third], 1)))
        logits: torch.Tensor = self.head(mixed.mean((2, 3)))
        return logits


class FireNet(nn.Module):
    """Stem 3-8, a fire module: squeeze to 4, expand 1x1 to 8 beside 3x3 to 8; a convolution as head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.squeeze = nn.Conv2d(8, 4, 1)
        self.expand1 = nn.Conv2d(4, 8, 1)
        self.expand3 = nn.Conv2d(4, 8, 3, padding=1)
        self.head = nn.Conv2d(16, 10, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        squeezed = functional.relu(self.squeeze(functional.relu(self.stem(x))))
        both = torch.cat([functional.relu(self.expand1(squeezed)), functional.relu(self.expand3(squeezed))], 1)
        return functional.adaptive_avg_pool2d(self.head(both), 1).flatten(1)


class UNet(nn.Module):
    """Down 3-8, 8-16 at half the size, up by a transposed convolution 16-8, skip, 16-4; a picture out."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, padding=1)
        self.bottom = nn.Conv2d(8, 16, 3, padding=1)
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.out = nn.Conv2d(16, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a picture with four channels."""
        skip = functional.relu(self.down(x))
        bottom = functional.relu(self.bottom(functional.max_pool2d(skip, 2)))
        picture: torch.Tensor = self.out(torch.cat([skip, functional.relu(self.up(bottom))], 1))
        return picture


class ExciteNet(nn.Module):
    """3-16, squeeze-and-excitation through 4, 16-8, head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.reduce = nn.Conv2d(16, 4, 1)
        self.expand = nn.Conv2d(4, 16, 1)
        self.conv = nn.Conv2d(16, 8, 3)
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = functional.relu(self.stem(x))
        gate = torch.sigmoid(self.expand(functional.relu(self.reduce(x.mean((2, 3), keepdim=True)))))
        logits: torch.Tensor = self.head(functional.relu(self.conv(x * gate)).mean((2, 3)))
        return logits


class SharedConvNet(nn.Module):
    """One 8-8 convolution that runs twice, under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.again = self.conv
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = functional.relu(self.stem(x))
        x = functional.relu(self.again(functional.relu(self.conv(x))))
        logits: torch.Tensor = self.head(x.mean((2, 3)))
        return logits


class ShuffleNet(nn.Module):
    """3-8, a convolution in two groups, a channel shuffle, another in two groups."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.group1 = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.group2 = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = functional.relu(self.group1(functional.relu(self.stem(x))))
        batch, channels, height, width = x.shape
        x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, channels, height, width)
        logits: torch.Tensor = self.head(functional.relu(self.group2(x)).mean((2, 3)))
        return logits


class FlattenNet(nn.Module):
    """Two convolutions, `nn.Flatten` over 4 x 4 pictures, two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5, 2, 2)
        self.conv2 = nn.Conv2d(6, 8, 3, 2, 1)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(8 * 4 * 4, 20)
        self.fc2 = nn.Linear(20, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = functional.relu(self.conv2(functional.relu(self.conv1(x))))
        logits: torch.Tensor = self.fc2(functional.relu(self.fc1(self._flat(x))))
        return logits

    def _flat(self, x: torch.Tensor) -> torch.Tensor:
        flat: torch.Tensor = self.flatten(x)
        return flat


class ViewNet(FlattenNet):
    """The same with ``view(batch, -1)``, which follows when channels go."""

    def _flat(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(x.size(0), -1)


class StatedViewNet(FlattenNet):
    """The same with ``view(-1, 128)``, which breaks when channels go."""

    def _flat(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(-1, 128)
