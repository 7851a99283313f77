"""Norms as a training leaves them."""

from __future__ import annotations

import torch
from torch import nn


def moved(model, seed=0):
    """Give every norm statistics and, where it has them, numbers of its own; as after a training."""
    draws = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            module.running_mean.normal_(generator=draws)
            module.running_var.uniform_(0.2, 3.0, generator=draws)
            if module.affine:
                with torch.no_grad():
                    module.weight.uniform_(-1.5, 1.5, generator=draws)
                    module.bias.normal_(generator=draws)
    return model.eval()


class Block(nn.Module):
    """A residual block that norms first, as of tables (Gorishniy et al. 2021)."""

    def __init__(self, width=8):
        super().__init__()
        self.bn, self.widen, self.narrow = nn.BatchNorm1d(width), nn.Linear(width, 16), nn.Linear(16, width)

    def forward(self, x):
        return x + self.narrow(torch.relu(self.widen(self.bn(x))))


def residual():
    torch.manual_seed(0)
    return moved(nn.Sequential(nn.Linear(5, 8), Block(), Block(), nn.BatchNorm1d(8), nn.Linear(8, 3)))
