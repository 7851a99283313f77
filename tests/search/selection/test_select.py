"""Plans under several budgets, carried out."""

from __future__ import annotations

import itertools

import pytest
import torch

from effwidgets.errors import Cancelled, EffError, InputError, UnknownNameError
from effwidgets.records import Chosen, Plan
from effwidgets.search.selection.offers import offers
from effwidgets.search.selection.scales import Scales
from effwidgets.search.selection.select import SelectOptions, select
from effwidgets.search.selection.space import Space
from effwidgets.transforms.apply import apply
from effwidgets.transforms.foresee import estimate_plan
from tests.search.conftest import fingerprint, same


@pytest.fixture
def pick(convolutional, images, options, known):
    def run(budgets, family=None, **more):
        few = tuple(one for one in options if family in (None, one.family))
        return select(convolutional, images, budgets, SelectOptions(options=few, profile=known, **more))[0]

    return run


def scales(model, images, known, axes, options=()):
    return Scales(model=model, call=images, profile=known, axes=axes, options={one.step: one for one in options})


def test_all_budgets_are_kept_by_the_model_that_comes_of_the_plan(pick, convolutional, images, known):
    # A peak is read from a shadow of each plan, so only prunings are in question.
    found = pick({"macs": 0.5, "params": "60%", "peak_bytes": 0.9}, family="prune")
    made = apply(convolutional, found.plan, images, known=known)
    assert found.met
    assert made.profile.cost.macs <= 0.5 * known.cost.macs
    assert made.profile.cost.params <= 0.6 * known.cost.params
    assert made.profile.memory.inference_peak_bytes <= 0.9 * known.memory.inference_peak_bytes
    assert found.budget("macs").true == made.profile.cost.macs
    assert found.budget("macs").predicted == found.budget("macs").true  # of these techniques arithmetic is exact


def test_a_smaller_budget_never_predicts_a_smaller_loss_nor_takes_more(options, known, convolutional, images):
    read = scales(convolutional, images, known, ("macs", "params"), options).read
    laid = offers(options, known, ("macs", "params"), read)

    def first(macs, params):
        limits = {"macs": macs * known.cost.macs, "params": params * known.cost.params}
        return next((one for one in laid if all(one.costs[axis] <= limits[axis] for axis in limits)), None)

    for params in (1.0, 0.8, 0.4):
        rows = [first(percent / 100, params) for percent in range(100, 4, -3)]
        kept = [row for row in rows if row is not None]
        assert len(kept) > 10
        assert rows[: len(kept)] == kept  # once nothing keeps it, nothing keeps a smaller one
        for wide, narrow in itertools.pairwise(kept):
            assert narrow.loss >= wide.loss
            assert narrow.costs["macs"] <= wide.costs["macs"]


def test_no_plan_of_the_space_that_costs_as_little_is_predicted_to_lose_much_less(
    options, known, convolutional, images
):
    # All plans of two places, against what the knapsacks found. They add logarithms where costs add up, so a little
    # is left: at most 15% of the loss here.
    few = [one for one in options if one.step.layers in (("conv1",), ("stem",)) and one.family == "prune"]
    space, by_step = Space(few, known), {one.step: one for one in few}
    read = scales(convolutional, images, known, ("macs",), few).read
    found = offers(few, known, ("macs",), read)
    for numbers in itertools.product(*(range(space.choices(name)) for name in space.names)):
        plan = space.plan(dict(zip(space.names, numbers, strict=True)))
        macs = known.cost.macs + estimate_plan(known, plan).macs
        loss = sum(by_step[step].divergence for step in plan)
        assert min(one.loss for one in found if one.costs["macs"] <= macs) <= 1.15 * loss + 1e-12


def test_a_budget_that_is_kept_already_asks_for_nothing(pick):
    found = pick({"macs": 1.0})
    assert found.plan == Plan()
    assert found.predicted_loss == found.true_loss == 0


def test_the_time_of_the_model_is_a_budget_too(pick):
    found = pick({"latency_s": 0.97, "macs": 0.8}, rounds=8)
    latency = found.budget("latency_s")
    assert 0 < latency.true <= latency.limit == pytest.approx(0.97 * latency.now)
    assert latency.error > 0


def test_what_cannot_be_kept_is_said_with_the_least_of_each_cost(pick):
    with pytest.raises(InputError, match=r"macs .*least.*params .*least") as error:
        pick({"macs": 0.5, "params": 0.001})
    assert "explore" in str(error.value)


