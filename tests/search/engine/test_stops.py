"""A stop that takes effect within one forward, however the model is called."""

from __future__ import annotations

import contextlib
import copy
import pickle
import time

import pytest
import torch
from torch import nn

from effwidgets.errors import Cancelled
from effwidgets.search.engine.gate import Gate, OutOfTimeError
from effwidgets.search.engine.stops import Stop


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.body(x))


X = torch.ones(3, 4)


def by_grandchildren(model):
    def walk(x):
        for module in model.body:
            x = module(x)
        return x

    return walk


WAYS = {
    "itself": lambda model: model,
    "its method forward": lambda model: model.forward,
    "a child": lambda model: model.head,
    "children of a child": by_grandchildren,
    "a wrapper of many devices": nn.DataParallel,
    "a copy": copy.deepcopy,
    "a module around it": lambda model: nn.Sequential(model, nn.Softmax(1)),
}


def forwards_after(gate, model, wrap, act, limit_s=None):
    """Call again and again; return how many calls came through after ``act``."""
    count = 0
    try:
        with gate.guard(model, limit_s):
            call = wrap(model)
            call(X)
            act()
            for _ in range(50):
                call(X)
                count += 1
    except (Cancelled, OutOfTimeError) as error:
        return count, type(error)
    return count, None


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_cancel_stops_the_next_forward_of(way):
    gate = Gate()
    assert forwards_after(gate, Net(), way, gate.cancel) == (0, Cancelled)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_time_limit_stops_the_next_forward_of(way):
    assert forwards_after(Gate(), Net(), way, lambda: time.sleep(1.1), 1.0) == (0, OutOfTimeError)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # the compiler's own looking around
@pytest.mark.slow  # the compiler takes seconds to be imported
def test_a_cancel_stops_the_next_forward_of_a_compiled_model_each_time_it_is_guarded():
    model = Net()
    for _ in range(2):  # the second time, what was compiled the first time is found again
        gate = Gate()
        assert forwards_after(gate, model, lambda model: torch.compile(model, backend="eager"), gate.cancel) == (
            0,
            Cancelled,
        )
    torch.compile(model, backend="eager")(X)


def test_a_function_that_turns_the_stop_into_an_error_of_its_own_or_into_nothing_is_found_out():
    model, gate = Net(), Gate()
    gate.cancel()

    def turned():
        try:
            model(X)
        except Cancelled as error:
            raise ValueError from error

    def swallowed():
        with contextlib.suppress(Cancelled):
            model(X)

    for function in (turned, swallowed):
        with pytest.raises(Cancelled), gate.guard(model):
            function()


def test_nothing_is_left_on_the_model_and_a_copy_made_meanwhile_goes_on():
    model, gate = Net(), Gate()
    with gate.guard(model, 60.0):
        copied, pickled = copy.deepcopy(model), pickle.loads(pickle.dumps(model))  # noqa: S301  our own
    gate.cancel()
    assert all(not module._forward_pre_hooks for module in model.modules())
    want = model(X)
    assert torch.equal(copied(X), want)
    assert torch.equal(pickled(X), want)


def test_a_pickle_made_meanwhile_needs_no_gate_and_is_not_stopped():
    model, gate = Net(), Gate()
    with gate.guard(model):
        pickled = pickle.loads(pickle.dumps(model))  # noqa: S301  our own
        gate.cancel()
        pickled(X)


def test_a_module_that_is_used_twice_is_stopped_once_per_call():
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    stop = Stop(lambda: None, None)
    with stop.on(model):
        assert len(shared._forward_pre_hooks) == 1
        model(X)
    assert stop.raised == []
