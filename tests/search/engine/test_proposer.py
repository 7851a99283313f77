"""Samplers asked for plans: nothing twice, the same for the same seed, budgets that take effect."""

from __future__ import annotations

import logging
import threading

import optuna
import pytest

from effwidgets.records import Plan, Step, settings
from effwidgets.search.engine.proposer import Proposer, Result

NAMES = ("a", "b", "c")
WHO = ("tpe", "nsga2", "random", "grid")


class Space:
    """Ranks of a few layers: every number is another plan."""

    def __init__(self, names=NAMES, choices=5):
        self.names = names
        self._choices = choices

    def choices(self, name):
        return self._choices

    def plan(self, params):
        steps = (
            Step(transform="low_rank", layers=(name,), settings=settings(rank=n)) for name, n in params.items() if n
        )
        return Plan(steps=tuple(steps))

    def params(self, plan):
        if any(step.transform != "low_rank" for step in plan):
            return None
        return {**dict.fromkeys(self.names, 0), **{step.layers[0]: step.setting("rank") for step in plan}}


def ranks(plan):
    return [step.setting("rank") for step in plan]


def result(plan, **limits):
    """The more is cut the cheaper and the worse; cutting one place a lot is worse than all a little."""
    values = {"error": float(sum(n * n for n in ranks(plan))), "macs": 20.0 - sum(ranks(plan))}
    excess = {name: (values[name] - limit) / limit for name, limit in limits.items()}
    return Result(plan=plan, values=tuple(values.values()), excess=excess)


def proposer(who, seen, *, space=None, seed=3):
    return Proposer(space or Space(), who, objectives=2, seed=seed, known=lambda plan: plan in seen)


def asked(who, count, *, seed=3, late=0):
    seen, found, out = set(), [], []
    source = proposer(who, seen, seed=seed)
    for _ in range(count):
        plan = source.ask()
        found.append(plan)
        out.append(plan)
        while len(out) > late:
            done = out.pop(0)
            seen.add(done)
            source.tell(result(done))
    return found


@pytest.mark.parametrize("who", WHO)
def test_no_plan_is_proposed_twice_and_the_dense_model_never(who):
    found = asked(who, 30)
    assert len(set(found)) == 30
    assert all(len(plan) for plan in found)


@pytest.mark.parametrize("who", WHO)
def test_several_can_be_asked_for_before_the_first_is_told(who):
    assert len(set(asked(who, 20, late=4))) == 20


@pytest.mark.parametrize("who", WHO)
def test_the_same_seed_proposes_the_same_and_another_one_does_not(who):
    assert asked(who, 16) == asked(who, 16)
    assert asked(who, 16) != asked(who, 16, seed=4)


@pytest.mark.parametrize("who", WHO)
def test_a_small_space_is_tried_to_its_end(who):
    seen = set()
    source = proposer(who, seen, space=Space(("a", "b"), 3))
    while (plan := source.ask()) is not None:
        assert plan not in seen
        seen.add(plan)
        source.tell(result(plan))
    assert len(seen) == 3 * 3 - 1  # all but the one that leaves everything as it is


@pytest.mark.parametrize("who", ["tpe", "nsga2"])
def test_what_was_tried_by_others_guides_the_sampler(who):
    def distance(known):
        source = proposer(who, set(known))
        source.fill([result(plan) for plan in known])
        found = []
        for _ in range(15):
            plan = source.ask()
            found.append(plan)
            source.tell(result(plan))
        # How far from an even cut: the good plans of `result` spread it.
        return sum(max(ranks(plan)) - min([*ranks(plan), 0] if len(plan) < 3 else ranks(plan)) for plan in found)

    space = Space()
    every = [space.plan({"a": a, "b": b, "c": c}) for a in range(5) for b in range(5) for c in range(5) if a + b + c]
    known = every[::3]
    assert (
        distance(known) < 0.75 * 15 * 4
    )  # the largest distance is 4; that of plans drawn blindly is about 3 on average


@pytest.mark.parametrize("who", ["tpe", "nsga2"])
def test_a_budget_that_changes_changes_what_is_proposed(who):
    space = Space(NAMES, 9)

    def mean_cost(**limits):
        seen = set()
        source = proposer(who, seen, space=space)
        blind = Proposer(space, "random", objectives=2, seed=1, known=lambda plan: plan in seen)
        known = [blind.ask() for _ in range(100)]
        seen.update(known)
        source.fill([result(plan, error=1.0) for plan in known])  # the limit before: nobody keeps it
        source.fill([result(plan, **limits) for plan in known])
        found = []
        for _ in range(15):
            plan = source.ask()
            seen.add(plan)
            found.append(20.0 - sum(ranks(plan)))
            source.tell(result(plan, **limits))
        return sum(found) / len(found)

    # Costs run from -4 to 20. Those of at most 2 cut 18 of 24; errors of at most 12 allow cuts of 6, that is costs of 14.
    assert mean_cost(macs=2.0) < mean_cost(error=12.0) - 4


def test_plans_under_way_are_told_after_a_change_of_budgets():
    source = proposer("tpe", set())
    first = source.ask()
    source.fill([])
    source.tell(result(first))
    assert source.ask() != first


def test_a_plan_that_the_space_cannot_express_is_passed_over():
    foreign = Plan(steps=(Step(transform="channel_prune", layers=("a",)),))
    source = proposer("tpe", set())
    source.fill([Result(plan=foreign, values=(1.0, 2.0), excess={})])
    source.tell(Result(plan=foreign, values=(1.0, 2.0), excess={}))
    assert source.ask() is not None


@pytest.mark.parametrize("who", ["tpe", "nsga2", "random"])
def test_a_failed_plan_and_one_without_a_number_do_no_harm(who):
    seen = set()
    source = proposer(who, seen)
    for values in (None, (float("nan"), 1.0), (1.0, float("inf"))) * 5:
        plan = source.ask()
        seen.add(plan)
        source.tell(Result(plan=plan, values=values, excess={}))
    assert source.ask() not in seen


def test_a_space_without_places_proposes_nothing():
    assert proposer("tpe", set(), space=Space(())).ask() is None


def test_optuna_says_nothing_here_and_what_the_user_set_stays(caplog):
    level = optuna.logging.get_verbosity()
    caplog.set_level(logging.INFO, logger="optuna")
    logging.getLogger("optuna").addHandler(caplog.handler)
    try:
        asked("tpe", 3)
        assert not [record for record in caplog.records if record.name.startswith("optuna")]
        optuna.create_study()  # the user's own still speaks
        assert [record for record in caplog.records if record.name.startswith("optuna")]
    finally:
        logging.getLogger("optuna").removeHandler(caplog.handler)
    assert optuna.logging.get_verbosity() == level


def test_no_random_state_of_the_process_moves():
    import random

    import numpy as np

    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002  the state of other people's code
    for who in WHO:
        thread = threading.Thread(target=asked, args=(who, 15))
        thread.start()
        thread.join()
    assert before == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002


@pytest.mark.parametrize("who", ["tpe", "nsga2"])
def test_a_sampler_that_repeats_itself_is_not_asked_over_and_over(who, monkeypatch):
    asks, ask = [], optuna.Study.ask
    monkeypatch.setattr(optuna.Study, "ask", lambda study, *given: asks.append(study) or ask(study, *given))
    beside, aside = [], Proposer._aside
    monkeypatch.setattr(Proposer, "_aside", lambda own, given: beside.append(given) or aside(own, given))
    found = asked(who, 60)  # about half of all plans
    assert beside  # so it does repeat itself
    assert len(set(found)) == 60 == len(asks)  # once for each, whether it repeats itself or not
