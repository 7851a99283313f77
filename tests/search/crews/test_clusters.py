"""A Dask cluster on this machine: workers that die, an executor as well as a client, no workers at all."""

from __future__ import annotations

import os
import signal
import time

import pytest
from torch import nn

from effwidgets.errors import SearchError
from effwidgets.search.crews.clusters import DaskCrew
from effwidgets.search.crews.hire import check_executor, crew_for
from tests.search.crews.conftest import LIMIT_S, maker_kit, order

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.slow


class Unsent:
    """A workshop that is asked for its parts only."""

    def __init__(self):
        from effwidgets.search.engine.options import SearchOptions

        self.model, self.call, self.evaluate = nn.Linear(2, 2), None, len
        self.calibration, self.options = None, SearchOptions()


def test_a_client_and_its_executor_give_the_same_crew(dask_client):
    for given in (dask_client, dask_client.get_executor()):
        check_executor(given)
        crew = crew_for(given, Unsent())
        assert isinstance(crew, DaskCrew)
        assert crew.slots == 2
        crew.close()


def test_an_order_whose_worker_is_killed_is_done_by_another(doomed_client):
    crew = DaskCrew(maker_kit(), doomed_client)
    pids = {crew.submit(order(number, "sleep 0.2")).result(LIMIT_S).candidate.score("pid") for number in range(4)}
    futures = [crew.submit(order(number, "sleep 3")) for number in (5, 6)]
    time.sleep(1)
    os.kill(int(next(iter(pids))), signal.SIGKILL)
    assert [future.result(LIMIT_S).candidate.state for future in futures] == ["done", "done"]
    doomed_client.wait_for_workers(2, timeout=LIMIT_S)
    # The new worker has no kit: it asks for it.
    after = [crew.submit(order(number, "sleep 0.5")) for number in range(7, 13)]
    assert {future.result(LIMIT_S).candidate.state for future in after} == {"done"}
    crew.close()


def test_an_order_that_kills_every_worker_it_meets_fails_and_the_next_is_done(doomed_client):
    crew = DaskCrew(maker_kit(), doomed_client)
    crew.submit(order(0)).result(LIMIT_S)
    candidate = crew.submit(order(1, "die")).result(4 * LIMIT_S).candidate  # up to four workers start anew
    assert candidate.state == "failed"
    assert "orker was lost" in candidate.note
    assert crew.submit(order(2)).result(LIMIT_S).candidate.state == "done"
    crew.close()


def test_a_cluster_without_workers_is_said_to_be_one(dask_client):
    class Empty:
        def get_executor(self, **settings):
            return dask_client.get_executor(**settings)

        def nthreads(self):
            return {}

    crew = DaskCrew(maker_kit(), Empty())
    with pytest.raises(SearchError, match=r"has no worker.*scale"):
        assert crew.slots
