"""What is played back is what would have been computed, to the last bit; what changed is computed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from effwidgets.search.advice import replay as replay_module
from effwidgets.search.advice.replay import Replay


@pytest.fixture
def counted(monkeypatch):
    """The layers that were really computed, by class, in order."""
    seen = []
    compute = replay_module._compute

    def count(module, args, kwargs):
        seen.append(type(module).__name__)
        return compute(module, args, kwargs)

    monkeypatch.setattr(replay_module, "_compute", count)
    return seen


class Forked(nn.Module):
    """A shortcut, operations in place, a layer run twice, one called by keyword."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm, self.pool = nn.BatchNorm2d(8), nn.MaxPool2d(2)
        self.left, self.right = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.again = nn.Linear(8, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.pool(functional.relu(self.norm(self.stem(x)), inplace=True))
        y = self.left(x)
        y += self.right(x)
        y.relu_()
        x = y.mean((2, 3))
        x = self.again(self.again(x))
        return self.head(input=x)


def shared(model):
    """A copy of the tree with the same parameters."""
    return copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})


@pytest.fixture
def forked():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Forked().eval()


@pytest.fixture
def x():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def recorded(model, x):
    found = Replay()
    with torch.no_grad(), found.recording(model):
        found_outputs = model(x)
    return found, found_outputs


def test_a_copy_that_did_not_change_computes_only_what_was_not_recorded(forked, x, counted):
    found, outputs = recorded(forked, x)
    assert counted == ["Conv2d", "BatchNorm2d", "MaxPool2d", "Conv2d", "Conv2d", "Linear", "Linear", "Linear"]
    counted.clear()
    for _ in range(2):  # operations in place did not write into the record
        twin = shared(forked)
        with torch.no_grad(), found.into(twin):
            assert torch.equal(twin(x), outputs)
    assert counted == ["Linear", "Linear"]  # the one called by keyword, each time


def test_what_comes_after_a_change_is_computed_and_what_stands_beside_it_is_not(forked, x, counted):
    found, _ = recorded(forked, x)
    twin = shared(forked)
    twin.left = nn.Conv2d(8, 8, 3, padding=1)
    with torch.no_grad():
        expected = twin(x)
        counted.clear()
        with found.into(twin):
            assert torch.equal(twin(x), expected)
    assert counted == ["Linear", "Linear", "Linear"]  # the new layer is not asked through the record at all


def change_bias(model):
    model.left.bias = None


def change_setting(model):
    model.left.dilation, model.left.padding = (2, 2), (2, 2)


def change_forward(model):
    model.left.forward = lambda x: functional.relu(nn.Conv2d.forward(model.left, x))


def change_class(model):
    model.left.__class__ = type("Louder", (nn.Conv2d,), {"forward": lambda self, x: 2 * nn.Conv2d.forward(self, x)})


def change_parameter_to_tensor(model):
    weight = model.left.weight
    del model.left.weight
    model.left.weight = 2 * weight.detach()


def change_statistics(model):
    model.norm.running_mean = model.norm.running_mean + 1


def change_mode(model):
    model.norm.train()


CHANGES = [
    change_bias,
    change_setting,
    change_forward,
    change_class,
    change_parameter_to_tensor,
    change_statistics,
    change_mode,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_every_kind_of_change_to_a_layer_is_noticed(forked, x, change):
    found, outputs = recorded(forked, x)
    twin = shared(forked)
    change(twin)
    with torch.no_grad():
        expected = twin(x)
        with found.into(twin):
            assert torch.equal(twin(x), expected)
    assert not torch.equal(expected, outputs)


def test_batch_norm_in_training_mode_is_played_back_too(forked, x, counted):
    forked.norm.train()
    twin = shared(forked)  # before the recording: a forward in training mode changes the statistics
    found, outputs = recorded(forked, x)
    counted.clear()
    with torch.no_grad(), found.into(twin):
        assert torch.equal(twin(x), outputs)
    assert counted == ["Linear"]


def test_other_inputs_are_computed(forked, x):
    found, _ = recorded(forked, x)
    for other in (x + 1, x[:1], x.double().float() * 2, x.contiguous(memory_format=torch.channels_last)):
        with torch.no_grad():
            expected = forked(other)
            with found.into(forked):
                assert torch.equal(forked(other), expected)


def test_hooks_still_see_and_change_what_is_played_back(forked, x):
    found, _ = recorded(forked, x)
    twin = shared(forked)
    twin.stem.register_forward_hook(lambda module, args, output: output * 2)
    with torch.no_grad():
        expected = twin(x)
        with found.into(twin):
            assert torch.equal(twin(x), expected)


def test_inside_of_vmap_everything_is_computed(x):
    class Mapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 4)

        def forward(self, x):
            return torch.func.vmap(self.fc)(x)

    model = Mapped()
    found, outputs = recorded(model, x[:, 0])
    with torch.no_grad(), found.into(model):
        assert torch.equal(model(x[:, 0]), outputs)


def test_no_more_is_kept_than_there_is_room_for_and_the_first_layers_have_it(forked, x, counted, monkeypatch):
    monkeypatch.setattr(replay_module, "_MOST_BYTES", 4 * (2 * 3 * 64 + 2 * 8 * 64))  # what the stem takes in and gives
    found, outputs = recorded(forked, x)
    counted.clear()
    with torch.no_grad(), found.into(forked):
        assert torch.equal(forked(x), outputs)
    assert counted == ["BatchNorm2d", "MaxPool2d", "Conv2d", "Conv2d", "Linear", "Linear", "Linear"]


def test_the_model_has_its_own_forward_back_also_after_a_failure(forked, x):
    found = Replay()
    with pytest.raises(RuntimeError), found.recording(forked):
        forked(x[:, :2])
    assert not any("forward" in vars(module) for module in forked.modules())
