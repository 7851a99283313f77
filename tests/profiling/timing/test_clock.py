from __future__ import annotations

import threading
import time

import pytest
import torch
from torch import nn

from effwidgets.profiling.calls import Call
from effwidgets.profiling.timing.clock import Clock
from effwidgets.profiling.timing.latency import measure_latency

GPU = torch.device("cuda", 1)


def test_a_call_on_the_processor_takes_the_time_that_it_sleeps():
    seconds = Clock([torch.device("cpu")]).time(time.sleep, (0.02,))
    assert 0.02 <= seconds < 1  # a sleep never ends early; a loaded machine may end it late


def test_arguments_arrive():
    heard = []
    Clock([]).time(lambda *args, **kwargs: heard.append((args, kwargs)), (1, 2), {"name": 3})
    assert heard == [((1, 2), {"name": 3})]


@pytest.fixture
def log(monkeypatch):
    """A stand-in for `torch.cuda` that writes down what is asked of it, and times 3 ms between two events."""
    said = []

    class Event:
        def __init__(self, *, enable_timing):
            assert enable_timing
            self.name = f"event {sum(line.startswith('new') for line in said)}"
            said.append(f"new {self.name}")

        def record(self, stream):
            said.append(f"record {self.name} on {stream}")

        def elapsed_time(self, other):
            said.append(f"{self.name} to {other.name}")
            return 3.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"stream of {device}")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: said.append(f"wait for {device}"))
    return said


def test_one_gpu_is_timed_by_its_events_and_waited_for_before_the_first_and_after_the_second(log):
    clock = Clock([torch.device("cpu"), GPU, GPU])
    assert clock.time(lambda: log.append("work")) == pytest.approx(0.003)
    assert log[2:] == [
        "wait for cuda:1",
        "record event 0 on stream of cuda:1",
        "work",
        "record event 1 on stream of cuda:1",
        "wait for cuda:1",
        "event 0 to event 1",
    ]
    assert (clock.by_events, clock.cuda) == (True, [1])


def test_several_devices_are_all_waited_for_on_both_sides_of_the_clock_on_the_wall(log):
    clock = Clock([torch.device("cuda", 0), GPU])
    assert 0 < clock.time(lambda: log.append("work")) < 1
    assert log == ["wait for cuda:0", "wait for cuda:1", "work", "wait for cuda:0", "wait for cuda:1"]
    assert (clock.by_events, clock.cuda) == (False, [0, 1])


def test_a_device_without_a_number_is_waited_for_without_one(monkeypatch):
    waits = []
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waits.append("mps"))
    assert Clock([torch.device("mps")]).time(lambda: waits.append("work")) > 0
    assert waits == ["mps", "work", "mps"]


def test_beside_the_main_thread_a_measurement_leaves_the_process_its_random_numbers():
    drawn, stop = [], threading.Event()
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    beside = threading.Thread(target=lambda: (measure_latency(model, Call((torch.zeros(2, 4),))), stop.set()))
    torch.manual_seed(3)
    expected = torch.rand(400)
    torch.manual_seed(3)
    beside.start()
    while len(drawn) < 400:
        drawn.append(torch.rand(1))
        if not stop.is_set():
            time.sleep(0.001)
    beside.join()
    assert torch.equal(torch.cat(drawn), expected)
