"""What every crew promises."""

from __future__ import annotations

import os
import time

import pytest
import torch

from effwidgets.errors import SearchError
from tests.search.crews.conftest import LIMIT_S, maker_kit, order

KINDS = [
    "threads",
    "thread pool",
    pytest.param("processes", marks=pytest.mark.slow),
    pytest.param("process pool", marks=pytest.mark.slow),
    pytest.param("dask", marks=pytest.mark.slow),
]
every = pytest.mark.parametrize("kind", KINDS)


def facts(future):
    candidate = future.result(LIMIT_S).candidate
    assert candidate.state == "done", candidate.note
    return {score.metric: score.value for score in candidate.scores}


@every
def test_each_order_is_answered_once_by_its_own_number_and_seed(crews, kind):
    crew = crews(kind)
    futures = [crew.submit(order(number, seed=100 + number)) for number in range(9)]
    answers = [future.result(LIMIT_S).candidate for future in futures]
    assert [(answer.number, answer.seed, answer.state) for answer in answers] == [
        (number, 100 + number, "done") for number in range(9)
    ]


@every
def test_two_orders_are_done_at_once_and_never_more_than_the_slots(crews, kind):
    crew = crews(kind)
    assert crew.slots == 2
    for future in [crew.submit(order(number)) for number in (1, 2)]:
        future.result(LIMIT_S)  # workers have started
    began = time.monotonic()
    futures = [crew.submit(order(number, "sleep 1")) for number in range(4)]
    places = {(facts(future)["pid"], facts(future)["thread"]) for future in futures}
    # Four sleeps of 1 s, two at a time: 2 s and what the machine adds; one at a time would be 4 s at least.
    assert 1.9 < time.monotonic() - began < 3.9
    assert len(places) >= 2


@every
def test_a_workshop_is_built_once_in_each_worker_and_not_for_each_order(crews, kind):
    crew = crews(kind)
    futures = [crew.submit(order(number)) for number in range(12)]
    by_process = {}
    for future in futures:
        known = facts(future)
        by_process.setdefault(known["pid"], set()).add(known["built"])
    assert all(len(built) == 1 for built in by_process.values())


@every
def test_what_an_order_raises_reaches_the_caller_and_the_next_one_is_done(crews, kind):
    crew = crews(kind)
    future = crew.submit(order(1, "raise"))
    error = future.exception(LIMIT_S)
    text = str(error) if error is not None else future.result().candidate.note
    assert "a fault of the maker" in text
    assert facts(crew.submit(order(2)))["pid"]


@every
def test_stop_cancels_what_runs_and_what_waits_and_the_crew_goes_on_afterwards(crews, kind):
    crew = crews(kind)
    crew.submit(order(0)).result(LIMIT_S)
    crew.submit(order(0)).result(LIMIT_S)
    futures = [crew.submit(order(number, "loop 120")) for number in range(4)]
    time.sleep(0.5)
    began = time.monotonic()
    crew.stop()
    assert time.monotonic() - began < 5  # it returns at once
    states = [future.result(LIMIT_S).candidate.state for future in futures]
    assert states == ["cancelled"] * 4
    assert time.monotonic() - began < 30  # and not after the loops, of 120 s
    assert facts(crew.submit(order(9)))["pid"]  # which a worker that is still in its loop could not do


@every
def test_an_order_beyond_the_slots_can_be_taken_back(crews, kind):
    crew = crews(kind)
    running = [crew.submit(order(number, "sleep 2")) for number in range(2)]
    waiting = crew.submit(order(2))
    assert waiting.cancel()
    assert [future.result(LIMIT_S).candidate.state for future in running] == ["done", "done"]


@every
def test_a_call_that_hangs_over_its_time_limit_fails_its_order_and_no_other(crews, kind):
    crew = crews(kind)
    crew.submit(order(0)).result(LIMIT_S)
    began = time.monotonic()
    hanging, other = crew.submit(order(1, "limited-sleep 100")), crew.submit(order(2))
    candidate = hanging.result(LIMIT_S).candidate
    assert candidate.state == "failed"
    assert "time limit of 0.3 s" in candidate.note
    assert time.monotonic() - began < 50
    assert facts(other)["pid"]
    assert facts(crew.submit(order(3)))["pid"]


@every
def test_a_closed_crew_takes_no_order_and_can_be_closed_again(crews, kind):
    crew = crews(kind, maker_kit())
    crew.close()
    crew.close()
    with pytest.raises(SearchError, match="sent home"):
        crew.submit(order(1))


@every
def test_no_crew_changes_the_random_state_or_the_thread_count_of_the_caller(crews, kind):
    kit = maker_kit(model=torch.nn.Identity())
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    crew = crews(kind, kit)
    facts(crew.submit(order(1, seed=5)))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("kind", KINDS[2:])
def test_other_processes_do_the_work_and_send_no_model_back(crews, kind):
    crew = crews(kind)
    made = crew.submit(order(1)).result(LIMIT_S)
    assert {score.metric: score.value for score in made.candidate.scores}["pid"] != os.getpid()
    assert made.applied is None


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_kit_that_cannot_be_built_there_says_why(crews, kind):
    crew = crews(kind, maker_kit(broken="no such data set"))
    with pytest.raises(SearchError, match="no such data set"):
        crew.submit(order(1)).result(LIMIT_S)


def test_threads_end_when_there_is_no_work(crews, monkeypatch):
    from effwidgets.search.crews import hands

    monkeypatch.setattr(hands, "_IDLE_S", 0.05)
    crew = crews("threads")
    crew.submit(order(1)).result(LIMIT_S)
    until = time.monotonic() + LIMIT_S
    while crew._hands._threads:
        assert time.monotonic() < until
        time.sleep(0.05)
