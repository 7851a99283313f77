"""Do what a plan says, on a copy."""

from __future__ import annotations

import copy
import dataclasses
import importlib

import pytest
import torch
from torch import Tensor, nn

from effwidgets.errors import Cancelled, InputError, ModelError, UnknownNameError
from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Step, settings
from effwidgets.testing.untouched import state_of
from effwidgets.transforms.apply import apply, hypothetical
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.low_rank import LowRank

module = importlib.import_module("effwidgets.transforms.apply")  # the room exports a function of this name


def low_rank(layer: str, rank: int) -> Step:
    return Step(transform="low_rank", layers=(layer,), settings=settings(rank=rank))


def prune(group: str, channels: int) -> Step:
    return Step(transform="channel_prune", layers=(group,), settings=settings(channels=channels))


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(16, 8, 3, padding=1),
        nn.Flatten(),
        nn.Linear(8 * 36, 24),
        nn.Linear(24, 10),
    )


@pytest.fixture
def image() -> Tensor:
    return torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))


PLAN = Plan(steps=(prune("0", 6), low_rank("6", 5), low_rank("7", 4)))


def test_the_callers_model_is_bit_identical_afterwards(model, image):
    model(image).sum().backward()
    model[1].eval()
    model[0].register_forward_hook(lambda *_: None)
    model[2].weird = [torch.zeros(3)]
    before = state_of(model)
    apply(model, PLAN, image, calibration=[image, image])
    assert before.differences(state_of(model)) == []


@pytest.mark.parametrize("stop_at", range(4))
def test_a_cancelled_apply_leaves_the_model_alone(model, image, stop_at):
    before = state_of(model)
    calls = []

    def check() -> None:
        calls.append(0)
        if len(calls) > stop_at:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        apply(model, PLAN, image, check=check)
    assert before.differences(state_of(model)) == []


def test_an_interrupt_inside_a_step_leaves_the_model_alone(model, image, monkeypatch):
    before = state_of(model)

    def interrupted(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "verify", interrupted)
    with pytest.raises(KeyboardInterrupt):
        apply(model, PLAN, image)
    assert before.differences(state_of(model)) == []


def test_gradients_do_not_travel_with_the_copy(model, image):
    model(image).sum().backward()
    assert all(parameter.grad is None for parameter in apply(model, PLAN, image).model.parameters())


def test_an_unknown_transformation_or_layer_is_answered_before_anything_is_done(model, image, monkeypatch):
    monkeypatch.setattr(copy, "deepcopy", lambda _: pytest.fail("something was copied"))
    with pytest.raises(UnknownNameError, match="low_rank"):
        apply(model, Plan(steps=(Step(transform="low_rang", layers=("7",)),)), image)
    with pytest.raises(UnknownNameError, match="layer of Sequential '77'"):
        apply(model, Plan(steps=(low_rank("7", 4), low_rank("77", 4))), image)


def test_what_is_no_plan_or_no_model_is_refused(model, image):
    with pytest.raises(InputError, match="Plan was expected"):
        apply(model, [low_rank("7", 4)], image)
    with pytest.raises(InputError, match="Module was expected"):
        apply("model", PLAN, image)
    with pytest.raises(ModelError):
        apply(model, PLAN, torch.zeros(1, 4, 6, 6))


def test_later_steps_see_the_names_that_earlier_ones_made(model, image):
    applied = apply(model, Plan(steps=(low_rank("6", 20), low_rank("6.0", 8))), image)
    assert not applied.skipped
    assert applied.model[6][0][0].out_features == 8


def test_a_step_on_what_an_earlier_one_took_away_is_skipped_and_said(model, image):
    applied = apply(model, Plan(steps=(low_rank("6", 8), low_rank("6", 4), low_rank("7", 4))), image)
    assert [edit.step.layers[0] for edit in applied.edits] == ["6", "7"]
    assert (
        "6 was replaced by an earlier step of this plan, low_rank at 6 (rank=8); 6.0, 6.1 stand there now"
        in applied.skipped[0].reason
    )


