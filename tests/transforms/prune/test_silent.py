"""Channels that are zero for every input, found in the weights and the way they take."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Step, settings
from effwidgets.transforms.apply import apply
from effwidgets.transforms.prune import silent
from effwidgets.transforms.prune.criteria import CRITERIA

CRITERIA_OF_WEIGHTS = ("l2", "l1", "fpgm")
IMAGE = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def pruned(model: nn.Module, group: str, channels: int, criterion: str, inputs: Tensor = IMAGE):
    """What is left of the group's first layer, and the note of the edit."""
    step = Step(transform="channel_prune", layers=(group,), settings=settings(channels=channels, criterion=criterion))
    applied = apply(model, Plan(steps=(step,)), inputs, calibration=inputs, repair=False)
    assert not applied.skipped
    kept = {(part.layer, part.side): part.indices for part in applied.edits[0].kept}
    return kept[group, "out"], applied


def chain(norm: bool = True, act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6) if norm else nn.Identity(), act(), nn.Conv2d(6, 4, 3)]
    model = nn.Sequential(*layers)
    with torch.no_grad():
        if norm:
            model[1].weight.uniform_(0.5, 1.5)
            model[1].bias.normal_()
            model[1].running_mean.normal_()
    return model.eval()


@pytest.mark.parametrize("criterion", [name for name in CRITERIA if name != "random"])
def test_channels_killed_by_a_norm_go_first_whatever_their_weights_are(criterion):
    model = chain()
    with torch.no_grad():
        for dead in (1, 4):
            model[1].weight[dead] = model[1].bias[dead] = 0
            model[0].weight[dead] *= 100  # strong, and of no use
    kept, applied = pruned(model, "0", 4, criterion)
    assert kept == (0, 2, 3, 5)
    # Nothing was added up but zeros that are left out now: equal up to the order of the sums.
    assert torch.allclose(applied.model(IMAGE), model(IMAGE), atol=1e-5)
    assert applied.edits[0].notes[-1].startswith("2 of the 2 removed channels were zero")


@pytest.mark.parametrize("criterion", [name for name in CRITERIA if name != "random"])
def test_channels_of_zero_weights_go_first_where_the_norm_behind_adds_nothing(criterion):
    model = chain()
    with torch.no_grad():
        model[0].weight[2] = 0
        model[0].bias[2] = 0
        model[1].bias[2] = model[1].running_mean[2] = 0
        # Another one of zero weights that the norm makes a constant of: 1.5 for every input.
        model[0].weight[5] = 0
        model[0].bias[5] = 0
        model[1].weight[5], model[1].bias[5], model[1].running_mean[5] = 1, 1.5, 0
    kept, applied = pruned(model, "0", 5, criterion)
    assert 2 not in kept
    assert torch.allclose(applied.model(IMAGE), model(IMAGE), atol=1e-5)


def test_a_constant_is_not_silent():
    model = chain()
    with torch.no_grad():
        model[0].weight[5] = 0
        model[0].bias[5] = 0
        model[1].weight[5], model[1].bias[5], model[1].running_mean[5] = 1, 1.5, 0
    kept, applied = pruned(model, "0", 5, "activation")
    assert not applied.edits[0].notes or "zero for every input" not in applied.edits[0].notes[-1]
    assert 5 in kept  # it is the strongest one in the mean square


def test_a_bias_is_enough_to_be_heard():
    model = chain(norm=False)
    with torch.no_grad():
        model[0].weight[:2] = 0
        model[0].bias[0] = 3.0
        model[0].bias[1] = 0
    kept, _ = pruned(model, "0", 5, "l2")
    assert kept == (0, 2, 3, 4, 5)


def test_zero_through_a_sigmoid_is_a_half():
    model = chain(norm=False, act=nn.Sigmoid)
    with torch.no_grad():
        model[0].weight[1] = 0
        model[0].bias[1] = 0
    _, applied = pruned(model, "0", 5, "l2")
    assert not any("zero for every input" in note for note in applied.edits[0].notes)


def test_what_is_read_by_zeros_is_not_missed():
    model = chain()
    with torch.no_grad():
        model[3].weight[:, 3] = 0
    for criterion in CRITERIA_OF_WEIGHTS:
        kept, applied = pruned(model, "0", 5, criterion)
        assert 3 not in kept
        assert torch.allclose(applied.model(IMAGE), model(IMAGE), atol=1e-5)


