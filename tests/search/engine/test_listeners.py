"""Listeners are told seldom enough, and always the last."""

from __future__ import annotations

import threading
import time

from effwidgets.records import StudyState
from effwidgets.search.engine.listeners import Herald, Listeners


class Counter:
    """A search whose message is how often it changed."""

    def __init__(self):
        self.changes = 0
        self.asked = 0

    def state(self):
        self.asked += 1
        return StudyState(
            title="x", metric="score", better="higher", state="running", candidates=(), message=str(self.changes)
        )


def test_what_changes_a_thousand_times_is_told_seldom_and_the_last_change_always():
    counter, listeners, heard = Counter(), Listeners(), []
    last = threading.Event()
    herald = Herald(listeners, counter.state)

    def listener(state):
        heard.append(state.message)
        if state.message == "1000":
            last.set()

    listeners.add(listener)
    began = time.monotonic()
    for _ in range(1000):
        counter.changes += 1
        herald.change()
    assert last.wait(10)
    spent = time.monotonic() - began
    # The first at once, then one for each tenth of a second that passed, begun ones included.
    assert len(heard) <= 2 + spent / 0.1
    assert heard[0] == "1"
    assert [int(message) for message in heard] == sorted(map(int, heard))


def test_nothing_is_worked_out_while_nobody_listens():
    counter = Counter()
    herald = Herald(Listeners(), counter.state)
    herald.change()
    assert herald.tell() is None
    assert counter.asked == 0


def test_a_listener_may_change_the_search_it_hears_of():
    counter, listeners = Counter(), Listeners()
    herald = Herald(listeners, counter.state)
    told = []

    def listener(state):
        told.append(state)
        if len(told) < 3:
            herald.tell()

    listeners.add(listener)
    herald.tell()
    assert len(told) == 3


def test_one_that_left_hears_no_more_and_one_that_raises_stops_nobody(caplog):
    counter, listeners, heard = Counter(), Listeners(), []

    def broken(state):
        raise RuntimeError("a screen that is gone")

    listeners.add(broken)
    stop = listeners.add(heard.append)
    herald = Herald(listeners, counter.state)
    herald.tell()
    stop()
    herald.tell()
    assert len(heard) == 1
    assert "a screen that is gone" in caplog.text
