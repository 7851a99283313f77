"""Take steps back."""

from __future__ import annotations

import dataclasses
import importlib

import pytest
import torch
from torch import Tensor, nn

from effwidgets.errors import InputError, TransformError, UnknownNameError
from effwidgets.records import Plan, Step, settings
from effwidgets.testing.untouched import state_of
from effwidgets.testing.zoo import specimen
from effwidgets.transforms.applied import Applied
from effwidgets.transforms.apply import apply
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.recipes.recipe import load, save
from effwidgets.transforms.undo import undo

module = importlib.import_module("effwidgets.transforms.undo")


def step(transform: str, layer: str, **values: object) -> Step:
    return Step(transform=transform, layers=(layer,), settings=settings(values))


PLAN = Plan(
    steps=(
        step("channel_prune", "stem.0", channels=5),
        step("spatial_svd", "block2.conv2", rank=9),
        step("channel_prune", "block1.conv1", channels=3, criterion="bn"),
        step("bottleneck", "block2.conv1", rank_in=3, rank_out=7),
        step("low_rank", "head", rank=4),
    )
)


def build() -> nn.Module:
    return specimen("residual").build()


def image() -> Tensor:
    (found,) = specimen("residual").inputs().args
    return found


@pytest.fixture(scope="module")
def dense() -> nn.Module:
    return build()


@pytest.fixture(scope="module")
def applied(dense: nn.Module) -> Applied:
    done = apply(dense, PLAN, image())
    assert not done.skipped
    return done


def same(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(tensor, second[name]) for name, tensor in first.items())


@pytest.mark.parametrize("number", range(len(PLAN)))
def test_without_a_step_the_model_is_what_the_plan_without_it_makes(applied: Applied, dense: nn.Module, number: int):
    shorter = Plan(steps=(*PLAN.steps[:number], *PLAN.steps[number + 1 :]))
    undone, right = undo(applied, PLAN.steps[number]), apply(dense, shorter, image())
    assert same(undone.model, right.model)
    assert undone.plan == shorter
    assert [edit.step for edit in undone.edits] == [edit.step for edit in right.edits]
    assert undone.profile.cost == right.profile.cost
    assert set(undone.new_parameters) == set(right.new_parameters)
    assert set(undone.gone_parameters) == set(right.gone_parameters)
    assert undone.notes[0] == f"Taken back: {PLAN.steps[number]}."


@pytest.mark.parametrize("last", range(1, len(PLAN) + 1))
def test_without_the_last_steps_the_model_is_what_the_others_make(applied: Applied, dense: nn.Module, last: int):
    undone, right = undo(applied, last=last), apply(dense, Plan(steps=PLAN.steps[:-last]), image())
    assert same(undone.model, right.model)
    assert undone.profile.cost == right.profile.cost


def test_one_after_the_other_leads_back_to_the_dense_model(applied: Applied, dense: nn.Module):
    left = applied
    while left.edits:
        left = undo(left, 0)
    assert same(left.model, dense)
    assert (left.new_parameters, left.gone_parameters, left.plan) == ((), (), Plan())


def test_neither_the_applied_nor_the_dense_model_moves(applied: Applied, dense: nn.Module):
    before, kept = state_of(applied.model), state_of(dense)
    undone = undo(applied, 2)
    with torch.no_grad():
        for parameter in undone.model.parameters():
            parameter.add_(1)
    again = undo(applied, 2)  # nor what is kept of the old weights
    assert before.differences(state_of(applied.model)) == []
    assert kept.differences(state_of(dense)) == []
    assert same(again.model, apply(dense, Plan(steps=(*PLAN.steps[:2], *PLAN.steps[3:])), image()).model)


def test_the_rest_stays_as_it_was_fine_tuned(dense: nn.Module):
    applied = apply(dense, PLAN, image())
    with torch.no_grad():
        for parameter in applied.model.parameters():
            parameter.mul_(1.5)
    undone = undo(applied, PLAN.steps[-1]).model
    assert torch.equal(undone.head.weight, dense.head.weight)
    assert torch.equal(undone.stem[0].weight, applied.model.stem[0].weight)
    twice = undo(undo(applied), 1).model  # and after a second time
    assert torch.equal(twice.stem[0].weight, applied.model.stem[0].weight)
    assert torch.equal(twice.block2.conv2.weight, dense.block2.conv2.weight)


def test_an_undone_model_is_saved_and_loaded(applied: Applied, tmp_path):
    undone = undo(applied, 1)
    assert same(load(save(undone, tmp_path / "undone"), build), undone.model)


def test_tied_weights_are_tied_again():
    found = specimen("gpt")
    low_rank = step("low_rank", "block.fc1", rank=4)
    applied = apply(found.build(), Plan(steps=(low_rank,)), found.inputs())
    model = undo(applied).model
    assert model.head.weight is model.words.weight
    assert same(model, found.build())


@pytest.mark.parametrize("name", sorted(set(TRANSFORMS)))
def test_every_transformation_can_be_taken_back(name: str):
    from effwidgets.profiling.profile import profile
    from effwidgets.records import Site
    from effwidgets.testing.contracts import settings_of
    from effwidgets.testing.zoo import MODELS

    for found in MODELS:
        model, inputs = found.build(), found.inputs()
        sites = [site for site in TRANSFORMS[name].sites(profile(model, inputs)) if isinstance(site, Site)]
        if sites:
            chosen = Step(transform=name, layers=sites[0].layers, settings=settings_of(sites[0])[0])
            applied = apply(model, Plan(steps=(chosen,)), inputs, calibration=inputs, repair=False)
            assert not applied.skipped, applied.skipped
            assert same(undo(applied).model, model)
            return
    pytest.fail("it applies nowhere in the zoo")


def test_what_is_no_such_step_is_answered_with_those_that_there_are(applied: Applied):
    with pytest.raises(UnknownNameError, match="4: low_rank at head"):
        undo(applied, 5)
    with pytest.raises(UnknownNameError, match=r"0: channel_prune at stem\.0"):
        undo(applied, step("low_rank", "head", rank=3))
    with pytest.raises(InputError, match="a whole number from 1 to 5"):
        undo(applied, last=6)
    with pytest.raises(InputError, match=r"what apply\(\) returned was expected"):
        undo(build())


def test_an_applied_that_holds_nothing_any_more_says_so(applied: Applied):
    with pytest.raises(TransformError, match="Apply the shorter plan"):
        undo(dataclasses.replace(applied, history=None))


def test_a_model_that_was_changed_by_hand_says_what_fails(dense: nn.Module):
    applied = apply(dense, Plan(steps=(PLAN.steps[1],)), image())
    applied.model.block2.conv2 = nn.Sequential(nn.Identity())
    applied.model.stem = nn.Identity()
    with pytest.raises(TransformError, match="does not run without these steps"):
        undo(applied)
