"""Why layers are left alone, where only the profile is read."""

import torch
from torch import nn

from effwidgets.profiling import profile
from effwidgets.records import Skip
from effwidgets.transforms import TRANSFORMS


class Turned(nn.Module):
    """A linear layer of somebody else's: its weight lies the other way round, as in GPT-2."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8, 16))

    def forward(self, x):
        return x @ self.weight


def test_a_layer_of_a_foreign_class_that_does_work_is_listed_with_the_reason():
    found = profile(nn.Sequential(Turned(), nn.Linear(16, 16)), torch.ones(2, 8))
    skips = [one for one in TRANSFORMS["low_rank"].sites(found) if isinstance(one, Skip)]
    assert [(skip.layers, "Turned, is not one of torch.nn's" in skip.reason) for skip in skips] == [(("0",), True)]
