"""Engines of ipyparallel, by their client or a view."""

from __future__ import annotations

import logging
import warnings

import pytest

from effwidgets.search.crews.executors import ExecutorCrew
from effwidgets.search.crews.hire import check_executor, crew_for
from tests.search.crews.conftest import LIMIT_S, maker_kit, order
from tests.search.crews.test_clusters import Unsent

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def client():
    ipyparallel = pytest.importorskip("ipyparallel")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own start
        cluster = ipyparallel.Cluster(n=2, log_level=logging.CRITICAL)
        client = cluster.start_and_connect_sync(activate=False)
        client.wait_for_engines(2, timeout=LIMIT_S)
    yield client
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client.close()
        cluster.stop_cluster_sync()


def test_orders_are_done_by_both_engines_and_a_stop_reaches_what_runs(client):
    crew = ExecutorCrew(maker_kit(), client.executor(), 2)
    futures = [crew.submit(order(number, "sleep 0.5")) for number in range(6)]
    candidates = [future.result(LIMIT_S).candidate for future in futures]
    assert [candidate.state for candidate in candidates] == ["done"] * 6
    assert len({candidate.score("pid") for candidate in candidates}) == 2
    running = [crew.submit(order(number, "loop 120")) for number in range(2)]
    crew.stop()
    assert [future.result(LIMIT_S).candidate.state for future in running] == ["cancelled"] * 2
    assert crew.submit(order(9)).result(LIMIT_S).candidate.state == "done"
    crew.close()


def test_a_client_a_view_and_its_executor_are_accepted(client):
    for given in (client, client.load_balanced_view(), client[:], client.executor()):
        check_executor(given)
        crew = crew_for(given, Unsent())
        assert isinstance(crew, ExecutorCrew)
        assert crew.slots == 2
        crew.close()
