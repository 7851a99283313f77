"""A Linear behind a flattened picture as a convolution: nothing changes but the form."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Site, Skip, Step, settings
from effwidgets.testing.zoo import specimen
from effwidgets.transforms.apply import apply
from effwidgets.transforms.blocks.fc_to_conv import FC_TO_CONV
from effwidgets.transforms.foresee import estimate_plan, foresee

EXACT = ("params", "param_bytes", "macs", "backward_macs", "saved_bytes")
STEP = Step(transform="fc_to_conv", layers=("fc1",))


@pytest.mark.parametrize("name", ["flatten_head", "view_head", "stated_view_head", "two_towers"])
def test_outputs_and_costs_stay_and_the_weight_is_the_same_numbers(name: str) -> None:
    found = specimen(name)
    net, x = found.build(), found.inputs()
    done = apply(net, Plan(steps=(STEP,)), x)
    conv = done.model.get_submodule("fc1.1")
    assert isinstance(conv, nn.Conv2d)
    assert conv.kernel_size == (4, 4)
    assert torch.equal(conv.weight.flatten(), net.get_submodule("fc1").weight.flatten())
    with torch.no_grad():
        # One product of float32 in another order of summation.
        torch.testing.assert_close(done.model(*x.args), net(*x.args), rtol=1e-5, atol=1e-5)
    change = FC_TO_CONV.estimate(done.before, STEP)
    for part in EXACT:
        assert getattr(change, part) == getattr(done.profile.cost, part) - getattr(done.before.cost, part) == 0


def test_a_frozen_layer_keeps_its_input_from_then_on_and_the_estimate_knows_it() -> None:
    # The input of fc1 is read through an addition, which keeps nothing: a frozen Linear does not keep it either.
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.fc1 = nn.Linear(4 * 36, 5).requires_grad_(requires_grad=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc1((self.conv(x) + 1).flatten(1))

    done = apply(Net().eval(), Plan(steps=(STEP,)), torch.randn(2, 3, 8, 8))
    assert done.edits, done.skipped
    change = done.profile.cost.saved_bytes - done.before.cost.saved_bytes
    assert change == 2 * 4 * 36 * 4
    assert FC_TO_CONV.estimate(done.before, STEP).saved_bytes == change


def test_the_picture_is_found_where_the_forward_pools_itself() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 3, padding=1)
            self.fc1 = nn.Linear(6 * 3 * 5, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc1(functional.max_pool2d(self.conv(x), 2).flatten(1))

    site = next(FC_TO_CONV.sites(profile(Net().eval(), torch.zeros(2, 3, 6, 10))))
    assert isinstance(site, Site)
    assert "6 channels of 3 x 5" in site.reason
    assert not site.advised


def test_channels_before_it_can_be_pruned_afterwards_and_it_can_be_split() -> None:
    found = specimen("flatten_head")
    net, x = found.build(), found.inputs()
    known = profile(net, x)
    prune = Step(transform="channel_prune", layers=("conv2",), settings=settings(channels=4))
    split = Step(transform="spatial_svd", layers=("fc1.1",), settings=settings(rank=8, anyway=True))
    for other in (prune, split):
        plan = Plan(steps=(STEP, other))
        done = apply(net, plan, x, known=known, repair=False)
        assert len(done.edits) == 2, done.skipped
        told = estimate_plan(known, plan)
        for part in EXACT:
            assert getattr(told, part) == getattr(done.profile.cost, part) - getattr(known.cost, part)


def test_the_groups_afterwards_are_those_of_the_edited_model() -> None:
    found = specimen("two_towers")
    net, x = found.build(), found.inputs()
    known = profile(net, x)
    real = profile(apply(net, Plan(steps=(STEP,)), x).model, x).groups

    def written(groups: Any) -> set[Any]:
        return {(group.name, group.channels, frozenset(group.members), group.saved_bytes_each) for group in groups}

    assert written(foresee(known, STEP).groups) == written(real)


def test_every_other_linear_is_skipped_with_the_reason() -> None:
    found = specimen("flatten_head")
    reasons = {site.layers[0]: site.reason for site in FC_TO_CONV.sites(profile(found.build(), found.inputs()))}
    assert "no flattened picture" in reasons["fc2"]
    tokens = nn.Sequential(nn.Linear(8, 8)).eval()
    only = next(FC_TO_CONV.sites(profile(tokens, torch.zeros(2, 5, 8))))
    assert isinstance(only, Skip)
    assert "several dimensions" in only.reason
