"""A profile to show, and a session's place on the board."""

from __future__ import annotations

import threading
import time

import pytest

from effwidgets.records import COMMANDS, Cost, Environment, LayerProfile, Memory, Profile

ORIGIN = "Net-widgets-test"


@pytest.fixture
def profile() -> Profile:
    cost = Cost(params=10, param_bytes=40, macs=20, saved_bytes=8)
    return Profile(
        model="Net",
        inputs=((1, 4),),
        dtype="float32",
        environment=Environment(torch="2.13.0", device="cpu", threads=1),
        layers=(
            LayerProfile(name="", kind="Net", outputs=((1, 2),), cost=cost),
            LayerProfile(name="fc", kind="Linear", outputs=((1, 2),), cost=cost, self_cost=cost),
        ),
        cost=cost,
        memory=Memory(param_bytes=40, inference_peak_bytes=8, inference_peak_at="fc", saved_bytes=8),
        origin=ORIGIN,
    )


class Session:
    """Takes commands as a session does; ``error`` is raised instead."""

    def __init__(self):
        self.commands, self.threads, self.error = [], [], None

    def handle(self, command):
        self.threads.append(threading.current_thread())
        if self.error is not None:
            raise self.error
        self.commands.append(command)


@pytest.fixture
def session():
    owner = Session()
    COMMANDS.add(ORIGIN, owner.handle)
    yield owner
    COMMANDS.remove(ORIGIN)


@pytest.fixture
def eventually():
    """Wait for something that another thread does; fail after five seconds."""

    def wait(condition):
        end = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < end, "it did not happen within five seconds"
            time.sleep(0.01)

    return wait
