"""The zoo's layers that are more than they seem: masked, normalised, parametrized, frozen, behind a branch."""

from __future__ import annotations

import warnings

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, prune

from effwidgets.testing.convolutional import ResidualNet

__all__ = [
    "Branching",
    "MaskedNet",
    "PlantedNet",
    "half_frozen",
    "normed_perceptron",
    "old_weight_norm",
    "symmetric",
    "weight_norm",
]


class MaskedNet(nn.Module):
    """Two convolutions and two linear layers; one of each is pruned by a mask of torch.nn.utils.prune."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 2, 1)
        self.conv2 = nn.Conv2d(8, 12, 3, padding=1)
        self.fc1 = nn.Linear(12, 16)
        self.fc2 = nn.Linear(16, 10)
        prune.l1_unstructured(self.conv2, "weight", 0.5)  # type: ignore[no-untyped-call]
        prune.ln_structured(self.fc2, "weight", 0.25, n=2, dim=1)  # type: ignore[no-untyped-call]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = functional.relu(self.conv2(functional.relu(self.conv1(x))))
        logits: torch.Tensor = self.fc2(functional.relu(self.fc1(x.mean((2, 3)))))
        return logits


class Branching(nn.Module):
    """Looks at its numbers and takes one of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 16)
        self.left = nn.Linear(16, 16)
        self.right = nn.Linear(16, 16)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return five numbers."""
        inside = functional.relu(self.first(x))
        inside = self.left(inside) if x.sum() > 0 else self.right(inside)
        logits: torch.Tensor = self.head(functional.relu(inside))
        return logits


class PlantedNet(nn.Module):
    """A stem 3-8 and a residual block 8-12-8, of which the last channels are zero wherever they run.

    Args:
        zero: how many of the 12 channels inside the block, and of the 8 around it, are planted: gamma and beta of the
            batch norms behind them are zero, their weights are not.
    """

    def __init__(self, zero: int) -> None:
        super().__init__()
        self.zero = zero
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.conv1 = nn.Conv2d(8, 12, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(12)
        self.conv2 = nn.Conv2d(12, 8, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 10)

    def plant(self) -> None:
        """Silence them: after everything else has been given its numbers."""
        with torch.no_grad():
            for norm in (self.norm, self.bn1, self.bn2):
                norm.weight[norm.num_features - self.zero :] = 0
                norm.bias[norm.num_features - self.zero :] = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = functional.relu(self.norm(self.stem(x)))
        inside = functional.relu(self.bn1(self.conv1(x)))
        logits: torch.Tensor = self.head(functional.relu(x + self.bn2(self.conv2(inside))).mean((2, 3)))
        return logits


class _Symmetric(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.triu() + x.triu(1).transpose(-1, -2)


def _three() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))


def weight_norm() -> nn.Sequential:
    """Three linear layers, 8-16-16-4; the first and the last as length and direction, by a parametrization."""
    model = _three()
    for layer in (model[0], model[4]):
        parametrizations.weight_norm(layer)
    return model


def old_weight_norm() -> nn.Sequential:
    """The same by the hook that came before parametrizations and is still found in many models."""
    model = _three()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # that it is old, which is why it is here
        for layer in (model[0], model[4]):
            nn.utils.weight_norm(layer)
    return model


def symmetric() -> nn.Sequential:
    """Three linear layers, 12-12-12-5; the weight of the second is kept symmetric by a parametrization of one's own."""
    model = nn.Sequential(nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 5))
    parametrize.register_parametrization(model[2], "weight", _Symmetric())
    return model


def half_frozen() -> nn.Module:
    """A residual network whose stem and first block learn nothing, as when a trained one is tuned to a new task."""
    model = ResidualNet()
    model.stem.requires_grad_(requires_grad=False)
    model.block1.requires_grad_(requires_grad=False)
    return model


def normed_perceptron() -> nn.Sequential:
    """Three linear layers, 12-24-24-5, with batch norms between them."""
    return nn.Sequential(
        nn.Linear(12, 24, bias=False),
        nn.BatchNorm1d(24),
        nn.ReLU(),
        nn.Linear(24, 24),
        nn.BatchNorm1d(24),
        nn.ReLU(),
        nn.Linear(24, 5),
    )
