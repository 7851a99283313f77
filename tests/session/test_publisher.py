from __future__ import annotations

import itertools
import logging
import threading
import time
from typing import Any

import pytest

from effwidgets.session.publisher import Publisher
from effwidgets.widgets.board import BOARD


class Ear:
    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def hear(self, payload: dict[str, Any]) -> None:
        self.heard.append(payload)


@pytest.fixture
def ear(request: pytest.FixtureRequest) -> Ear:
    ear = Ear()
    BOARD.subscribe(request.node.name, "v", ear.hear)
    return ear


def test_a_burst_of_changes_is_sent_as_few_payloads_and_the_last_state_arrives(
    ear: Ear, request: pytest.FixtureRequest
) -> None:
    publisher = Publisher(interval_s=0.05)
    count = itertools.count()
    latest = [0]
    started = time.monotonic()
    for _ in range(2000):
        latest[0] = next(count)
        publisher.mark(request.node.name, "v", lambda: {"n": latest[0]})
    assert publisher.flush()
    elapsed = time.monotonic() - started
    assert ear.heard[-1] == {"n": 1999}
    # one at once, then one an interval; the machine may be slow, so the limit grows with the time that it took
    assert len(ear.heard) <= 2 + elapsed / 0.05


def test_a_payload_that_cannot_be_built_stops_nobody_else(
    ear: Ear, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = Publisher(interval_s=0.0)

    def broken() -> dict[str, Any]:
        raise RuntimeError("torn")

    with caplog.at_level(logging.ERROR):
        publisher.mark("somebody", "v", broken)
        publisher.flush()
    assert "torn" in caplog.text
    publisher.mark(request.node.name, "v", lambda: {"n": 1})
    assert publisher.flush()
    assert ear.heard == [{"n": 1}]


def test_nothing_is_sent_for_a_session_that_ended(ear: Ear, request: pytest.FixtureRequest) -> None:
    publisher = Publisher(interval_s=60.0)  # so long that the second can only have been forgotten
    publisher.mark(request.node.name, "v", lambda: {"n": 1})
    publisher.flush()
    publisher.mark(request.node.name, "v", lambda: {"n": 2})
    publisher.forget(request.node.name)
    assert publisher.flush()
    assert ear.heard == [{"n": 1}]


def test_a_forgotten_listener_hears_nothing_and_is_not_kept_alive() -> None:
    ear = Ear()
    BOARD.subscribe("o", "v", ear.hear)
    assert BOARD.heard("o", "v")
    del ear
    assert not BOARD.heard("o", "v")


def test_publishing_from_many_threads_reaches_the_listener(ear: Ear, request: pytest.FixtureRequest) -> None:
    publisher = Publisher(interval_s=0.0)
    threads = [
        threading.Thread(target=lambda: publisher.mark(request.node.name, "v", lambda: {"n": 1})) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert publisher.flush()
    assert ear.heard
