"""Which crew a search gets, from what the user said; and that the same candidates score the same in all of them."""

from __future__ import annotations

import concurrent.futures

import pytest
import torch

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.metrics.base import METRICS
from effwidgets.profiling.calls import as_call
from effwidgets.search.crews.executors import ExecutorCrew
from effwidgets.search.crews.hire import check_executor, crew_for, kit_of
from effwidgets.search.crews.kit import Kit
from effwidgets.search.crews.processes import ProcessCrew
from effwidgets.search.crews.threads import ThreadCrew
from effwidgets.search.engine.options import SearchOptions
from effwidgets.search.engine.orders import Order
from effwidgets.search.engine.workshop import Workshop
from tests.search.conftest import PLANS

ORDER = Order(number=1, plan=PLANS[0], rung="repaired", seed=1, main="score")


def drop(model, teacher):
    dice = torch.Generator().manual_seed(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    x = torch.randn(32, 12, generator=dice)
    for _ in range(3):
        optimizer.zero_grad()
        ((model(x) - teacher(x).detach()) ** 2).mean().backward()
        optimizer.step()


@pytest.fixture
def workshop(model, x, accuracy):
    return Workshop(model, as_call(x), accuracy, SearchOptions(calibration=x, finetune=drop, plans=PLANS))


@pytest.mark.parametrize("executor", [None, "threads"])
def test_threads_are_the_default_and_share_the_workshop(workshop, executor):
    crew = crew_for(executor, workshop, 3)
    assert isinstance(crew, ThreadCrew)
    assert crew.slots == 3


def test_processes_are_asked_for_by_name(workshop):
    crew = crew_for("processes", workshop, 2)
    assert isinstance(crew, ProcessCrew)
    assert crew.slots == 2
    assert crew.pids == ()  # none before there is work
    crew.close()


def test_an_executor_is_given_as_many_orders_as_it_has_workers_unless_told(workshop):
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        crew = crew_for(pool, workshop)
        assert isinstance(crew, ExecutorCrew)
        assert crew.slots == 5
        assert crew_for(pool, workshop, 2).slots == 2


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"no executor 'proceses'. Did you mean 'processes'.*'threads'"):
        check_executor("proceses")


@pytest.mark.parametrize(
    ("executor", "said"),
    [(3, "executor is int;"), (concurrent.futures.ThreadPoolExecutor, "executor is the class Thr")],
)
def test_something_else_is_refused_with_what_was_expected(executor, said):
    with pytest.raises(InputError, match=said + r".*Dask client.*ipyparallel"):
        check_executor(executor)


def test_a_kit_carries_what_a_workshop_reads_and_leaves_the_search_here(workshop):
    twin = Kit.unpack(kit_of(workshop).pack())
    assert isinstance(twin, Workshop)
    assert twin.options.plans is None
    assert twin.options.executor is None
    assert twin.rungs == workshop.rungs
    assert len(twin.calibration.batches) == len(workshop.calibration.batches)


def test_what_was_added_by_hand_is_known_to_workers_and_not_added_twice(workshop):
    class Halved:  # of a notebook: it travels whole
        name, title, unit, better = "halved_for_test", "Half of the MACs", "", "lower"

        def measure(self, profile):
            return profile.cost.macs / 2

    METRICS.add("halved_for_test", Halved())
    try:
        packed = kit_of(workshop).pack()
        Kit.unpack(packed)
        METRICS.remove("halved_for_test")
        Kit.unpack(packed)
        assert "halved_for_test" in METRICS
        made = crew_for(None, Kit.unpack(packed)).submit(ORDER).result(60)
        assert {one.metric: one.value for one in made.candidate.measures}[
            "halved_for_test"
        ] == made.candidate.cost.macs / 2
    finally:
        METRICS.remove("halved_for_test")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["processes", "process pool", "dask"])
def test_the_same_candidates_score_the_same_bits_as_in_a_thread(workshop, kind, request):
    orders = [
        Order(number=number, plan=plan, rung=rung, seed=number, main="score")
        for number, (plan, rung) in enumerate(((p, r) for p in PLANS for r in ("repaired", "fine-tuned")), start=1)
    ]
    executor = {"process pool": "pool", "dask": "dask_client"}.get(kind)
    there = crew_for("processes" if executor is None else request.getfixturevalue(executor), workshop, 2)
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # sums of floats depend on how many threads share them
    try:
        here = crew_for(None, workshop, 2)
        answers = [[future.result(120) for future in [crew.submit(one) for one in orders]] for crew in (here, there)]
    finally:
        torch.set_num_threads(before)
        here.close()
        there.close()
    for mine, theirs in zip(*answers, strict=True):
        assert mine.candidate.state == "done", mine.candidate.note
        assert theirs.candidate.scores == mine.candidate.scores
        assert theirs.candidate.measures == mine.candidate.measures
        assert theirs.candidate.edits == mine.candidate.edits
        assert theirs.tensors == mine.tensors
        assert mine.applied is not None
        assert theirs.applied is None
