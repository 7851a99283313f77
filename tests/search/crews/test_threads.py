"""Threads share one workshop: what two do at once is, to the bit, what one does alone; one that hangs is left behind."""

from __future__ import annotations

import copy
import threading
import time

import pytest
import torch

from effwidgets.profiling.calls import as_call
from effwidgets.profiling.timing.alone import alone
from effwidgets.records import Plan, Step, settings
from effwidgets.search.crews import threads
from effwidgets.search.crews.hands import Job
from effwidgets.search.crews.kit import Kit
from effwidgets.search.crews.threads import ThreadCrew
from effwidgets.search.engine.options import SearchOptions
from effwidgets.search.engine.orders import Order
from effwidgets.search.engine.workshop import Workshop
from tests.search.conftest import fingerprint, same
from tests.search.crews.conftest import LIMIT_S, maker_kit, order


def step(transform, layer, **values):
    return Step(transform=transform, layers=(layer,), settings=settings(**values))


MIXED = (
    Plan(steps=(step("channel_prune", "conv1", channels=12), step("channel_prune", "stem", channels=8))),
    Plan(steps=(step("spatial_svd", "conv1", rank=8), step("low_rank", "fc", rank=4))),
    Plan(steps=(step("channel_prune", "conv1", channels=16), step("spatial_svd", "conv2", rank=10))),
    Plan(steps=(step("tucker2", "conv1", rank_in=6, rank_out=8),)),
    Plan(steps=(step("low_rank", "conv2", rank=8), step("fold_bn", "bn0"))),
    Plan(steps=(step("bottleneck", "conv1", rank_in=6, rank_out=8),)),
    Plan(steps=(step("int8", "fc"),)),
    Plan(steps=(step("cp", "conv2", rank=12),)),
)


def trained_a_little(model, teacher):
    # With a generator of its own, as a function that runs in a thread has to.
    dice = torch.Generator().manual_seed(7)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    model.train()
    for _ in range(2):
        x = torch.randn(8, 3, 8, 8, generator=dice)
        optimizer.zero_grad()
        ((model(x) - teacher(x).detach()) ** 2).mean().backward()
        optimizer.step()


def score_of(images):
    def score(model):
        with torch.no_grad():
            return {"sum": model(images).double().sum().item(), "largest": model(images).double().max().item()}

    return score


@pytest.fixture
def workshop(convolutional, images):
    options = SearchOptions(calibration=[images[:8], images[8:]], finetune=trained_a_little)
    return Workshop(convolutional, as_call(images[:2]), score_of(images), options)


def orders(times=1):
    known = [(plan, rung) for plan in MIXED for rung in ("repaired", "fine-tuned")] * times
    return [
        Order(number=number, plan=plan, rung=rung, seed=number, main="sum")
        for number, (plan, rung) in enumerate(known, start=1)
    ]


def results(crew, given):
    answers = [future.result(300) for future in [crew.submit(one) for one in given]]
    crew.close()
    known = []
    for made in answers:
        candidate = made.candidate
        assert candidate.state == "done", candidate.note
        known.append(
            (candidate.plan, candidate.rung, candidate.edits, candidate.scores, candidate.measures, candidate.cost)
        )
    return known, answers


@pytest.mark.slow
def test_two_at_once_give_the_same_bits_as_one_and_leave_the_dense_model_alone(workshop):
    one_thread = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        before = fingerprint(workshop.model)
        state = torch.get_rng_state()
        alone_known, alone_made = results(ThreadCrew(workshop, 1), orders())
        again = copy.copy(workshop)
        for _ in range(2):
            known, made = results(ThreadCrew(again, 4), orders())  # more threads than cores, so that they mix
            assert known == alone_known
            assert [answer.tensors for answer in made] == [answer.tensors for answer in alone_made]
        assert torch.equal(torch.get_rng_state(), state)
        assert same(before, fingerprint(workshop.model))
    finally:
        torch.set_num_threads(one_thread)


def test_a_thread_that_hangs_is_left_behind_logged_and_what_it_returns_later_is_dropped(caplog):
    crew = ThreadCrew(Kit.unpack(maker_kit().pack()), 1, grace_s=0.1)
    future = crew.submit(order(1, "limited-sleep 1.5"))
    made = future.result(LIMIT_S)
    assert made.candidate.state == "failed"
    assert crew.submit(order(2)).result(LIMIT_S).candidate.state == "done"  # the one thread has a successor
    assert "hangs in candidate 1" in caplog.text
    left = [thread for thread in threading.enumerate() if thread.name.startswith("effwidgets-worker")]
    for thread in left[:1]:
        thread.join(LIMIT_S)  # it comes back from its sleep
    assert future.result() is made
    crew.close()


def test_a_measurement_does_not_wait_for_a_thread_that_was_left_behind():
    crew = ThreadCrew(Kit.unpack(maker_kit().pack()), 1, grace_s=0.1)
    crew.submit(order(1, "limited-sleep 8")).result(LIMIT_S)
    began = time.monotonic()
    with alone() as undisturbed:
        assert undisturbed
    assert time.monotonic() - began < 5  # the sleep goes on for longer than that
    crew.close()


def test_the_time_limit_of_a_call_that_stood_still_for_a_measurement_ends_with_the_call(monkeypatch):
    crew, job = ThreadCrew(Kit.unpack(maker_kit().pack()), 1, grace_s=0.02), Job(order=order(1))
    asked = threading.Event()

    def stands_still(thread):
        asked.set()
        return False

    monkeypatch.setattr(threads, "disown", stands_still)
    crew._watch(job, 0.01)
    assert asked.wait(LIMIT_S)
    time.sleep(0.01)  # until its limit was put off
    crew._watch(job, None)
    monkeypatch.setattr(threads, "disown", lambda thread: True)
    time.sleep(0.2)
    assert not job.over
    crew.close()


def test_each_thread_computes_with_its_share_of_the_cores():
    before = torch.get_num_threads()
    crew = ThreadCrew(Kit.unpack(maker_kit().pack()), 64)
    candidate = crew.submit(order(1)).result(LIMIT_S).candidate
    assert candidate.score("threads") == 1
    assert torch.get_num_threads() == before
    crew.close()


def test_what_ends_a_program_reaches_the_caller_as_it_is():
    crew = ThreadCrew(Kit.unpack(maker_kit().pack()), 1)
    assert isinstance(crew.submit(order(1, "leave")).exception(LIMIT_S), SystemExit)
    assert crew.submit(order(2)).result(LIMIT_S).candidate.state == "done"
    crew.close()
