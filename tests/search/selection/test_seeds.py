"""Where a search begins."""

from __future__ import annotations

import pytest

from effwidgets.errors import Cancelled
from effwidgets.profiling.calls import as_call
from effwidgets.records import Option
from effwidgets.search.selection.refine import refined
from effwidgets.search.selection.seeds import _unmeasured, seeds
from effwidgets.transforms.calibration import calibration_of
from effwidgets.transforms.foresee import estimate_plan
from tests.search.conftest import fingerprint, same


@pytest.fixture(scope="module")
def found(_network, images):
    return seeds(_network, as_call(images), calibration=calibration_of([images]), most=16)


def test_plans_are_different_and_reach_from_near_dense_to_a_few_hundredths(found):
    left = [1 + estimate_plan(found.profile, plan).macs / found.profile.cost.macs for plan in found.plans]
    assert len(set(found.plans)) == len(found.plans) == 16
    assert max(left) > 0.5
    assert min(left) < 0.05
    # The first few show the whole range: one above and one below a tenth and a third.
    assert any(share < 0.1 for share in left[:7])
    assert any(share > 0.33 for share in left[:7])


def test_prunings_alone_have_the_most_places(found):
    alone = sum({step.transform for step in plan} == {"channel_prune"} for plan in found.plans)
    assert alone >= len(found.plans) / 3


def test_settings_that_were_not_measured_are_in_the_space_too(found):
    first = {option.site: option for option in reversed(found.options)}
    kept = list(first.values())
    more = list(_unmeasured(found.profile, kept))
    assert all(option.divergence is None and option.unit == first[option.site].unit for option in more)
    assert {option.step for option in (*kept, *more)} == {option.step for option in found.options}
    assert found.trials >= sum(option.divergence is not None for option in found.options)


def test_settings_are_tried_once(found):
    steps = [option.step for option in found.options]
    assert len(set(steps)) == len(steps)
    assert all(isinstance(option, Option) and option.change.macs <= 0 for option in found.options)


def test_the_model_stays_as_it_is_and_it_can_be_cancelled(convolutional, images):
    before = fingerprint(convolutional)

    def stop():
        raise Cancelled

    with pytest.raises(Cancelled):
        seeds(convolutional, as_call(images), calibration=calibration_of([images]), check=stop)
    assert same(before, fingerprint(convolutional))


def test_channels_move_to_where_they_are_worth_more_at_the_same_size(found):
    # The judge is made up: each group has a worth for each channel, so the best moves are known.
    plan = next(
        plan for plan in found.plans if {step.transform for step in plan} == {"channel_prune"} and len(plan) > 1
    )
    worth = {step.layers: 1.0 + 9.0 * place for place, step in enumerate(plan)}

    def judge(trial):
        return -sum(worth[step.layers] * step.setting("channels") for step in trial)

    def size(trial):
        return 1 + estimate_plan(found.profile, trial).macs / found.profile.cost.macs

    made, loss = refined(plan, found.profile, size, judge)
    assert loss == judge(made) <= judge(plan)
    assert size(made) <= 1.02 * size(plan)
    assert made != plan
    assert made.steps[-1].setting("channels") > plan.steps[-1].setting("channels")


def test_where_time_counts_every_plan_ends_by_folding_all_norms(convolutional, images):
    found = seeds(convolutional, as_call(images), calibration=calibration_of([images]), goals=("latency_s",), most=6)
    assert found.closing
    assert len(set(found.plans)) == len(found.plans)
    for plan in found.plans:
        assert {step.layers[1] for step in plan if step.transform == "fold_bn"} == {"bn0", "bn1", "bn2"}
        assert plan.steps[-1].transform == "fold_bn"
        assert plan.steps[0].transform != "fold_bn"


def test_where_it_does_not_norms_stay_for_the_training(found):
    assert not found.closing
    assert not any(step.transform == "fold_bn" for plan in found.plans for step in plan)
