"""What a profile will say of a layer that became a chain: against the profile of the edited model."""

from __future__ import annotations

import dataclasses
import warnings

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from effwidgets.profiling.profile import ProfileOptions, profile
from effwidgets.records import Plan, Profile, Site, Skip, Step, settings
from effwidgets.testing.zoo import specimen
from effwidgets.transforms.apply import apply, hypothetical
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.foresee import estimate_plan, foresee

CHAINS = ("low_rank", "spatial_svd", "tucker2", "bottleneck", "cp", "depthwise_separable")
COUNTED = ("params", "param_bytes", "macs", "backward_macs", "saved_bytes", "output_bytes")
STANDING = ("name", "kind", "aliases", "config", "tensors", "inputs", "outputs", "calls")


def steps(known: Profile) -> list[Step]:
    """One step at 0.6 of the break-even for each site of each technique."""
    found = []
    for name in CHAINS:
        for site in TRANSFORMS[name].sites(known):
            if isinstance(site, Site):
                ranks = {knob.name: max(1, int(0.6 * (knob.break_even or knob.high))) for knob in site.knobs}
                found.append(Step(transform=name, layers=site.layers, settings=settings(ranks)))
    return found


def check(model: nn.Module, inputs: object) -> int:
    known = profile(model, inputs)
    asked = steps(known)
    for step in asked:
        is_so = hypothetical(model, Plan(steps=(step,)), inputs, known=known)
        said = foresee(known, step)
        estimate = TRANSFORMS[step.transform].estimate(known, step)
        for name in COUNTED:
            assert getattr(estimate, name) == getattr(is_so.cost - known.cost, name), (step, name)
        for one, other in zip(said.layers, is_so.layers, strict=True):
            for name in STANDING:
                assert getattr(one, name) == getattr(other, name), (step, one.name, name)
            for name in COUNTED:
                assert getattr(one.self_cost, name) == getattr(other.self_cost, name), (step, one.name, name)
                assert getattr(one.cost, name) == getattr(other.cost, name), (step, one.name, name)
    return len(asked)


@pytest.mark.parametrize("name", ["residual", "shared_conv", "channel_shuffle", "vit", "gpt", "bfloat16", "resnext"])
def test_every_field_and_every_layer_is_foreseen_to_the_integer(name):
    found = specimen(name)
    assert check(found.build(), found.inputs()) > 0


# The quick suite looks at one of two: each way of padding and of freezing, never all pairs.
PADDED = [
    pytest.param(mode, frozen, id=f"{frozen}-{mode}", marks=[] if (i + j) % 2 == 0 else [pytest.mark.slow])
    for i, mode in enumerate(("zeros", "circular", "reflect", "replicate"))
    for j, frozen in enumerate(("nothing", "weights", "all"))
]


@pytest.mark.parametrize(("mode", "frozen"), PADDED)
def test_padded_copies_and_what_frozen_weights_keep_are_foreseen(mode, frozen):
    model = nn.Sequential(
        nn.Conv2d(8, 16, 3, padding=1, padding_mode=mode, stride=2),
        nn.Conv2d(16, 16, (3, 2), padding=(2, 1), padding_mode=mode),
        nn.ReLU(),
        nn.Conv2d(16, 8, 3, padding=1, padding_mode=mode, groups=2),
        nn.Conv2d(8, 8, 1, padding=1, padding_mode=mode),
    )
    if frozen != "nothing":
        model[0].weight.requires_grad_(False)
        model[1].requires_grad_(False)
    if frozen == "all":
        model[0].requires_grad_(False)
    assert check(model, torch.zeros(2, 8, 8, 8)) > 8