def test_a_step_that_breaks_the_model_is_undone_and_the_rest_is_done(image):
    class Peeks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(12, 12), nn.Linear(12, 12)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(x @ self.a.weight)

    model, inputs = Peeks(), torch.ones(1, 12)
    applied = apply(model, Plan(steps=(low_rank("a", 3), low_rank("b", 3))), inputs)
    assert [edit.step.layers for edit in applied.edits] == [("b",)]
    assert "forward fails afterwards" in applied.skipped[0].reason
    assert isinstance(applied.model.a, nn.Linear)
    assert torch.equal(applied.model.a.weight, model.a.weight)


def test_a_plug_in_that_raises_costs_its_own_step_only(model, image):
    class Broken(LowRank):
        name = "broken_for_test"

        def fit(self, *_args: object) -> None:
            raise ZeroDivisionError("oh")

    TRANSFORMS.add("broken_for_test", Broken())
    try:
        step = dataclasses.replace(low_rank("6", 4), transform="broken_for_test")
        applied = apply(model, Plan(steps=(step, low_rank("7", 4))), image)
    finally:
        TRANSFORMS.remove("broken_for_test")
    assert isinstance(applied.model[6], nn.Linear)
    assert len(applied.edits) == 1
    assert applied.skipped[0].reason.endswith("ZeroDivisionError: oh")


def test_the_error_of_an_edit_is_measured_where_it_was_made(model, image):
    (edit,) = apply(model, Plan(steps=(low_rank("6", 5),)), image, calibration=image).edits
    model.eval()
    with torch.no_grad():
        inputs = model[:6](image)
        values = torch.linalg.svd(model[6].weight)
        weight = (values[0][:, :5] * values[1][:5]) @ values[2][:5]
        error = (inputs @ (weight - model[6].weight).T).norm() / model[6](inputs).norm()
    assert edit.error == pytest.approx(float(error), rel=1e-4)  # float32 products in another order
    assert apply(model, Plan(steps=(low_rank("6", 5),)), image).edits[0].error is None


def test_a_hypothetical_plan_profiles_as_the_applied_one(model, image):
    plan = PLAN + Plan(steps=(low_rank("6", 9),))
    before = state_of(model)
    found, applied = hypothetical(model, plan, image), apply(model, plan, image)
    assert found.cost == applied.profile.cost
    assert found.memory == applied.profile.memory
    assert [layer.name for layer in found.layers] == [layer.name for layer in applied.profile.layers]
    assert "Left out: low_rank at 6 (rank=9)" in found.notes[-1]
    assert before.differences(state_of(model)) == []


def test_a_profile_at_hand_is_not_made_again(model, image, monkeypatch):
    known = profile(model, image)
    made = []
    monkeypatch.setattr(module, "profile", lambda *args, **kwargs: made.append(0) or profile(*args, **kwargs))
    assert apply(model, PLAN, image, known=known).before is known
    assert len(made) == 1  # the edited model


def test_an_empty_plan_gives_an_equal_copy(model, image):
    applied = apply(model, Plan(), image, calibration=image)
    assert applied.model is not model
    assert all(torch.equal(a, b) for a, b in zip(applied.model.parameters(), model.parameters(), strict=True))
    assert (applied.edits, applied.notes) == ((), ())


def test_inputs_that_the_forward_writes_into_are_the_callers_no_less(image):
    class Writes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x.mul_(2))

    kept = image.clone()
    apply(Writes(), Plan(steps=(low_rank("fc", 2),)), image, calibration=[image])
    assert torch.equal(image, kept)


@pytest.mark.parametrize("known", [False, True])
def test_calibration_data_that_do_not_fit_the_model_are_an_error_not_a_skip(model, image, known):
    wrong = torch.ones(4, 5, 6, 6)
    before = state_of(model)
    with pytest.raises(
        ModelError, match=r"The calibration data do not fit the model.*layer '0'.*4 × 5 × 6 × 6"
    ) as said:
        apply(model, PLAN, image, calibration=wrong, known=profile(model, image) if known else None)
    assert "3 channels" in str(said.value)  # what the layer takes
    assert "4 × 3 × 6 × 6: give batches of the same kind" in str(said.value)
    assert before.differences(state_of(model)) == []
