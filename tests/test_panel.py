from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import get_type_hints

import IPython
import IPython.display
import pytest
import torch
from torch import nn

from effwidgets import panel
from effwidgets.errors import InputError
from effwidgets.session import session_of
from effwidgets.widgets.comm import DOWN, UP
from effwidgets.widgets.views import LiveView


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.bn1(self.conv1(x)).mean((2, 3)))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embed.weight


class Rude:
    @property
    def __class__(self):
        raise RuntimeError("do not ask")


class Manager:
    def __init__(self):
        self.targets = {}

    def register_target(self, name, opened):
        self.targets[name] = opened


@pytest.fixture
def kernel(monkeypatch):
    """A kernel with two models, one called, and other things."""
    manager = Manager()
    shell = SimpleNamespace(user_ns={}, kernel=SimpleNamespace(comm_manager=manager, get_parent=dict))
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    shell.targets = manager.targets
    shell.user_ns.update(net=Net(), tied=Tied(), loss=nn.CrossEntropyLoss(), rude=Rude(), number=3, _hidden=Net())
    shell.user_ns["same"] = shell.user_ns["net"]
    panel.attach()
    yield shell
    panel.detach()


@pytest.fixture
def shown(monkeypatch):
    """What was displayed: widgets, and mime bundles."""
    found = []
    monkeypatch.setattr(IPython.display, "display", lambda thing, raw=False: found.append(thing))
    yield found
    for thing in found:
        if isinstance(thing, LiveView):
            thing.close()


def rows(kernel):
    return {row["name"]: row for row in panel.models_in(kernel.user_ns)}


def test_models_are_found_largest_first_each_once_and_nothing_else(kernel):
    found = panel.models_in(kernel.user_ns)
    assert [row["name"] for row in found] == ["net", "tied"]
    assert [set(row) for row in found] == [set(get_type_hints(panel.ModelRow))] * 2


def test_the_size_counts_each_tensor_once_and_buffers_in_bytes_only(kernel):
    assert (rows(kernel)["tied"]["params"], rows(kernel)["tied"]["param_bytes"]) == (40, 160)
    net = kernel.user_ns["net"]
    params = sum(one.numel() for one in net.parameters())
    assert rows(kernel)["net"]["params"] == params
    assert rows(kernel)["net"]["param_bytes"] == 4 * params + 4 * 8 + 8  # two buffers of 4 floats and a counter


def test_a_lazy_model_that_was_never_called_is_listed(kernel):
    kernel.user_ns["lazy"] = nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 1))
    assert rows(kernel)["lazy"]["params"] == 4


def test_before_a_call_there_is_a_guess_and_after_it_the_shape_seen(kernel):
    row = rows(kernel)["net"]
    assert (row["shape"], row["guess"], row["guess_note"]) == (None, "1, 3, 32, 32", "guessed from conv1; edit it")
    kernel.user_ns["net"](torch.zeros(2, 3, 8, 8))
    assert rows(kernel)["net"]["shape"] == "2, 3, 8, 8"


def test_a_call_seen_by_the_session_counts_too(kernel):
    session_of(kernel.user_ns["net"]).profile(torch.zeros(5, 3, 8, 8))
    assert rows(kernel)["net"]["shape"] == "5, 3, 8, 8"


def test_without_torch_in_the_kernel_there_are_no_models_and_torch_stays_out(kernel, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    assert panel.models_in(kernel.user_ns) == []
    assert "torch" not in sys.modules


def test_attaching_announces_both_channels_and_twice_is_no_harm(kernel):
    first = panel._Attached.channels
    panel.attach()
    assert panel._Attached.channels is first
    assert set(kernel.targets) == {UP, DOWN}


def test_the_panels_question_is_answered_with_the_models(kernel):
    answer = panel._list({"kind": "list", "id": "q"})
    assert answer["kind"] == "models"
    assert [row["name"] for row in answer["models"]] == ["net", "tied"]


def test_outside_of_a_kernel_the_panel_says_so(monkeypatch):
    monkeypatch.setattr(IPython, "get_ipython", lambda: None)
    with pytest.raises(InputError, match="no running kernel"):
        panel.attach()


def test_opening_a_model_never_called_shows_its_parameters_only(kernel, shown):
    panel.open_model("net")
    [live] = shown
    assert live.payload["partial"] is True
    assert live.payload["totals"]["params"] == rows(kernel)["net"]["params"]


def test_opening_a_model_that_was_called_profiles_that_call(kernel, shown):
    kernel.user_ns["net"](torch.zeros(2, 3, 8, 8))
    panel.open_model("net")
    assert shown[-1].payload["inputs"].startswith("2 × 3 × 8 × 8")
    assert (
        shown[-1].payload["totals"]["macs"] == 2 * 8 * 8 * 27 * 4 + 2 * 4 * 2
    )  # the convolution and the head, batch 2


def test_opening_with_a_shape_profiles_that_shape_and_replaces_the_last_view(kernel, shown):
    panel.open_model("net", "1, 3, 16, 16")
    first = shown[-1]
    panel.open_model("net", "1, 3, 8, 8")
    assert first.comm is None
    assert shown[-1].payload["inputs"].startswith("1 × 3 × 8 × 8")


@pytest.mark.parametrize("shape", ["1, 7, 8, 8", "nonsense"])
def test_a_wrong_guess_is_said_above_the_parameters_and_not_remembered(kernel, shown, shape):
    panel.open_model("net", shape)
    said, live = shown
    assert said["text/plain"]
    assert 'role="alert"' in said["text/html"]
    assert live.payload["partial"] is True
    assert session_of(kernel.user_ns["net"]).seen is None
    assert rows(kernel)["net"]["shape"] is None


def test_a_name_that_is_not_there_is_answered_with_those_that_are(kernel, shown):
    panel.open_model("<b>nett</b>")
    [said] = shown
    assert "'net'" in said["text/plain"]
    assert "<b>" not in said["text/html"]


def test_opening_leaves_the_model_as_it_was(kernel, shown):
    net = kernel.user_ns["net"].train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    state = torch.get_rng_state()
    panel.open_model("net", "1, 3, 8, 8")
    assert net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in net.parameters())
