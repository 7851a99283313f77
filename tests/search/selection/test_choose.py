"""A plan for one budget, out of a list: for every goal that a list can have."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from effwidgets import profile
from effwidgets.records import Step, settings
from effwidgets.search import plan_for, suggest
from effwidgets.search.advice.goals import LATENCY, SENT, amount_now
from effwidgets.search.advice.places import holders
from effwidgets.search.clocks import pieces as pieces_module
from effwidgets.search.selection import select as select_module
from effwidgets.search.selection.choose import by_path
from effwidgets.transforms.apply import apply
from effwidgets.transforms.formats import download_bytes


@pytest.fixture(scope="module")
def net():
    state = torch.get_rng_state()
    torch.manual_seed(4)
    found = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 10)).eval()
    torch.set_rng_state(state)
    return found


@pytest.fixture(scope="module")
def x():
    return torch.randn(32, 64, generator=torch.Generator().manual_seed(1))


def test_a_budget_for_a_download_is_kept_by_the_file_that_the_plan_makes(net, x):
    found = suggest(net, x, goal=SENT)
    assert any(one.step.transform in ("codebook", "unstructured") for one in found)
    plan = plan_for(found, 0.4, net, x)
    made = apply(net, plan, x, repair=False)
    assert set(plan) <= {one.step for one in found}
    assert download_bytes(made.profile, made.edits) <= 0.4 * found.cost.param_bytes


def test_what_is_said_of_a_budget_for_a_download_is_what_the_chosen_make_together(net, x):
    found = suggest(net, x, goal=SENT, budget=0.4)
    made = apply(net, found.plan(*found.chosen), x, repair=False)
    share = download_bytes(made.profile, made.edits) / found.cost.param_bytes
    assert share <= 0.4
    assert f"{share:.0%} of now" in found.notes[-1]


def test_a_budget_for_the_training_peak_is_kept(net, x):
    now = profile(net, x)
    found = suggest(net, x, goal="training_peak_bytes")
    made = apply(net, plan_for(found, 0.8, net, x), x, repair=False)
    after = profile(made.model, x)
    assert amount_now("training_peak_bytes", after) <= 0.8 * amount_now("training_peak_bytes", now)


def test_a_budget_for_what_is_measured_is_kept_by_what_was_carried_out(net, x, monkeypatch):
    asked = []
    real = select_module.select

    def select(model, call, budgets, options, check=None):
        asked.append((budgets, options.options))
        return real(model, call, {"macs": 0.6}, options, check)  # no clock: how long it takes hangs on the machine

    # One second for a million multiplications: what has fewer is faster, whatever else runs here.
    monkeypatch.setattr(pieces_module, "_rounds", lambda works, clock, seconds: [[_ticks(work)] * 7 for work in works])
    monkeypatch.setattr(select_module, "select", select)
    found = suggest(net, x, goal=LATENCY)
    plan = plan_for(found, 0.6, net, x)
    ((budgets, options),) = asked
    assert budgets == {LATENCY: 0.6}
    assert {option.step for option in options} == {one.step for one in found}
    assert len(plan)


def _ticks(work):
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as flops:
        work()
    return flops.get_total_flops() * 1e-6


def test_what_is_counted_is_chosen_on_a_path_and_what_is_timed_is_not():
    assert by_path("params")
    assert by_path(SENT)
    assert not by_path(LATENCY)


def test_only_who_removes_channels_changes_all_members_of_a_group(net, x):
    # The group of channels that layer 0 makes bears its name: 2 reads them.
    known = profile(net, x)
    cut = Step(transform="channel_prune", layers=("0",), settings=settings(channels=48))
    split = Step(transform="low_rank", layers=("0",), settings=settings(rank=4))
    assert holders(known, cut) == {"0", "2"}
    assert holders(known, split) == {"0"}
