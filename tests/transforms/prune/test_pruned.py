"""The profile that is foreseen after prunings, against the one that is made of the model that was cut."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

from effwidgets.profiling.profile import ProfileOptions, profile
from effwidgets.records import Plan, Profile, Site, Step, settings
from effwidgets.testing.zoo import MODELS, Specimen, specimen
from effwidgets.transforms.apply import apply, hypothetical
from effwidgets.transforms.foresee import change_between, estimate_plan, foresee
from effwidgets.transforms.prune.channel_prune import CHANNEL_PRUNE
from effwidgets.transforms.prune.trims import Trim

OURS = ProfileOptions(second_opinion=False)
EXACT = ("params", "param_bytes", "macs", "backward_macs", "saved_bytes")


def step(site: Site, share: float) -> Step:
    (knob, *_) = site.knobs
    width = max(int(knob.low), int(knob.high * share) // knob.multiple * knob.multiple)
    return Step(transform="channel_prune", layers=site.layers, settings=settings(channels=width))


def sites(known: Profile) -> list[Site]:
    return [found for found in CHANNEL_PRUNE.sites(known) if isinstance(found, Site)]


def same(seen: Profile, real: Profile) -> None:
    """Every layer's own tensors, settings and exact costs; a member's shapes; every group that is told."""
    assert {name: getattr(seen.cost, name) for name in EXACT} == {name: getattr(real.cost, name) for name in EXACT}
    members = {member.layer for group in seen.groups for member in group.members}
    for said, is_so in zip(seen.layers, real.layers, strict=True):
        assert (said.name, said.tensors, said.config) == (is_so.name, is_so.tensors, is_so.config)
        for name in EXACT:
            assert getattr(said.self_cost, name) == getattr(is_so.self_cost, name), (said.name, name)
        if said.name in members:
            assert (said.inputs, said.outputs) == (is_so.inputs, is_so.outputs)
            assert said.self_cost.output_bytes == is_so.self_cost.output_bytes
    known = {group.name: group for group in real.groups}
    deep = {
        layer.name for layer in real.layers if 1 < dict(layer.config).get("groups", 1) == layer.setting("in_channels")
    }
    for group in seen.groups:
        if deep & {member.layer for member in group.members}:
            continue  # in groups before, depthwise now: found otherwise
        real_one = known[group.name]
        if real_one.obstacle and not group.obstacle:
            # Few channels look like other numbers of the model, so that one more is left alone for want of knowledge.
            real_one = replace(real_one, obstacle=None, stated=group.stated)
        assert group == real_one
    around(seen, real)


def around(seen: Profile, real: Profile) -> None:
    """What is kept around modules with others inside, and what these take and return."""
    parents = {layer.name.rpartition(".")[0] for layer in real.layers}
    seams = {seam.layer: seam for seam in real.seams}
    assert [seam for seam in seen.seams if seam.layer in parents and seam != seams.get(seam.layer)] == []
    for said, is_so in zip(seen.layers, real.layers, strict=True):
        if said.name in parents - {""}:
            assert (said.inputs, said.outputs) == (is_so.inputs, is_so.outputs), said.name


@pytest.mark.parametrize("found", MODELS, ids=lambda found: found.name)
def test_up_to_three_prunings_in_a_row_are_foreseen_to_the_integer(found: Specimen):
    model, inputs = found.build(), found.inputs()
    known = profile(model, inputs, options=OURS)
    rows = [row for count in (1, 2, 3) for row in itertools.permutations(sites(known), count)]
    for row in rows[:: max(1, len(rows) // 8)]:  # some eight of them, spread over all
        work, seen = copy.deepcopy(model), known
        for site, share in zip(row, (0.5, 0.7, 0.4), strict=False):
            asked = step(site, share)
            assert CHANNEL_PRUNE.estimate(seen, asked).macs == foresee(seen, asked).cost.macs - seen.cost.macs
            CHANNEL_PRUNE.rewrite(work, asked, seen)
            seen = foresee(seen, asked)
        same(seen, profile(work, inputs, options=OURS))


@pytest.mark.parametrize("name", ["residual", "dense_concat", "u_net", "resnext", "chunked_gate", "bfloat16_residual"])
def test_a_plan_is_estimated_as_it_is_profiled(name):
    found = specimen(name)
    model, inputs = found.build(), found.inputs()
    known = profile(model, inputs)
    for pair in itertools.permutations(sites(known)[:3], 2):
        plan = Plan(steps=tuple(step(site, 0.5) for site in pair))
        change = hypothetical(model, plan, inputs, known=known).cost - known.cost
        said = estimate_plan(known, plan)
        assert [getattr(said, part) for part in EXACT] == [getattr(change, part) for part in EXACT], plan


def test_the_change_that_is_worked_out_quickly_is_that_of_the_profile_that_is_foreseen():
    found = specimen("residual")
    known = profile(found.build(), found.inputs())
    for site in sites(known):
        asked = step(site, 0.3)
        quick, whole = CHANNEL_PRUNE.estimate(known, asked), change_between(known, CHANNEL_PRUNE.foresee(known, asked))
        assert [getattr(quick, name) for name in EXACT] == [getattr(whole, name) for name in EXACT]


def test_neighbouring_prunings_multiply():
    """By hand: 64 x 64 weights with half of both sides are a quarter."""
    model = nn.Sequential(nn.Linear(8, 64, bias=False), nn.Linear(64, 64, bias=False), nn.Linear(64, 4, bias=False))
    known = profile(model, torch.ones(1, 8))
    steps = [
        Step(transform="channel_prune", layers=(name,), settings=settings(channels=32, criterion="l2"))
        for name in ("0", "1")
    ]
    change = estimate_plan(known, Plan(steps=tuple(steps)))
    assert change.params == (8 * 32 + 32 * 32 + 32 * 4) - (8 * 64 + 64 * 64 + 64 * 4)


def test_prune_then_split_is_estimated_as_it_is_done():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 40), nn.ReLU(), nn.Linear(40, 4))
    x = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    known = profile(model, x)
    prune = Step(transform="channel_prune", layers=("0",), settings=settings(channels=36))
    split = Step(transform="low_rank", layers=("2",), settings=settings(rank=6))
    applied = apply(model, Plan(steps=(prune, split)), x)
    assert not applied.skipped
    change, said = applied.profile.cost - known.cost, estimate_plan(known, Plan(steps=(prune, split)))
    assert [getattr(said, name) for name in EXACT] == [getattr(change, name) for name in EXACT]


def test_channels_behind_others_move_to_the_front():
    found = specimen("dense_concat")
    known = profile(found.build(), found.inputs())
    assert [m.start for g in known.groups if g.name == "second" for m in g.members if m.layer == "mix"] == [8]
    after = foresee(known, Step(transform="channel_prune", layers=("first",), settings=settings(channels=3)))
    assert [m.start for g in after.groups if g.name == "second" for m in g.members if m.layer == "mix"] == [3]


def test_what_is_saved_shrinks_where_it_lies():
    found = specimen("residual")
    known = profile(found.build(), found.inputs())
    group = known.groups[0]
    assert group.saved_bytes_each == sum(each for _, each in group.saved_at) > 0
    asked = Step(transform="channel_prune", layers=(group.name,), settings=settings(channels=group.channels - 1))
    after = foresee(known, asked)
    for name, each in group.saved_at:
        assert known.layer(name).self_cost.saved_bytes - after.layer(name).self_cost.saved_bytes == each


def test_a_trim_says_how_many_go():
    found = specimen("residual")
    known = profile(found.build(), found.inputs())
    trim = Trim(group=known.groups[0], channels=3, layers={}, axes={})
    assert trim.removed == known.groups[0].channels - 3
