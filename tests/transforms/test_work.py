"""Steps that have nothing in common are done and checked together; a step that fails is left out alone."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Step, settings
from effwidgets.testing.zoo import specimen
from effwidgets.transforms.apply import apply
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.factorize.low_rank import LowRank

work = importlib.import_module("effwidgets.transforms.work")


def step(transform: str, layer: str, **values: object) -> Step:
    return Step(transform=transform, layers=(layer,), settings=settings(values))


def low_rank(layer: str, rank: int = 3) -> Step:
    return step("low_rank", layer, rank=rank)


INTERLEAVED = Plan(
    steps=(
        step("channel_prune", "block1.conv1", channels=3),
        step("spatial_svd", "block1.conv2", rank=4),
        step("channel_prune", "stem.0", channels=5),
        step("bottleneck", "block2.conv1", rank_in=3, rank_out=7),
        step("low_rank", "head", rank=4),
        step("channel_prune", "block2.conv1.2", channels=9),
        step("spatial_svd", "block2.conv2", rank=6),
    )
)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many edits were looked at each time."""
    found: list[int] = []

    def counting(real):
        def counted(done, *args, **kwargs):
            found.append(len(done))
            return real(done, *args, **kwargs)

        return counted

    for name in ("verify_together", "compare_together"):
        monkeypatch.setattr(work, name, counting(getattr(work, name)))
    return found


class Chain(nn.Module):
    """Six Linears, of which the forward may read one itself."""

    def __init__(self, peeked: str = "") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c, self.d, self.e, self.f = (nn.Linear(12, 12) for _ in range(6))
        self.peeked = peeked

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.a, self.b, self.c, self.d, self.e, self.f):
            x = torch.tanh(layer(x))
        return x @ getattr(self, self.peeked).weight if self.peeked else x


PLAN = Plan(steps=tuple(low_rank(name) for name in "abcdef"))


def test_steps_on_other_layers_are_looked_at_together(looks: list[int]):
    applied = apply(Chain(), PLAN, torch.ones(2, 12))
    assert len(applied.edits) == 6
    assert looks == [6]


@pytest.mark.parametrize("peeked", "abcdef")
def test_the_step_that_breaks_the_model_is_left_out_alone(peeked: str, looks: list[int]):
    model, x = Chain(peeked), torch.ones(2, 12)
    applied = apply(model, PLAN, x)
    assert [skip.layers for skip in applied.skipped] == [(peeked,)]
    assert "something else than the layer reads its 'weight'" in applied.skipped[0].reason
    others = apply(model, Plan(steps=tuple(low_rank(name) for name in "abcdef" if name != peeked)), x)
    assert applied.edits == others.edits
    for name, tensor in applied.model.state_dict().items():
        assert torch.equal(tensor, others.model.state_dict()[name])
    assert len(looks) <= 2 * 6 + 1  # halves of halves, and the other plan's one


def test_a_step_that_cannot_be_done_costs_no_second_look(looks: list[int]):
    plan = Plan(steps=(low_rank("a"), low_rank("b", 300), low_rank("c")))
    applied = apply(Chain(), plan, torch.ones(2, 12))
    assert [edit.step.layers for edit in applied.edits] == [("a",), ("c",)]
    assert "rank is 300" in applied.skipped[0].reason
    assert looks == [2]


@pytest.fixture
def careless() -> Iterator[Callable[[str], Step]]:
    """A technique that changes another layer than the one that it is asked for, and foresees nothing."""

    class Careless(LowRank):
        name = "careless_for_test"
        foresee = None

        def rewrite(self, model, step, profile):
            edit = super().rewrite(model, dataclasses.replace(step, layers=("f",)), profile)
            return dataclasses.replace(edit, step=step)

        def _target(self, step):
            return "f"

    TRANSFORMS.add("careless_for_test", Careless())
    yield lambda layer: step("careless_for_test", layer, rank=2)
    TRANSFORMS.remove("careless_for_test")


def test_a_step_that_changes_more_than_it_names_is_not_taken_for_disjoint(careless: Callable[[str], Step]):
    plan = Plan(steps=(low_rank("f", 3), careless("b"), low_rank("c")))
    applied = apply(Chain(), plan, torch.ones(2, 12))
    assert [edit.step.layers for edit in applied.edits] == [("f",), ("c",)]
    assert applied.model.f[0].out_features == 3
    assert "careless_for_test" in applied.skipped[0].reason


