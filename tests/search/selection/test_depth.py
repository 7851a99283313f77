"""Blocks left out, one more each time, and the rest narrower."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from effwidgets.errors import TransformError
from effwidgets.profiling import profile
from effwidgets.records import Plan
from effwidgets.search.selection.depth import depths, fewer_layers
from effwidgets.transforms.apply import apply
from effwidgets.transforms.foresee import estimate_plan


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.widen, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.narrow(torch.relu(self.widen(x)))


@pytest.fixture(scope="module")
def deep():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 16), *(Block(16) for _ in range(3)), nn.Linear(16, 4)).eval()


@pytest.fixture(scope="module")
def seen(deep):
    return profile(deep, torch.eye(6))


def worth(plan):
    # Made up: block 2 is worth least, then 3, then 1, whatever else is gone.
    return sum({"1": 9.0, "2": 1.0, "3": 4.0}[step.layers[0]] for step in plan)


def names(plan):
    return [step.layers[0] for step in plan if step.transform == "drop_block"]


def test_the_block_that_is_worth_least_goes_first_and_stays_gone(seen):
    assert [names(plan) for plan in depths(seen, worth, 6)] == [["2"], ["2", "3"], ["2", "3", "1"]]


def test_with_few_calls_blocks_go_in_the_order_of_what_each_does_alone(seen):
    calls = []

    def judge(plan):
        calls.append(plan)
        return worth(plan)

    assert [names(plan) for plan in depths(seen, judge, 3)] == [["2"], ["2", "3"], ["2", "3", "1"]]
    assert len(calls) == 3
    assert depths(seen, judge, 2) == ()
    assert len(calls) == 3


def test_where_the_order_depends_on_what_is_gone_each_step_looks_again(seen):
    def judge(plan):
        gone = set(names(plan))
        return {frozenset("2"): 1.0, frozenset("3"): 2.0, frozenset("1"): 3.0}.get(
            frozenset(gone), 5.0 if gone == {"2", "1"} else 8.0
        )

    assert names(depths(seen, judge, 6)[1]) == ["2", "1"]


def test_a_block_that_cannot_be_judged_goes_last(seen):
    def judge(plan):
        if "2" in names(plan):
            raise TransformError("not this one")
        return worth(plan)

    assert names(depths(seen, judge, 6)[0]) == ["3"]


def test_a_model_without_blocks_has_no_depths(model, x):
    assert depths(profile(model, x), worth, 9) == ()
    assert fewer_layers(profile(model, x), ()) == ()


def test_depths_meet_widths_and_every_plan_can_be_carried_out(deep, seen):
    plans = fewer_layers(seen, depths(seen, worth, 6))
    assert len(set(plans)) == len(plans)
    assert {len(names(plan)) for plan in plans} == {1, 2, 3}
    for plan in plans[::4]:
        made = apply(copy.deepcopy(deep), plan, torch.eye(6))
        assert made.skipped == ()
        assert made.profile.cost.macs - seen.cost.macs == estimate_plan(seen, plan).macs
    whole = [plan for plan in plans if len(plan) == len(names(plan))]
    assert [names(plan) for plan in whole] == [["2"], ["2", "3"], ["2", "3", "1"]]
    assert Plan() not in plans
