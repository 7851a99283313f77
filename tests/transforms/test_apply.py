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
from effwidgets.transforms.factorize.low_rank import LowRank

work_module = importlib.import_module("effwidgets.transforms.work")
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


def test_a_weight_that_moves_buffers_when_it_is_asked_for_is_not_asked_for():
    model = nn.Sequential(nn.Linear(12, 12), nn.Linear(12, 12))
    nn.utils.parametrizations.spectral_norm(model[0])  # one turn of its power iteration each time
    x = torch.ones(2, 12)
    before = state_of(model)
    applied = apply(model, Plan(steps=(low_rank("0", 3), low_rank("1", 3))), x, calibration=[x])
    assert [edit.step.layers for edit in applied.edits] == [("1",)]
    assert before.differences(state_of(model)) == []


def test_a_model_without_numbers_is_refused_and_left_alone():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(12, 12))
    before = state_of(model)
    with pytest.raises(InputError, match="meta device"):
        apply(model, Plan(steps=(low_rank("0", 3),)), torch.ones(1, 12))
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

    monkeypatch.setattr(work_module, "verify_together", interrupted)
    monkeypatch.setattr(work_module, "compare_together", interrupted)
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
    applied = apply(model, Plan(steps=(low_rank("6", 5),)), image, calibration=image, repair=False)
    model.eval()
    with torch.no_grad():
        inputs = model[:6](image)
        right = model[6](inputs)
        error = (applied.model[6](inputs) - right).norm() / right.norm()
    assert applied.edits[0].error == pytest.approx(float(error), rel=1e-4)  # float32 products in another order
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


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_steps_are_done_also_inside_of_a_mode_without_gradients_and_can_be_trained_afterwards(model, image, mode):
    with mode():
        applied = apply(model, PLAN, image, calibration=image)
    assert applied.skipped == ()
    applied.model(image).sum().backward()
    assert all(parameter.grad is not None for parameter in applied.model.parameters())


def test_a_step_on_a_replaced_layer_names_what_replaced_it_and_what_stands_there_now(model, image):
    plan = Plan(steps=(low_rank("6", 8), prune("6", 4)))
    for reason in (apply(model, plan, image).skipped[0].reason, hypothetical(model, plan, image).notes[0]):
        assert "6 was replaced by an earlier step of this plan, low_rank at 6 (rank=8); 6.0, 6.1 stand there" in reason


@pytest.mark.parametrize(
    "step",
    [
        Step(transform="low_rank", layers=("6",), settings=settings(rank=4, method="svd")),
        Step(transform="channel_prune", layers=("0",), settings=settings(channels=8, critirion="l1")),
    ],
    ids=lambda step: step.transform,
)
def test_a_setting_that_nobody_would_read_is_refused_here_and_on_the_shadow(model, image, step):
    plan = Plan(steps=(step,))
    assert "There is no setting of" in apply(model, plan, image).skipped[0].reason
    assert "There is no setting of" in hypothetical(model, plan, image).notes[0]


def test_the_model_that_fails_with_real_numbers_only_is_blamed_not_the_steps(model):
    class Picky(nn.Module):
        def __init__(self):
            super().__init__()
            self.chain = model

        def forward(self, x):
            if type(x) is Tensor:  # not on the shadow
                raise ValueError("no real images, please")
            return self.chain(x)

    with pytest.raises(ModelError, match="no real images"):
        apply(Picky(), Plan(steps=(low_rank("chain.6", 4),)), torch.ones(1, 3, 6, 6))


class Stashing(nn.Module):
    """Keeps an activation with its history, which `copy.deepcopy` refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 4)
        self.kept: Tensor | None = None

    def forward(self, x):
        self.kept = self.first(x)
        return self.last(self.kept)


def test_a_model_that_keeps_an_activation_is_edited(image):
    del image
    model, x = Stashing(), torch.ones(2, 8)
    model(x)
    kept, before = model.kept, state_of(model)
    with pytest.raises(RuntimeError):
        copy.deepcopy(model)
    applied = apply(model, Plan(steps=(low_rank("first", 2),)), x)
    assert (len(applied.edits), applied.skipped) == (1, ())
    assert model.kept is kept
    assert before.differences(state_of(model)) == []


class Routed(nn.Module):
    """Sends each row where its own numbers say: a shadow, which has none, cannot run it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(8, 2)
        self.ways = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))

    def forward(self, x):
        chosen = self.gate(x).argmax(1)
        out = torch.zeros_like(x)
        for number, way in enumerate(self.ways):
            rows = (chosen == number).nonzero().flatten()
            out = out.index_add(0, rows, way(x[rows]))
        return out


def test_a_plan_for_a_model_that_reads_its_activations_is_profiled_as_it_would_be_applied():
    torch.manual_seed(0)
    model, x = Routed(), torch.randn(6, 8)
    before = state_of(model)
    plan = Plan(steps=(low_rank("ways.0", 2), low_rank("ways.1", 3)))
    found = hypothetical(model, plan, x)
    applied = apply(model, plan, x)
    assert len(applied.edits) == 2
    assert found.cost == applied.profile.cost
    assert before.differences(state_of(model)) == []


def test_a_compiled_model_can_be_tried_on_and_edited_without_being_compiled():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    model, x = torch.compile(plain, backend="eager"), torch.ones(2, 8)
    twice = work_module.share(work_module.share(model))
    assert torch.equal(twice(x), plain(x))
    applied = apply(model, Plan(steps=(low_rank("_orig_mod.0", 2),)), x)
    assert (len(applied.edits), applied.skipped) == (1, ())
    assert type(applied.model) is type(model)
    assert applied.model(x).shape == (2, 4)


def test_a_layer_whose_weight_the_forward_reads_itself_stays_one_layer_and_the_reason_says_so():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 4)

        def forward(self, x):
            return self.last(self.first(x.to(self.first.weight.dtype)))

    (skip,) = apply(Reader(), Plan(steps=(low_rank("first", 2),)), torch.ones(2, 8)).skipped
    assert "something else than the layer reads its 'weight', so it must stay one layer" in skip.reason
