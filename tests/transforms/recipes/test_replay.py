"""Do what a recipe says to another copy of the same architecture."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from effwidgets.errors import InputError, RecipeError
from effwidgets.records import Plan, Step, settings
from effwidgets.testing.untouched import state_of
from effwidgets.testing.zoo import specimen
from effwidgets.transforms.apply import apply
from effwidgets.transforms.recipes.architecture import architecture_of
from effwidgets.transforms.recipes.recipe import read_recipe, save
from effwidgets.transforms.recipes.replay import replay

PLAN = Plan(
    steps=(
        Step(transform="channel_prune", layers=("stem.0",), settings=settings(channels=5)),
        Step(transform="spatial_svd", layers=("block2.conv2",), settings=settings(rank=9)),
        Step(transform="low_rank", layers=("head",), settings=settings(rank=4000)),  # cannot be done
        Step(transform="low_rank", layers=("head",), settings=settings(rank=4)),
    )
)


def trained(seed: int) -> nn.Module:
    model = specimen("residual").build()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


def image() -> Tensor:
    (found,) = specimen("residual").inputs().args
    return found


@pytest.fixture
def folder(tmp_path):
    return save(apply(trained(0), PLAN, image()), tmp_path / "small")


def test_the_other_copy_gets_the_same_shapes_and_values_of_its_own(folder):
    other = trained(1)
    before = state_of(other)
    found = replay(folder, other, image())
    assert before.differences(state_of(other)) == []
    right = apply(other, PLAN, image())
    assert architecture_of(found.model) == architecture_of(right.model)
    for name, tensor in found.model.state_dict().items():
        assert torch.equal(tensor, right.model.state_dict()[name])
    assert found.skipped == ()  # what was skipped then is not tried again


def test_a_recipe_that_was_read_can_be_given_and_calibration_data_too(folder):
    found = replay(read_recipe(folder), trained(1), image(), calibration=[image()])
    assert len(found.edits) == 3
    assert all(edit.error is not None for edit in found.edits if edit.step.transform != "channel_prune")


def test_another_architecture_is_refused_and_the_first_difference_named(folder):
    wider = trained(1)
    wider.block2.conv1 = nn.Conv2d(8, 17, 3, stride=2, padding=1, bias=False)
    with pytest.raises(RecipeError, match=r"block2\.conv1 is Conv2d\(weight 17x8x3x3 .*weight 16x8x3x3 .* expected"):
        replay(folder, wider, image())


def test_what_is_no_recipe_or_no_model_is_refused(folder):
    with pytest.raises(InputError, match="int came"):
        replay(3, trained(1), image())
    with pytest.raises(InputError, match="Module was expected"):
        replay(folder, "model", image())
