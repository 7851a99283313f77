"""How long a block is fitted, and what stops it."""

import pytest
import torch
from torch import nn

from effwidgets.errors import Cancelled
from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Site, Skip, Step, settings
from effwidgets.transforms.apply import apply
from effwidgets.transforms.blocks.fire import FIRE


class Adds(nn.Module):
    def __init__(self, write=False):
        super().__init__()
        self.write = write
        self.one, self.two = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x):
        if self.write:
            x = x.relu_()
        return self.two(self.one(x).relu()) + x


def net(write=False):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 8, 1), Adds(write), nn.Conv2d(8, 2, 1))


def pictures(number, side):
    return torch.randn(number, 3, side, side, generator=torch.Generator().manual_seed(1))


PLAN = Plan(steps=(Step(transform="fire", layers=("1",), settings=settings(squeeze=6)),))


@pytest.mark.parametrize(("number", "side", "steps"), [(4, 6, 20), (8, 12, 60), (128, 6, 120)])
def test_what_a_few_numbers_say_is_learnt_in_a_few_steps(number, side, steps):
    # 144 places are worth 20 steps; 7 x 144 (one picture of eight is held out) 60 rounds, as are 112 pictures, by twos.
    done = apply(net(), PLAN, pictures(4, side), calibration=[pictures(number, side)], repair=False)
    assert f" in {steps} steps and" in done.edits[0].notes[0]


def test_a_fit_is_stopped_in_the_middle_and_what_stopped_it_comes_out():
    asked = []

    def check():
        asked.append(None)
        if len(asked) == 15:  # steps of the plan alone would ask a few times
            raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        apply(net(), PLAN, pictures(4, 12), calibration=[pictures(64, 12)], repair=False, check=check)
    assert len(asked) == 15


def test_an_error_of_the_check_ends_the_work_and_is_not_a_failure_of_the_step():
    asked = []

    def check():
        asked.append(None)
        if len(asked) == 15:
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        apply(net(), PLAN, pictures(4, 12), calibration=[pictures(64, 12)], repair=False, check=check)


def test_a_block_that_writes_into_its_input_is_left_alone():
    sites = {site.layers: site for site in FIRE.sites(profile(net(write=True), pictures(2, 6)))}
    assert isinstance(sites[("1",)], Skip)
    assert "writes into its input" in sites[("1",)].reason
    assert isinstance({site.layers: site for site in FIRE.sites(profile(net(), pictures(2, 6)))}[("1",)], Site)
