"""Threads of searches that overlap."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from torch import nn

from effwidgets.profiling.timing.alone import alone, working
from effwidgets.search.engine.gate import Gate, leave_behind, own_threads


@pytest.fixture
def _two():
    """Let torch compute with two threads, as on a machine with more cores, and put it back."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def of_a_new_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


class Search:
    """Computes with few threads, on a thread of its own, until it is ended."""

    def __init__(self):
        self._begun, self._end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._begun.wait(10)

    def _run(self):
        with own_threads(64):
            self.count = torch.get_num_threads()
            self._begun.set()
            assert self._end.wait(10)

    def end(self):
        self._end.set()
        self._thread.join(10)


@pytest.mark.usefixtures("_two")
@pytest.mark.parametrize("first_ends_first", [True, False])
def test_after_two_searches_that_overlap_new_threads_compute_as_before_the_first(first_ends_first):
    one = Search()
    other = Search()
    assert (one.count, other.count) == (1, 1)
    for search in (one, other) if first_ends_first else (other, one):
        search.end()
    assert of_a_new_thread() == 2
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("_two")
def test_a_search_is_no_reason_to_change_what_the_main_thread_was_set_to():
    search = Search()
    torch.set_num_threads(1)
    with own_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 1
    search.end()


def test_a_search_stands_still_at_its_next_forward_while_a_time_is_measured():
    gate, model, forwards, over = Gate(), nn.Identity(), [], threading.Event()

    def search():
        with working(), gate.guard(model):
            while not over.is_set():
                forwards.append(model(None))
                time.sleep(0.001)

    thread = threading.Thread(target=search, daemon=True)
    thread.start()
    while not forwards:
        time.sleep(0.001)
    with alone() as undisturbed:
        assert undisturbed
        before = len(forwards)
        time.sleep(0.05)
        assert len(forwards) <= before + 1  # the forward itself may be waiting between its hook and the list
    over.set()
    thread.join(10)
    assert len(forwards) > before


@pytest.mark.usefixtures("_two")
def test_a_thread_that_was_left_behind_counts_no_more_and_changes_nothing_when_it_comes_back():
    hanging = Search()
    leave_behind(hanging._thread.ident)
    torch.set_num_threads(1)  # nobody else computes: what is set now is what the next search begins with
    other = Search()
    hanging.end()
    assert of_a_new_thread() == 1
    other.end()
    assert of_a_new_thread() == 1
