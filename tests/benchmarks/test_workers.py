"""The processes in which the benchmarks' contenders run."""

import os
import signal
import time

import pytest

from benchmarks._workers import Worker


def hang():
    return lambda: time.sleep(600)


def answer():
    return lambda: 7


def die():
    return lambda: os.kill(os.getpid(), signal.SIGKILL)


def absent():
    raise ImportError("no such peer")


@pytest.fixture
def worker():
    # A second is a hundred times what an answer takes, fork and all.
    with Worker([answer, hang, die, absent], limit_s=1.0) as one:
        yield one


def test_a_turn_that_hangs_ends_with_its_limit_and_the_others_go_on(worker):
    assert worker.turn(0).value == 7
    start = time.monotonic()
    assert worker.turn(1).failure == "timed out: no answer in 1 s"
    assert time.monotonic() - start < 60  # it sleeps for ten minutes
    assert worker.turn(0).value == 7


def test_what_was_too_slow_once_is_not_waited_for_again(worker):
    first = worker.turn(1)
    start = time.monotonic()
    assert worker.turn(1) == first
    assert time.monotonic() - start < 0.5  # half of the limit


def test_a_process_that_ends_and_a_peer_that_is_absent_are_said(worker):
    assert worker.turn(3).failure == "absent: not installed"
    assert worker.turn(2).failure == "died: its process ended"