@pytest.mark.parametrize(
    ("budgets", "kind", "text"),
    [
        ({}, InputError, "No budget"),
        ({"flops": 0.5}, UnknownNameError, "macs"),
        ({"bytes": 0.5, "param_bytes": 0.5}, InputError, "two budgets"),
        ({"macs": 0}, InputError, "leaves nothing"),
    ],
)
def test_budgets_that_say_nothing_are_answered(pick, budgets, kind, text):
    with pytest.raises(kind, match=text):
        pick(budgets)


def test_loss_and_scores_are_those_of_the_model_that_was_made(convolutional, images, options, known):
    def spread(model):
        with torch.no_grad():
            return {"spread": float(model(images).std())}

    asked = SelectOptions(options=options, profile=known, evaluate=spread, calibration=[images])
    found, made = select(convolutional, images, {"macs": 0.4}, asked)
    assert [one.value for one in found.scores] == [spread(made.model)["spread"]]
    assert [one.value for one in found.base] == [spread(convolutional)["spread"]]
    assert found.true_loss is not None
    assert found.true_loss > 0


def test_a_plan_that_misses_is_chosen_again(convolutional, images, options, known, monkeypatch):
    # Half of the steps of the first plan are lost on the way: so the truth is far above what was predicted.
    from effwidgets.search.selection import select as module

    asked = []

    def losing(model, plan, *args, **more):
        asked.append(plan)
        kept = plan if len(asked) > 1 else Plan(steps=plan.steps[:1])
        return apply(model, kept, *args, **more)

    monkeypatch.setattr(module, "apply", losing)
    found, _ = select(convolutional, images, {"macs": 0.3}, SelectOptions(options=options, profile=known))
    assert found.rounds == len(asked) == 2
    assert asked[0] != asked[1]
    assert found.met


def test_the_model_stays_as_it_is_and_the_choice_survives_json(convolutional, images, options, known):
    before = fingerprint(convolutional)
    found, _ = select(convolutional, images, {"macs": 0.5}, SelectOptions(options=options, profile=known))
    assert same(before, fingerprint(convolutional))
    assert Chosen.from_dict(found.to_dict()) == found
    with pytest.raises(EffError, match="macs"):
        found.budget("params")


def test_a_model_in_training_mode_keeps_its_batch_norm_statistics(convolutional, images, options, known):
    model = convolutional.train()
    before = fingerprint(model)
    few = tuple(one for one in options if one.family == "prune")
    chosen, _ = select(model, images, {"macs": 0.9}, SelectOptions(options=few, profile=known))
    assert same(before, fingerprint(model))
    in_evaluation, _ = select(model.eval(), images, {"macs": 0.9}, SelectOptions(options=few, profile=known))
    assert chosen.true_loss == pytest.approx(in_evaluation.true_loss)


def test_an_evaluate_that_draws_random_numbers_leaves_the_random_state_as_it_was(pick):
    state = torch.get_rng_state()
    pick({"macs": 1}, family="prune", evaluate=lambda _: float(torch.rand(())))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("axis", ["inference_peak_bytes", "saved_bytes"])
def test_a_budget_for_a_peak_alone_finds_the_plans_that_lower_it(convolutional, images, options, known, axis):
    # No option says what it changes of a peak, so it must be read. By hand: with every group at a quarter of its
    # channels the activations are about a quarter, so three quarters of now can be kept.
    few = tuple(one for one in options if one.family == "prune")
    chosen, applied = select(convolutional, images, {axis: 0.75}, SelectOptions(options=few, profile=known))
    assert chosen.met
    assert chosen.budget(axis).true <= 0.75 * chosen.budget(axis).now
    if axis == "inference_peak_bytes":
        assert applied.profile.memory.inference_peak_bytes == chosen.budget(axis).true


def test_a_model_where_nothing_can_be_done_is_told_so_and_where_to_look():
    with pytest.raises(InputError, match=r"nothing that was tried lowers it\. suggest\(\) says at each place why"):
        select(torch.nn.Linear(8, 8), torch.ones(2, 8), {"macs": 0.5})


def test_it_can_be_cancelled(convolutional, images, options, known):
    def stop():
        raise Cancelled

    with pytest.raises(Cancelled):
        select(convolutional, images, {"macs": 0.5}, SelectOptions(options=options, profile=known), stop)