class Residual(nn.Module):
    """A stem, and a branch whose last norm starts at zero, as many trainings start."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm1 = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv, self.norm2 = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.head = nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm1(self.stem(x)))
        x = functional.relu(x + self.norm2(self.conv(x)))
        return self.head(x)


def residual() -> Residual:
    torch.manual_seed(1)
    model = Residual().eval()
    with torch.no_grad():
        model.norm2.weight.zero_()
        model.norm2.bias.zero_()
    return model


def test_a_branch_that_starts_at_zero_silences_no_stream():
    model = residual()
    _, applied = pruned(model, "stem", 5, "l2")
    assert not any("zero for every input" in note for note in applied.edits[0].notes)


def test_a_stream_is_silent_where_all_that_is_added_to_it_is():
    model = residual()
    with torch.no_grad():
        model.norm1.weight[4] = model.norm1.bias[4] = 0
        model.stem.weight[4] *= 50
    kept, applied = pruned(model, "stem", 5, "l2")
    assert 4 not in kept
    assert torch.allclose(applied.model(IMAGE), model(IMAGE), atol=1e-5)


class Gated(nn.Module):
    """Squeeze and excitation: the gate is never zero, the channel may be."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.squeeze, self.excite = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 3, 1), nn.Conv2d(3, 6, 1)
        self.read = nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem(x))
        gate = torch.sigmoid(self.excite(functional.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        return self.read(x * gate)


def test_a_gate_does_not_wake_a_silent_channel():
    torch.manual_seed(2)
    model = Gated().eval()
    with torch.no_grad():
        model.stem.weight[2] = 0
        model.stem.bias[2] = 0
        model.excite.weight[2] *= 50
    kept, applied = pruned(model, "stem", 5, "l2")
    assert 2 not in kept
    assert torch.allclose(applied.model(IMAGE), model(IMAGE), atol=1e-5)


class Unwritten(Residual):
    """A forward that branches, which cannot be written down."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.shape[0] > 0 else -x)


def test_where_the_forward_cannot_be_followed_the_layers_are_asked():
    torch.manual_seed(3)
    model = Unwritten().eval()
    with torch.no_grad():
        for norm in (model.norm1, model.norm2):
            norm.weight[1] = norm.bias[1] = 0
    kept, applied = pruned(model, "stem", 5, "l2")
    assert 1 not in kept
    assert torch.allclose(applied.model(IMAGE), model(IMAGE), atol=1e-5)


def test_a_depthwise_convolution_passes_a_zero_on_only_without_a_bias():
    torch.manual_seed(4)
    model = nn.Sequential(nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, groups=6), nn.ReLU6(), nn.Conv2d(6, 2, 1)).eval()
    with torch.no_grad():
        model[0].weight[[1, 2]] = 0
        model[0].bias[[1, 2]] = 0
        model[1].bias[1], model[1].bias[2] = 0.0, 2.0
    kept, applied = pruned(model, "0", 5, "l2")
    assert kept == (0, 2, 3, 4, 5)
    assert torch.allclose(applied.model(IMAGE), model(IMAGE), atol=1e-5)


def test_following_a_forward_leaves_other_threads_alone():
    """torch.fx stands around every module's call while it traces."""
    other, failed, stop = nn.Sequential(nn.Linear(4, 4), nn.ReLU()), [], threading.Event()

    def train() -> None:
        while not stop.is_set():
            try:
                other(torch.ones(1, 4))
            except Exception as error:  # noqa: BLE001  whatever the tracing raised in this thread
                failed.append(error)

    worker = threading.Thread(target=train)
    worker.start()
    model = residual()
    for _ in range(5):
        pruned(model, "stem", 5, "l2")
    stop.set()
    worker.join()
    assert not failed


def test_forwards_are_followed_one_at_a_time(monkeypatch):
    """Of two threads that trace at once, torch.fx leaves what it puts around all modules behind for ever."""
    held, trace = [], silent._Tracer.trace

    def watched(tracer, model):
        held.append(silent._TRACING.locked())
        return trace(tracer, model)

    monkeypatch.setattr(silent._Tracer, "trace", watched)
    pruned(residual(), "stem", 5, "l2")
    assert held
    assert all(held)
    assert not silent._TRACING.locked()


def test_channels_that_a_norm_kills_before_a_gated_unit_go_first():
    model = nn.Sequential(nn.Conv2d(3, 12, 1), nn.BatchNorm2d(12), nn.GLU(1), nn.Conv2d(6, 2, 1)).eval()
    with torch.no_grad():
        for place in (1, 4, 7, 10):  # a value and its gate are six apart
            model[1].weight[place] = model[1].bias[place] = 0
        model[0].weight[[1, 4, 7, 10]] *= 100  # strong by their weights
    step = Step(transform="channel_prune", layers=("0",), settings=settings(channels=4))
    done = apply(model, Plan(steps=(step,)), IMAGE, repair=False)
    with torch.no_grad():
        torch.testing.assert_close(done.model(IMAGE), model(IMAGE), rtol=1e-5, atol=1e-6)


def test_profile_groups_are_those_that_the_tests_are_about():
    assert [group.name for group in profile(residual(), IMAGE).groups if not group.obstacle] == ["stem"]
