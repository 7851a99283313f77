"""Layers that a forward did not reach: what they may read stays."""

import torch
from torch import nn

from effwidgets.profiling import profile
from effwidgets.profiling.coupling.unseen import never_run
from effwidgets.records import Group, Member


class Branching(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.stem, self.usual, self.rare = nn.Linear(4, 6), nn.Linear(6, 2), nn.Linear(width, 2)
        self.careful = False

    def forward(self, x):
        x = self.stem(x)
        return self.rare(x) if self.careful else self.usual(x)


def test_a_layer_that_did_not_run_bars_the_channels_that_it_could_read():
    (stem, _) = profile(Branching(6), torch.zeros(2, 4)).groups
    assert stem.obstacle is not None
    assert "'rare' did not run and takes as many inputs" in stem.obstacle
    (stem, _) = profile(Branching(7), torch.zeros(2, 4)).groups
    assert stem.obstacle is None


def test_the_way_that_was_seen_is_told_by_the_readers_width_too():
    modules = {"fc": nn.Linear(48, 2), "spare": nn.Linear(48, 3)}
    group = Group(
        name="conv", channels=3, members=(Member(layer="conv", side="out"), Member(layer="fc", side="in", repeat=16))
    )
    assert "'spare'" in (never_run(modules, {"fc"}, [group])[0].obstacle or "")
    assert never_run(modules, {"fc", "spare"}, [group]) == [group]


def test_an_obstacle_that_stands_is_kept():
    group = Group(name="a", channels=6, members=(Member(layer="a", side="out"),), obstacle="because")
    assert never_run({"idle": nn.Linear(6, 2)}, set(), [group]) == [group]
