"""A workshop that does what an order's ``source`` says, and each kind of crew around it.

It is defined inside a function, so it travels whole, like what people define in a notebook.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import multiprocessing
import os
import sys
import threading
import time

import pytest
import torch
from torch import nn

from effwidgets.records import Candidate, Plan, Score
from effwidgets.search.crews.executors import ExecutorCrew
from effwidgets.search.crews.kit import Kit
from effwidgets.search.crews.processes import ProcessCrew
from effwidgets.search.crews.threads import ThreadCrew
from effwidgets.search.engine.orders import Made, Order

LIMIT_S = 60.0
"""What a test waits for at most: starting a process that imports torch was seen to take 20 s on a busy machine."""


def order(number: int, source: str = "work", seed: int = 0) -> Order:
    return Order(number=number, plan=Plan(), rung="zero-shot", seed=seed, source=source)


def maker_kit(**parts) -> Kit:  # noqa: C901  one branch for each word
    class Pretender:
        def __init__(self, model=None, broken=""):
            if broken:
                raise ValueError(broken)
            self.model = nn.Linear(4, 4) if model is None else model
            self.built = time.time()

        def make(self, order, gate):
            what, _, seconds = order.source.partition(" ")
            module = nn.Identity()
            with gate.guard(module, 0.3 if what.startswith("limited") else None):
                if what == "die":
                    os._exit(7)
                elif what == "raise":
                    raise ValueError("a fault of the maker")
                elif what == "leave":
                    raise SystemExit(3)
                elif what in ("sleep", "limited-sleep"):
                    time.sleep(float(seconds))
                elif what == "print":
                    sys.stdout.write("x" * 100_000)
                    os.write(1, b"y" * 100_000)
                elif what == "loop":
                    until = time.monotonic() + float(seconds)
                    while time.monotonic() < until:
                        module(torch.ones(1))
                        time.sleep(0.01)
            facts = {
                "pid": os.getpid(),
                "thread": threading.get_ident(),
                "threads": torch.get_num_threads(),
                "built": self.built,
                "sum": float(sum(p.detach().sum() for p in self.model.parameters())),
                "drawn": float(torch.rand(())) if what == "draw" else 0.0,
            }
            candidate = Candidate(
                number=order.number,
                plan=order.plan,
                rung=order.rung,
                state="done",
                seed=order.seed,
                source=order.source,
                scores=tuple(Score(metric=name, value=float(value)) for name, value in facts.items()),
            )
            return Made(candidate=candidate, applied="stays here")

    return Kit(build=Pretender, parts=parts)


@contextlib.contextmanager
def cluster():
    """A client of two Dask worker processes of one thread each."""
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed")
    settings = {
        "distributed.worker.profile.enabled": False,
        "distributed.logging.distributed": "critical",
        "distributed.scheduler.allowed-failures": 1,
    }
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=logging.CRITICAL
        ) as workers,
        distributed.Client(workers) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def dask_client():
    """A cluster that tests share, and in which nobody ends a worker: Dask was seen to start none in its place."""
    with cluster() as client:
        yield client


@pytest.fixture
def doomed_client():
    """A cluster of a test's own, to do harm to."""
    with cluster() as client:
        yield client


@pytest.fixture(scope="session")
def pool():
    """A process pool of somebody else's."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        yield executor


@pytest.fixture(scope="session")
def process_crew():
    """Two processes that tests share: to start them takes seconds."""
    crew = ProcessCrew(maker_kit(), 2)
    yield crew
    crew.close()


@pytest.fixture
def crews(request):
    """Makes crews by name, and closes them."""
    made = []

    def make(kind, kit=None, slots=2, **more):
        if kind == "processes" and kit is None and slots == 2 and not more:
            return request.getfixturevalue("process_crew")
        kit = kit or maker_kit()
        if kind == "threads":
            crew = ThreadCrew(Kit.unpack(kit.pack()), slots, **more)
        elif kind == "processes":
            crew = ProcessCrew(kit, slots, **more)
        elif kind == "thread pool":
            executor = concurrent.futures.ThreadPoolExecutor(slots)
            request.addfinalizer(lambda: executor.shutdown(wait=False))
            crew = ExecutorCrew(kit, executor, slots)
        elif kind == "process pool":
            crew = ExecutorCrew(kit, request.getfixturevalue("pool"), slots)
        else:
            from effwidgets.search.crews.clusters import DaskCrew

            crew = DaskCrew(kit, request.getfixturevalue("dask_client"))
        made.append(crew)
        return crew

    yield make
    for crew in made:
        crew.close()
