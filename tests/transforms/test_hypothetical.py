"""Profiles of plans that nobody built: the same from one shadow as each from its own."""

from __future__ import annotations

import torch
from torch import nn

from effwidgets import profile
from effwidgets.records import Plan, Step, settings
from effwidgets.transforms.hypothetical import LEFT_OUT, Drafts, hypothetical


class Counting(nn.Module):
    """Runs its first layer once more with every forward: what a run writes into it changes the next."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(32, 32), nn.Linear(32, 8)
        self.register_buffer("runs", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        self.runs += 1
        for _ in range(int(self.runs)):
            x = self.first(x)
        return self.last(x)


def rank(layer, value):
    return Step(transform="low_rank", layers=(layer,), settings=settings(rank=value))


def channels(layer, value):
    return Step(transform="channel_prune", layers=(layer,), settings=settings(channels=value))


def check(model, x, plans):
    known = profile(model, x)
    drafts = Drafts(model, x, known=known)
    for plan in plans:
        for backward in (False, True):
            assert drafts.profile(plan, backward=backward) == hypothetical(
                model, plan, x, known=known, backward=backward
            )


def test_drafts_of_one_shadow_are_those_of_a_shadow_each():
    model = nn.Sequential(nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 32), nn.Linear(32, 8))
    steps = (rank("0", 4), channels("0", 16), rank("3", 6))
    plans = [*(Plan(steps=(step,)) for step in steps), Plan(steps=steps[1:]), Plan(steps=steps[:1]), Plan(steps=())]
    check(model, torch.ones(4, 32), plans)


def test_a_forward_that_writes_into_the_shadow_does_not_reach_the_next_draft():
    check(Counting(), torch.ones(2, 32), [Plan(steps=(rank("first", value),)) for value in (2, 4, 8)])


def test_a_step_that_cannot_be_done_leaves_the_others_and_the_next_draft_as_they_are():
    model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))
    wrong, right = Plan(steps=(rank("0", 99), rank("2", 4))), Plan(steps=(rank("2", 4),))
    drafts = Drafts(model, torch.ones(4, 32))
    first, second = drafts.profile(wrong), drafts.profile(right)
    assert [note.startswith(LEFT_OUT) for note in first.notes] == [True]
    assert first.cost == second.cost
    assert second.notes == ()
