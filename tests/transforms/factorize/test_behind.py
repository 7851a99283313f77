"""What stands right behind a layer."""

from __future__ import annotations

import torch
from torch import nn

from effwidgets.transforms.factorize.behind import behind


def test_a_batch_norm_on_the_way_to_a_relu_is_a_scale_and_a_shift():
    norm = nn.BatchNorm2d(4).eval()
    nn.init.normal_(norm.weight)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), norm, nn.ReLU())
    found = behind(model, "0")
    assert found is not None
    assert found.norm is not None
    x = torch.randn(2, 4, 3, 3)
    scale, shift = (part[:, None, None] for part in found.norm)
    assert torch.allclose(scale * x + shift, norm(x).double(), atol=1e-5)  # float32 against double


def test_what_is_not_certain_is_not_said():
    shared = nn.Conv2d(3, 3, 1)
    assert behind(nn.Sequential(shared, nn.ReLU(), shared), "0") is None
    assert behind(nn.Sequential(nn.Conv2d(3, 3, 1), nn.GELU()), "0") is None
    assert behind(nn.Sequential(nn.Conv2d(3, 3, 1)), "0") is None
    assert behind(nn.ModuleList([nn.Conv2d(3, 3, 1), nn.ReLU()]), "0") is None
    untracked = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False), nn.ReLU())
    assert behind(untracked, "0") is None