def test_padding_that_comes_out_odd_is_foreseen_or_skipped():
    model = nn.Sequential(
        nn.Conv2d(16, 16, (2, 3), padding="same"),
        nn.ReLU(),
        nn.Conv2d(16, 16, (3, 2), padding="same"),
        nn.Conv2d(16, 8, 4, padding="same"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that it makes a copy
        assert check(model, torch.zeros(2, 16, 8, 8)) > 4
        known = profile(model, torch.zeros(2, 16, 8, 8))
    skips = [found for found in TRANSFORMS["spatial_svd"].sites(known) if isinstance(found, Skip)]
    assert [skip.layers for skip in skips] == [("2",)]
    assert "padded copy for one factor only" in skips[0].reason


class Auto(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide, self.conv, self.twice = nn.Linear(16, 24), nn.Conv1d(24, 16, 3, padding=1), nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = self.conv(self.wide(x).transpose(1, 2)).relu().transpose(1, 2)
            return self.twice(self.twice(y))


@pytest.mark.parametrize("frozen", [False, True])
def test_the_copies_that_autocast_keeps_are_foreseen(frozen):
    model = Auto()
    model.conv.weight.requires_grad_(not frozen)
    model.twice.weight.requires_grad_(not frozen)
    assert check(model, torch.zeros(2, 5, 16)) > 2


class Again(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(16, 24)
        self.inner = nn.Sequential(nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 24))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(self.inner, self.first(x), use_reentrant=False)


def test_inside_of_a_checkpoint_what_can_be_told_is_and_the_rest_is_skipped():
    assert check(Again(), torch.zeros(2, 16)) > 1
    known = profile(Again(), torch.zeros(2, 16))
    reasons = {
        found.layers[0]: found.reason for found in TRANSFORMS["low_rank"].sites(known) if isinstance(found, Skip)
    }
    assert "at the end of a checkpoint" in reasons["inner.2"]


@pytest.mark.parametrize("name", ["residual", "vit", "inverted_residual"])
def test_the_groups_of_channels_are_those_that_a_new_profile_finds(name):
    found = specimen(name)
    model, inputs = found.build(), found.inputs()
    known = profile(model, inputs)
    for step in steps(known):
        if any(value == 1 for _, value in step.settings):
            continue  # a single channel is nothing to prune, and is not followed
        edited = apply(model, Plan(steps=(step,)), inputs, known=known)
        assert edited.edits, edited.skipped
        now = [_sorted(group) for group in profile(edited.model, inputs).groups]
        assert [_sorted(group) for group in foresee(known, step).groups] == now, step


def _sorted(group):  # pass-through layers stand where the forward meets them; their order says nothing
    return dataclasses.replace(
        group, members=tuple(sorted(group.members, key=repr)), saved_at=tuple(sorted(group.saved_at))
    )


def test_a_factor_can_be_split_again_and_the_plan_adds_up():
    model, inputs = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Conv1d(8, 8, 3)), torch.zeros(2, 8, 64)
    plan = Plan(
        steps=(
            Step(transform="low_rank", layers=("0",), settings=settings(rank=24)),
            Step(transform="low_rank", layers=("0.1",), settings=settings(rank=8)),
            Step(transform="tucker2", layers=("2",), settings=settings(rank_in=3, rank_out=4)),
            Step(transform="depthwise_separable", layers=("2.1",), settings=settings(multiplier=1)),
        )
    )
    known = profile(model, inputs)
    edited = apply(model, plan, inputs, known=known)
    assert not edited.skipped
    change, said = edited.profile.cost - known.cost, estimate_plan(known, plan)
    for name in COUNTED:
        assert getattr(said, name) == getattr(change, name), name


@pytest.mark.parametrize("name", ["residual", "frozen", "half_frozen", "gpt", "bfloat16"])
def test_estimates_hold_for_a_profile_that_counts_no_backward(name: str) -> None:
    found = specimen(name)
    model, inputs = found.build(), found.inputs()
    forward = ProfileOptions(backward=False)
    known = profile(model, inputs, options=forward)
    for transform in (TRANSFORMS["low_rank"], TRANSFORMS["spatial_svd"]):
        for site in transform.sites(known):
            if isinstance(site, Site):
                rank = int(site.knobs[0].break_even or 1)
                step = Step(transform=site.transform, layers=site.layers, settings=(("rank", rank),))
                change = profile(apply(model, Plan(steps=(step,)), inputs).model, inputs, options=forward).cost
                said = transform.estimate(known, step)
                assert {field: getattr(said, field) for field in transform.exact} == {
                    field: getattr(change - known.cost, field) for field in transform.exact
                }, str(step)
