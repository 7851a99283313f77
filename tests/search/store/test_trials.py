"""A candidate as an Optuna trial."""

from __future__ import annotations

import dataclasses

import pytest

from effwidgets.errors import StoreError
from effwidgets.records import Budget, Plan, Score, Step, settings
from effwidgets.search.store.trials import CANDIDATE, candidate_in, constraints_of, outcome, template
from tests.search.store.work import COST, HEADER, blank, done


def test_params_are_the_numbers_of_a_plan_under_names_that_no_two_steps_share():
    steps = (
        Step(
            transform="channel_prune", layers=("a", "b", "c"), settings=settings(channels=8, criterion="l2", ratio=0.5)
        ),
        Step(transform="channel_prune", layers=("a", "b", "d"), settings=settings(channels=4)),
        Step(transform="fold_bn", layers=("bn",)),
        Step(transform="int8", layers=("fc",), settings=settings(per_channel=True)),
    )
    trial = template(dataclasses.replace(blank(1), plan=Plan(steps=steps)), 5, "me")
    assert trial.params == {
        "channel_prune a, b +1 channels": 8,
        "channel_prune a, b +1 ratio": 0.5,
        "channel_prune a, b +1 channels'": 4,
        "fold_bn bn done": 1,
        "int8 fc done": 1,
    }


def test_a_result_has_values_only_where_every_objective_is_finite():
    assert [outcome(done(1, 0), HEADER)[0].name, outcome(done(1, 0), HEADER)[1]] == ["COMPLETE", (0.5, COST.macs)]
    for odd in (
        dataclasses.replace(done(1, 0), cost=None),
        dataclasses.replace(done(1, 0), scores=(Score(metric="accuracy", value=float("inf")),)),
        dataclasses.replace(done(1, 0), scores=()),
    ):
        assert [outcome(odd, HEADER)[0].name, outcome(odd, HEADER)[1]] == ["PRUNED", None]
    assert outcome(dataclasses.replace(blank(1), state="failed"), HEADER)[0].name == "FAIL"


def test_a_constraint_is_the_share_of_the_budget_that_is_too_much():
    limits = (Budget(axis="macs", limit=2000.0), Budget(axis="latency_s", limit=1.0))
    assert constraints_of(done(1, 0), limits) == {"constraints:macs": -0.5}  # nothing is known of its latency


def test_a_record_that_cannot_be_read_is_said_with_its_place():
    with pytest.raises(StoreError, match="Candidate 3 in /here cannot be read"):
        candidate_in({CANDIDATE: "{}"}, 3, "/here")
