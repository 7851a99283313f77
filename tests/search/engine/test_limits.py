"""Budgets in the unit of their cost."""

from __future__ import annotations

import pytest

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.records import Budget, Candidate, Cost, Memory, Plan, Score
from effwidgets.search.engine.limits import Limits

MEMORY = Memory(param_bytes=400, inference_peak_bytes=70, inference_peak_at="", saved_bytes=0)
DENSE = Candidate(number=0, plan=Plan(), rung="dense", state="done", cost=Cost(macs=1000, params=100), memory=MEMORY)


def test_a_share_waits_for_the_dense_model_and_an_amount_of_ours_does_not():
    limits = Limits()
    limits.set("macs", 0.4, None)
    limits.set("params", Budget(axis="params", limit=30), None)
    assert limits.resolve(None) == {"params": 30}
    assert limits.resolve(DENSE) == {"macs": 400, "params": 30}


@pytest.mark.parametrize(("limit", "amount"), [(0.5, 500), ("50%", 500), (300, 300), ("0.3k", 300)])
def test_a_limit_is_read_in_all_its_forms(limit, amount):
    limits = Limits()
    limits.set("macs", limit, DENSE)
    assert limits.resolve(DENSE) == {"macs": amount}


def test_none_lifts_a_limit():
    limits = Limits()
    limits.set("macs", 0.4, DENSE)
    limits.set("macs", None, DENSE)
    assert (limits.resolve(DENSE), limits.axes) == ({}, ())


@pytest.mark.parametrize("limit", [0, -1.0, 5000, float("nan"), Budget(axis="macs", limit=0), True])
def test_a_limit_that_makes_no_sense_is_refused(limit):
    with pytest.raises(InputError):
        Limits().set("macs", limit, DENSE)


def test_a_cost_that_nobody_knows_is_answered_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="'macs'"):
        Limits().set("joules", 0.5, DENSE)


def test_a_share_of_the_latency_counts_once_it_is_known():
    limits = Limits()
    limits.set("latency_s", 0.5, DENSE)
    assert limits.resolve(DENSE) == {}
    timed = Candidate(
        number=0,
        plan=Plan(),
        rung="dense",
        state="done",
        cost=DENSE.cost,
        memory=MEMORY,
        measures=(Score(metric="latency_s", value=0.02),),
    )
    assert limits.resolve(timed) == {"latency_s": pytest.approx(0.01)}
