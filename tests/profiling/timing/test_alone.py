from __future__ import annotations

import threading
import time

import pytest

from effwidgets.profiling.timing.alone import _DESK, alone, give_way, working


class Worker(threading.Thread):
    """Counts in small steps inside of `working`, with or without giving way, until it is told to stop."""

    def __init__(self, *, polite=True):
        super().__init__(daemon=True)
        self.polite, self.steps, self.over, self.begun = polite, 0, threading.Event(), threading.Event()
        self.start()
        assert self.begun.wait(5)

    def run(self):
        with working():
            while not self.over.is_set():
                if self.polite:
                    give_way()
                self.steps += 1
                self.begun.set()
                time.sleep(0.001)

    def end(self):
        self.over.set()
        self.join(5)
        assert not self.is_alive()


def still(worker):
    before = worker.steps
    time.sleep(0.05)
    return worker.steps == before


@pytest.fixture(autouse=True)
def _nothing_is_left():
    yield
    assert (_DESK.workers, _DESK.wanting, _DESK.depth) == ({}, [], 0)


def test_work_stands_still_while_a_measurement_runs_and_goes_on_after_it():
    worker = Worker()
    with alone() as undisturbed:
        assert undisturbed
        assert still(worker)
    assert not still(worker)
    worker.end()


def test_work_that_begins_during_a_measurement_waits_for_its_end():
    with alone():
        entered = threading.Event()

        def work():
            with working():
                entered.set()

        late = threading.Thread(target=work, daemon=True)
        late.start()
        assert not entered.wait(0.05)
    assert entered.wait(5)
    late.join(5)


def test_work_that_never_gives_way_is_waited_for_a_while_and_then_the_measurement_says_so():
    worker = Worker(polite=False)
    began = time.monotonic()
    with alone(patience_s=0.1) as undisturbed:
        assert not undisturbed
    assert time.monotonic() - began < 5
    worker.end()


def test_a_worker_may_measure_and_measurements_nest():
    with working(), alone() as outer, working(), alone() as inner:
        give_way()
        assert outer
        assert inner


def test_two_workers_that_both_measure_take_turns_and_none_waits_for_ever():
    inside, most, done = 0, 0, []

    def measure(_):
        nonlocal inside, most
        with working():
            for _ in range(5):
                with alone(patience_s=5) as undisturbed:
                    inside += 1
                    most = max(most, inside)
                    time.sleep(0.002)
                    inside -= 1
                    done.append(undisturbed)

    threads = [threading.Thread(target=measure, args=(0,), daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most == 1
    assert done == [True] * 20


def test_an_exception_in_a_measurement_lets_the_others_go_on():
    worker = Worker()
    with pytest.raises(KeyboardInterrupt), alone():
        raise KeyboardInterrupt
    assert not still(worker)
    worker.end()
