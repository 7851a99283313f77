"""Numbers for plans and back."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as tries
from hypothesis import strategies as st

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.records import Plan, Step, settings
from effwidgets.search.selection.space import Space, rescaled
from effwidgets.transforms.apply import apply
from effwidgets.transforms.foresee import estimate_plan, foresee


@pytest.fixture(scope="module")
def space(options, known):
    return Space(options, known)


def test_nothing_chosen_is_the_plan_without_steps(space):
    assert space.plan({}) == space.plan(dict.fromkeys(space.names, 0)) == Plan()
    assert space.params(Plan()) == dict.fromkeys(space.names, 0)


def test_every_plan_can_be_done_as_it_stands_and_comes_back_as_its_numbers(space, known):
    @tries(
        max_examples=15,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(st.fixed_dictionaries({name: st.integers(0, space.choices(name) - 1) for name in space.names}))
    def check(params):
        plan = space.plan(params)
        estimate_plan(known, plan)  # raises where a step cannot be done behind the others
        again = space.params(plan)
        assert again is not None
        assert space.plan(again) == plan

    check()


def test_numbers_go_from_weak_to_strong(space, known):
    for name in space.names:
        left = [estimate_plan(known, space.plan({name: place})).macs for place in range(space.choices(name))]
        assert left == sorted(left, reverse=True)


def test_pruning_comes_first_and_a_factorization_keeps_its_share_of_what_is_left(space, known):
    cut = next(name for name in space.names if name == "channel_prune conv1")
    split = next(name for name in space.names if "conv2" in name and not name.startswith("channel"))
    alone, both = space.plan({split: 1}).steps[0], space.plan({cut: 2, split: 1})
    assert [step.transform for step in both] == ["channel_prune", alone.transform]
    assert both.steps[1] == rescaled(alone, known, foresee(known, both.steps[0]))
    assert both.steps[1] != alone


def test_a_plan_is_carried_out_without_a_skip(space, convolutional, images, known):
    made = apply(
        convolutional, space.plan({name: space.choices(name) - 1 for name in space.names}), images, known=known
    )
    assert made.skipped == ()
    assert len(made.edits) >= 3


def test_of_two_ways_to_factor_a_layer_a_plan_has_one(options, known, space):
    for name in space.names:
        steps = space.steps(name)
        assert len({step.layers for step in steps}) == 1
    assert sum("conv2" in name and not name.startswith("channel_prune") for name in space.names) == 1


def test_what_is_not_in_the_space_has_no_numbers(space):
    step = Step(transform="channel_prune", layers=("conv1",), settings=settings(channels=5, criterion="l1"))
    assert space.params(Plan(steps=(step,))) is None


def test_unknown_names_and_numbers_are_answered(space):
    with pytest.raises(UnknownNameError, match="channel_prune conv1"):
        space.plan({"conv9": 1})
    with pytest.raises(InputError, match="from 0 to"):
        space.plan({space.names[0]: 99})


def test_a_space_that_closes_its_plans_ends_each_by_folding_norms_and_reads_them_back(options, known, space):
    closing = Space(options, known, closing=True)
    cut = next(name for name in space.names if name == "channel_prune conv1")
    plan = closing.plan({cut: 2})
    assert [step.transform for step in plan] == ["channel_prune", *["fold_bn"] * 3]
    assert plan.steps[:1] == space.plan({cut: 2}).steps
    assert closing.params(plan) == {**dict.fromkeys(space.names, 0), cut: 2}
    assert space.params(plan) is None  # one that does not close has no number for a fold
    assert closing.params(closing.plan({})) == dict.fromkeys(space.names, 0)
