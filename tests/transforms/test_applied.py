"""What an optimizer must know of an edited model, after edits and after some were taken back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from effwidgets.records import Plan, Step, settings
from effwidgets.transforms.applied import Applied
from effwidgets.transforms.apply import apply
from effwidgets.transforms.undo import undo


def step(transform: str, layer: str, **values: object) -> Step:
    return Step(transform=transform, layers=(layer,), settings=settings(values))


STEPS = (
    step("channel_prune", "0", channels=6),
    step("spatial_svd", "2", rank=4),
    step("low_rank", "5", rank=5),
    step("unstructured", "6", share=0.5),
    step("bf16", "5.1"),
)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.Conv2d(16, 8, 3, padding=1),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(8 * 36, 24),
        nn.Linear(24, 10),
        nn.Linear(10, 4),
    )


@pytest.fixture
def image() -> Tensor:
    return torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def moved_by(applied: Applied, names: tuple[str, ...], x: Tensor) -> set[str]:
    """The parameters that one step of an optimizer over ``names`` moves."""
    model = applied.model.train()
    held = dict(model.named_parameters())
    before = {name: parameter.detach().clone() for name, parameter in held.items()}
    optimizer = torch.optim.SGD([held[name] for name in names], lr=100.0)  # far enough to show in bfloat16
    model(x).square().sum().backward()
    optimizer.step()
    return {name for name, parameter in held.items() if not torch.equal(parameter, before[name])}


def kept(applied: Applied, dense: nn.Module) -> tuple[str, ...]:
    """The parameters of the edited model that an optimizer of the dense one goes on with, by their names there."""
    return tuple(name for name, _ in dense.named_parameters() if name not in applied.gone_parameters)


@pytest.mark.parametrize("number", [None, 0, 1, 2, 3])
def test_the_new_ones_and_those_that_stay_are_all_that_can_be_trained(model, image, number):
    applied = apply(model, Plan(steps=STEPS), image)
    assert not applied.skipped
    if number is not None:
        applied = undo(applied, number)
    stay, new = kept(applied, model), applied.new_parameters
    assert not set(stay) & set(new)
    assert {*stay, *new} == {name for name, _ in applied.model.named_parameters()}
    assert moved_by(applied, (*stay, *new), image) == {*stay, *new}


def test_nothing_is_new_when_all_was_taken_back(model, image):
    applied = apply(model, Plan(steps=STEPS), image)
    bare = undo(applied, last=len(applied.edits))
    assert (bare.new_parameters, bare.gone_parameters) == ((), ())
    assert not any("optimizer" in note for note in bare.notes)


def test_what_is_frozen_or_whole_numbers_is_not_for_an_optimizer(model, image):
    model[5].requires_grad_(requires_grad=False)
    plan = Plan(steps=(step("low_rank", "5", rank=5), step("int8", "6")))
    applied = apply(model, plan, image)
    assert len(applied.edits) == 2
    assert applied.new_parameters == ()
    assert set(applied.gone_parameters) == {"5.weight", "5.bias", "6.weight"}


def test_a_step_without_calibration_is_the_same_before_and_after_one_with(model, image):
    plan = Plan(steps=(step("low_rank", "5", rank=5), step("channel_prune", "0", channels=6)))
    first = apply(model, plan, image).model.state_dict()
    with_data = apply(model, plan, image, calibration=[image]).model.state_dict()
    again = apply(model, plan, image).model.state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["5.0.weight"], with_data["5.0.weight"])
