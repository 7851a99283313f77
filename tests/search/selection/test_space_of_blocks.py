"""Blocks that are left out, in a space: one strength each, and nothing is done inside of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from effwidgets.profiling.profile import ProfileOptions, profile
from effwidgets.records import Option, Profile, Step, settings
from effwidgets.search.advice.clashes import clashes_of
from effwidgets.search.advice.places import change_of, holders
from effwidgets.search.selection.space import Space
from effwidgets.transforms.base import TRANSFORMS


@pytest.fixture(autouse=True)
def _same_networks() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        yield


class Residual(nn.Module):
    """Two layers and a way around them."""

    def __init__(self) -> None:
        super().__init__()
        self.widen = nn.Linear(16, 24)
        self.narrow = nn.Linear(24, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.narrow(torch.relu(self.widen(x)))


STEPS = (
    Step(transform="drop_block", layers=("1",)),
    Step(transform="channel_prune", layers=("0",), settings=settings(channels=8, criterion="l2")),
    Step(transform="channel_prune", layers=("1.widen",), settings=settings(channels=12, criterion="l2")),
    Step(transform="low_rank", layers=("1.narrow",), settings=settings(rank=4)),
)
DROP, STREAM, INNER, FACTOR = STEPS


@pytest.fixture(scope="module")
def known() -> Profile:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        net = nn.Sequential(nn.Linear(8, 16), Residual(), Residual(), nn.Linear(16, 4))
    return profile(net, torch.ones(2, 8), options=ProfileOptions(second_opinion=True))


def _option(known: Profile, step: Step) -> Option:
    change = change_of(known, step)
    assert change is not None
    family = TRANSFORMS[step.transform].family
    return Option(step=step, family=family, unit=tuple(sorted(holders(known, step))), change=change, saving=0.1)


def test_the_unit_of_a_block_left_out_is_all_that_is_inside(known: Profile) -> None:
    assert holders(known, DROP) == {"1", "1.widen", "1.narrow"}


def test_a_plan_never_changes_what_is_inside_of_a_block_that_it_leaves_out(known: Profile) -> None:
    space = Space([_option(known, step) for step in STEPS], known)
    assert [space.choices(name) for name in space.names] == [2] * len(STEPS)
    found = set()
    for values in itertools.product((0, 1), repeat=len(space.names)):
        plan = space.plan(dict(zip(space.names, values, strict=True)))
        found.add(frozenset((step.transform, step.layers) for step in plan))
        assert space.plan(space.params(plan) or {}) == plan
    gone = (DROP.transform, DROP.layers)
    assert {plan for plan in found if gone in plan} == {
        frozenset({gone}),
        frozenset({gone, (STREAM.transform, STREAM.layers)}),  # the stream may be narrower too
    }


def test_advice_takes_no_pruning_inside_of_a_block_that_is_left_out(known: Profile) -> None:
    clashes = clashes_of(known, STEPS)
    assert set(clashes[0]) == {2, 3}
    assert 0 not in clashes[1]
