"""Advice: what is measured is true, what is listed saves, and the model stays as it was."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from effwidgets.errors import Cancelled, InputError, ModelError, UnknownNameError
from effwidgets.profiling.calls import Call
from effwidgets.records import Plan, Suggestions
from effwidgets.search import plan_for, suggest
from effwidgets.search.advice import columns as columns_module
from effwidgets.search.advice import survey as survey_module
from effwidgets.search.advice.afford import looks_for, trials_for
from effwidgets.search.advice.survey import GOALS, merit, survey
from effwidgets.search.advice.words import risk_of
from effwidgets.transforms.apply import apply, hypothetical
from effwidgets.transforms.repair.batch_norm import batch_norms
from tests.search.conftest import fingerprint, same


def error_by_hand(model, changed, x):
    with torch.no_grad():
        before, after = model(x), changed(x)
    return ((after - before).norm() / before.norm()).item()


def test_the_list_is_ranked_by_saving_over_measured_error(advice):
    found = advice
    worth = [merit(-one.change.macs / found.cost.macs, one.error) for one in found]
    assert len(found) > 4
    assert worth == sorted(worth, reverse=True)
    assert len({(one.step.transform, one.step.layers) for one in found}) == len(found)


def test_each_error_is_the_one_that_the_applied_step_has(convolutional, images, advice):
    for one in advice:
        changed = apply(convolutional, Plan(steps=(one.step,)), images, repair=False).model.eval()
        # Single precision twice over: what differs is the order of sums.
        assert one.error == pytest.approx(error_by_hand(convolutional, changed, images), rel=1e-3, abs=1e-5)


def test_each_change_is_the_difference_that_a_profile_of_it_shows(convolutional, images, advice):
    found = advice
    for one in found:
        after = hypothetical(convolutional, Plan(steps=(one.step,)), images, backward=False)
        assert (after.cost.macs, after.cost.params) == (
            found.cost.macs + one.change.macs,
            found.cost.params + one.change.params,
        )
        assert one.memory_after == after.memory


def test_every_suggestion_saves_and_says_why(advice):
    for one in advice:
        assert one.change.macs < 0
        assert all(layer in one.headline for layer in one.step.layers)
        assert one.reason.endswith(".")
        assert "the outputs" in one.reason
        assert one.risk == risk_of(one.error)


def test_each_kind_of_step_has_a_headline_of_its_own(advice):
    said = {one.step.transform: one for one in advice}
    assert set(said) == {"bottleneck", "channel_prune", "low_rank", "spatial_svd"}

    def number(name, setting):
        return said[name].step.setting(setting)

    for one in advice:
        if one.step.layers == ("conv1",):
            rank_in, rank_out = dict(one.step.settings).get("rank_in"), dict(one.step.settings).get("rank_out")
            assert (
                one.headline
                == {
                    "channel_prune": f"Prune conv1, 24 → {one.step.settings[0][1]} channels (3 layers change together)",
                    "spatial_svd": f"Split 3×3 into 3×1 and 1×3, conv1, rank {one.step.settings[0][1]}",
                    "bottleneck": f"Bottleneck conv1, 12 → {rank_in} → {rank_out} → 24 channels",
                }[one.step.transform]
            )
    assert said["low_rank"].headline == f"Split Linear 12 → 10 into two, fc, rank {number('low_rank', 'rank')}"


def test_the_energy_in_the_reason_is_that_of_the_singular_values(model, x):
    one = next(one for one in suggest(model, x) if one.step.layers == ("2",) and one.step.transform == "low_rank")
    values = torch.linalg.svdvals(model[2].weight.detach().double()).square()
    rank = one.step.setting("rank")
    assert (
        f"Keeps {float(values[:rank].sum() / values.sum()):.0%} of the weight's energy at rank {rank} of 16"
        in one.reason
    )


def test_the_model_and_the_random_state_stay_as_they_were(convolutional, images):
    convolutional.train()
    before, state = fingerprint(convolutional), torch.get_rng_state()
    loader = DataLoader(images, batch_size=8, shuffle=True)
    suggest(convolutional, images, calibration=loader, budget=0.8)
    assert same(before, fingerprint(convolutional))
    assert torch.equal(state, torch.get_rng_state())


def test_with_calibration_the_statistics_of_batch_norm_are_estimated_before_the_error_is_taken(
    convolutional, images, advice
):
    # Statistics that fit nothing: without estimation every error is of the wrong network, and all stay as large.
    plain = {one.step: one for one in advice}
    repaired = {one.step: one for one in suggest(convolutional, images, calibration=images)}
    both = plain.keys() & repaired.keys()
    assert both
    assert all(repaired[step].error <= plain[step].error + 1e-6 for step in both)
    assert all(any("re-estimation" in text for text in one.warnings) for one in plain.values())
    assert not any("re-estimation" in text for one in repaired.values() for text in one.warnings)


def test_errors_are_measured_on_the_calibration_data_when_there_are_any(model, x):
    other = 5 * x[:50]
    for one in suggest(model, x[:1], calibration=other):
        changed = apply(model, Plan(steps=(one.step,)), x[:1], calibration=other, repair=False).model
        assert one.error == pytest.approx(error_by_hand(model, changed, other), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("goal", GOALS)
def test_each_goal_is_served_with_what_saves_it(convolutional, images, goal):
    found = suggest(convolutional, images, goal=goal)
    assert found.goal == goal
    assert all(one.saving > 0 for one in found)
    for one in found:
        if goal in ("macs", "params", "param_bytes"):
            assert getattr(one.change, goal) < 0
        elif goal == "latency_s":
            assert one.latency.faster
        elif goal != "download_bytes":
            assert getattr(one.memory_after, goal) < getattr(found.memory, goal)
    if goal == "inference_peak_bytes":
        assert any("inference peak" in skip.reason for skip in found.skips)


def test_an_unknown_goal_is_answered_with_the_known_ones(model, x):
    with pytest.raises(UnknownNameError, match="'inference_peak_bytes'"):
        suggest(model, x, goal="joules")


def test_a_budget_is_kept_by_the_chosen_steps_together_and_a_smaller_one_never_takes_more(convolutional, images):
    sizes = []
    for share, limit in ((0.8, 0.8), ("50%", 0.5)):
        found = suggest(convolutional, images, budget=share)
        after = apply(convolutional, found.plan(*found.chosen), images)
        assert not after.skipped
        assert after.profile.cost.macs <= limit * found.cost.macs
        assert str(share) in found.notes[0]
        assert f"{after.profile.cost.macs / found.cost.macs:.0%}" in found.notes[0]
        sizes.append(after.profile.cost.macs)
        # Two kinds of steps never meet in one layer.
        factored = [found[place].step.layers for place in found.chosen if found[place].family != "prune"]
        assert len(set(factored)) == len(factored)
        assert Suggestions.from_dict(found.to_dict()) == found
    assert sizes[0] > sizes[1]


@pytest.mark.parametrize("budget", [0, float("nan"), 1e15, "a lot"])
def test_a_budget_that_makes_no_sense_is_answered(model, x, budget):
    with pytest.raises(InputError):
        suggest(model, x, budget=budget)


def test_a_budget_out_of_reach_says_what_can_be_reached(model, x):
    with pytest.raises(InputError, match=r"cannot be reached .* the smallest is .*, \d+% of now"):
        suggest(model, x, budget=0.001)


def test_a_plan_for_a_budget_is_made_of_the_list_as_it_stands(convolutional, images, advice):
    found = advice
    plan = plan_for(found, 0.8, convolutional, images)
    assert set(plan) <= {one.step for one in found}
    assert hypothetical(convolutional, plan, images).cost.macs <= 0.8 * found.cost.macs
    with pytest.raises(InputError, match="the smallest is"):
        plan_for(found, 0.01, convolutional, images)


def test_of_a_large_model_the_memory_after_is_worked_out_for_the_first_and_the_list_says_so(model, x, monkeypatch):
    monkeypatch.setattr(columns_module, "looks_for", lambda _profile: 2)
    found = suggest(model, x)
    assert len(found) > 2
    assert [one.memory_after is not None for one in found] == [True, True] + [False] * (len(found) - 2)
    assert any("worked out for the first 2" in note for note in found.notes)


def test_looks_fall_faster_than_trials_because_each_takes_longer(model, x):
    known = survey(model, Call((x,))).profile
    large = dataclasses.replace(known, layers=known.layers * 200)  # 1,200 layers: a fifth of the 250 that are easy
    assert len(large.layers) == 1200
    assert (trials_for(known), looks_for(known)) == (160, 160)
    assert (trials_for(large), looks_for(large)) == (33, 8)  # 33 x 250 / 1,200 is 7, and 8 are the fewest


def test_cancelling_ends_it_at_the_next_trial(convolutional, images):
    calls = []

    def check():
        calls.append(1)
        if len(calls) == 3:
            raise Cancelled("enough")

    before = fingerprint(convolutional)
    with pytest.raises(Cancelled):
        suggest(convolutional, images, check=check)
    assert len(calls) == 3
    assert same(before, fingerprint(convolutional))


def test_a_forward_that_raises_is_a_model_error_and_leaves_the_model_alone():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x):
            raise RuntimeError("by hand")

    model = Broken()
    before = fingerprint(model)
    with pytest.raises(ModelError, match="by hand"):
        suggest(model, torch.zeros(1, 8))
    assert same(before, fingerprint(model))


def test_no_more_forwards_are_spent_than_promised(convolutional, images, monkeypatch):
    counted = []
    convolutional.register_forward_hook(lambda module, args, output: counted.append(not is_fake(output)))
    monkeypatch.setattr(survey_module, "trials_for", lambda profile: 6)
    found = survey(convolutional, survey_module.Call((images,)))
    assert 0 < sum(counted) <= 6
    assert any("not tried" in skip.reason for skip in found.skips)


def is_fake(output):
    from torch._subclasses.fake_tensor import FakeTensor

    return isinstance(output, FakeTensor)


def test_outputs_in_dicts_and_tuples_count_and_whole_numbers_do_not(x):
    class Several(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(12, 12), nn.Linear(12, 12)

        def forward(self, x):
            return {"a": self.one(x), "rest": (self.two(x), x.argmax(1))}

    model = Several()
    for one in suggest(model, x):
        changed = apply(model, Plan(steps=(one.step,)), x).model
        with torch.no_grad():
            old, new = model(x), changed(x)
        moved = (new["a"] - old["a"]).norm() ** 2 + (new["rest"][0] - old["rest"][0]).norm() ** 2
        whole = old["a"].norm() ** 2 + old["rest"][0].norm() ** 2
        assert one.error == pytest.approx(math.sqrt(moved / whole), rel=1e-3, abs=1e-5)


def test_outputs_that_are_all_zero_are_said_to_be(x):
    class Silent(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(12, 12)

        def forward(self, x):
            return self.fc(x).clamp(min=1e9) - 1e9

    for one in suggest(Silent(), x):
        assert one.error in (0.0, None)


def test_a_model_with_nothing_to_save_gives_an_empty_list_with_reasons():
    found = suggest(nn.Sequential(nn.Linear(3, 2)), torch.zeros(1, 3))
    assert len(found) == 0
    assert all(skip.reason for skip in found.skips)


def test_calibration_data_that_do_not_fit_the_model_are_named_with_the_layer(model, x):
    with pytest.raises(ModelError, match=r"The calibration data do not fit the model.*layer '0'.*256 × 11.*256 × 12"):
        suggest(model, x, calibration=x[:, :11])


def test_a_calibration_batch_of_one_is_measured_without_its_own_statistics():
    model = nn.Sequential(nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 8)).eval()
    x = torch.randn(8, 32, generator=torch.Generator().manual_seed(0))
    found = suggest(model, x, calibration=x[:1])
    assert len(found) > 0
    assert all(one.error is not None for one in found)


def test_what_apply_cannot_estimate_anew_is_not_taken_for_estimated_by_suggest(monkeypatch):
    together = nn.Sequential(nn.Linear(32, 32), nn.SyncBatchNorm(32), nn.Linear(32, 8)).eval()
    x = torch.randn(16, 32, generator=torch.Generator().manual_seed(0))
    (norm,) = batch_norms(together)
    assert norm is together[1]  # alone in its process it is a batch norm like any other
    notes = apply(together, Plan(steps=(suggest(together, x, calibration=x)[0].step,)), x, calibration=x).notes
    assert any("1 batch-norm layer" in note for note in notes)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    assert batch_norms(together) == []  # it would wait for the other processes
    found = suggest(together, x, calibration=x)
    assert len(found) > 0


def test_a_stop_takes_effect_inside_of_the_function_that_scores(model, x):
    forwards, inside = [], []

    def check():
        if forwards:
            raise Cancelled("enough")

    def evaluate(candidate):
        inside.append(candidate)
        for _ in range(5):
            candidate(x)
            forwards.append(len(inside))
        return 0.5

    with pytest.raises(Cancelled):
        suggest(model, x, evaluate=evaluate, check=check)
    assert forwards == [1]