def test_waves_give_what_the_steps_give_one_after_the_other(looks: list[int]):
    found = specimen("residual")
    model, inputs = found.build(), found.inputs()
    applied = apply(model, INTERLEAVED, inputs)
    assert not applied.skipped
    assert looks == [2, 1, 1, 1, 1, 1]  # each meets the one before it, but for the head
    one = model
    for single in INTERLEAVED:
        done = apply(one, Plan(steps=(single,)), inputs)
        assert not done.skipped, done.skipped
        one = done.model
    assert [edit.step for edit in applied.edits] == list(INTERLEAVED)
    assert applied.model.state_dict().keys() == one.state_dict().keys()
    for name, tensor in applied.model.state_dict().items():
        assert torch.equal(tensor, one.state_dict()[name]), name


@pytest.fixture
def gradient_looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often gradients were looked for."""
    found: list[int] = []
    for name in ("gradients", "verify"):
        module = importlib.import_module(f"effwidgets.transforms.{name}")
        real = module.unreached
        monkeypatch.setattr(module, "unreached", lambda *args, real=real: found.append(0) or real(*args))
    return found


def test_gradients_are_looked_at_once_for_all_waves(gradient_looks: list[int]):
    found = specimen("residual")
    assert not apply(found.build(), INTERLEAVED, found.inputs()).skipped
    assert len(gradient_looks) == 1


@pytest.fixture
def cutting() -> Iterator[Callable[[str], Step]]:
    """A technique whose answers are right and whose factors no gradient passes."""

    class Cut(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).detach()

    class Cutting(LowRank):
        name = "cutting_for_test"

        def fit(self, model, original, edit, calibration):
            edit = super().fit(model, original, edit, calibration)
            layer = edit.step.layers[0]
            setattr(model, layer, Cut(*getattr(model, layer)))
            return edit

    TRANSFORMS.add("cutting_for_test", Cutting())
    yield lambda layer: step("cutting_for_test", layer, rank=2)
    TRANSFORMS.remove("cutting_for_test")


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_the_step_that_cuts_gradients_off_is_left_out_alone_in_a_plan_of_several_waves(place, cutting):
    steps = [low_rank("a"), low_rank("a.0", 2), low_rank("c"), low_rank("c.1", 2)]
    steps.insert(place, cutting("b"))
    model, x = Chain(), torch.ones(2, 12)
    applied = apply(model, Plan(steps=tuple(steps)), x)
    assert [skip.transform for skip in applied.skipped] == ["cutting_for_test"]
    assert "no gradient reaches" in applied.skipped[0].reason
    others = apply(model, Plan(steps=tuple(one for one in steps if one.transform == "low_rank")), x)
    assert applied.edits == others.edits
    for name, tensor in applied.model.state_dict().items():
        assert torch.equal(tensor, others.model.state_dict()[name])


def test_nothing_is_profiled_between_steps_that_are_foreseen(monkeypatch: pytest.MonkeyPatch):
    module = importlib.import_module("effwidgets.transforms.apply")
    made = []
    monkeypatch.setattr(module, "profile", lambda *args, **kwargs: made.append(0) or profile(*args, **kwargs))
    found = specimen("residual")
    applied = apply(found.build(), INTERLEAVED, found.inputs())
    assert len(applied.edits) == len(INTERLEAVED)
    assert len(made) == 2  # before and after


def test_a_step_that_tells_nothing_ahead_is_followed_by_a_profile(monkeypatch: pytest.MonkeyPatch):
    class Silent(LowRank):
        name = "silent_for_test"
        foresee = None

    TRANSFORMS.add("silent_for_test", Silent())
    try:
        model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
        plan = Plan(steps=(step("silent_for_test", "2", rank=4), step("channel_prune", "2.0", channels=3)))
        applied = apply(model, plan, torch.ones(1, 16))
    finally:
        TRANSFORMS.remove("silent_for_test")
    assert not applied.skipped
    assert applied.model[2][0].out_features == applied.model[2][1].in_features == 3


def test_structure_after_format_on_the_same_weights_is_refused_and_elsewhere_done():
    model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))
    sparse = step("unstructured", "0", share=0.5)
    if "unstructured" not in TRANSFORMS:
        pytest.skip("no technique of format is registered")
    plan = Plan(steps=(sparse, low_rank("0", 4), low_rank("2", 4)))
    applied = apply(model, plan, torch.ones(1, 32))
    assert [edit.step for edit in applied.edits] == [sparse, low_rank("2", 4)]
    assert "Steps that change shapes come first" in applied.skipped[0].reason
