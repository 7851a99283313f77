"""The whole measurement against a slow oracle: each plan applied, and the divergence worked out by hand."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import random
import threading

import pytest
import torch
from torch import nn

from effwidgets.errors import Cancelled, InputError, ModelError, SearchError, UnknownNameError
from effwidgets.records import Plan, Sensitivity
from effwidgets.search.sensitivity import measure
from effwidgets.search.sensitivity.measure import sensitivity
from effwidgets.search.sensitivity.options import SensitivityOptions
from effwidgets.testing.zoo import specimen
from effwidgets.transforms.apply import apply
from tests.search.conftest import fingerprint, same


@pytest.fixture
def pictures():
    return torch.randn(96, 3, 8, 8, generator=torch.Generator().manual_seed(8))


@pytest.fixture
def quick(x):
    """Two settings a place on the trained perceptron: seconds, and labels are not needed."""
    return SensitivityOptions(calibration=x, samples=128, levels=2)


def by_hand(model, found, fit, held):
    """The divergence of each point, by `apply` and the definition in plain torch."""
    with torch.no_grad():
        p = model(held).double().softmax(1)
    truth = {}
    for point in found.points:
        made = apply(model, Plan(steps=(point.step,)), held[:1], calibration=[fit])
        assert made.edits, point.step
        with torch.no_grad():
            q = made.model(held).double().softmax(1)
        truth[point.step] = float((p * (p.log() - q.log())).sum(1).mean())
    return truth


def test_each_divergence_is_that_of_the_plan_applied_and_so_is_their_order(model, x):
    found = sensitivity(model, x[:1], options=SensitivityOptions(calibration=x, samples=128, levels=3))
    assert (found.fitted, found.held_out, found.divergence) == (96, 32, "kl")
    truth = by_hand(model, found, x[:96], x[96:128])
    assert len(truth) == sum(row.planned for row in found) >= 6
    for point in found.points:
        # The same arithmetic in another order: 1e-5 is the rounding of single precision in logits of about ten.
        assert point.divergence == pytest.approx(truth[point.step], rel=1e-4, abs=1e-6)
    ours = sorted(truth, key=lambda step: next(p.divergence for p in found.points if p.step == step))
    theirs = sorted(truth, key=truth.get)
    assert ours == theirs


def test_it_holds_with_convolutions_batch_norm_and_residuals(convolutional, pictures):
    options = SensitivityOptions(calibration=pictures, samples=96, shares=(0.5,), gauge="kl")
    found = sensitivity(convolutional, pictures[:2], options=options)
    truth = by_hand(convolutional, found, pictures[:72], pictures[72:])
    assert {point.step.transform for point in found.points} >= {"channel_prune", "spatial_svd"}
    for point in found.points:
        assert point.divergence == pytest.approx(truth[point.step], rel=1e-3, abs=1e-7)


@pytest.mark.parametrize("name", ["vit", "transformer_encoder", "gpt", "lstm", "dense_concat"])
def test_every_place_of_a_model_of_the_zoo_is_measured(name):
    one = specimen(name)
    model = one.build()
    before = fingerprint(model)
    call = one.inputs()
    found = sensitivity(model, call, options=SensitivityOptions(calibration=call, levels=1))
    assert found.complete
    assert found.points
    assert [point.note for point in found.points if point.note] == []
    assert all(point.divergence >= 0 for point in found.points)
    assert same(before, fingerprint(model))


def test_a_setting_that_removes_nothing_does_not_diverge(x):
    # Both layers have rank 3 at most, so a factorization of rank 3 loses nothing.
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 5)).eval()
    with torch.no_grad():
        for place in (0, 2):
            left, right = torch.randn(model[place].out_features, 3), torch.randn(3, model[place].in_features)
            model[place].weight.copy_(left @ right / 3)
    options = SensitivityOptions(transforms=("low_rank",), layers=("0",), shares=(0.5, 0.9), repair=False)
    found = sensitivity(model, x, options=options)
    ranks = {dict(point.step.settings)["rank"]: point.divergence for point in found.points}
    assert min(ranks) >= 3
    assert max(ranks.values()) < 1e-10  # nats: squares of single precision
    assert min(ranks.values()) >= 0


def test_without_calibration_nothing_is_repaired_and_a_note_says_so(model, x):
    found = sensitivity(model, x, options=SensitivityOptions(levels=1))
    assert found.fitted == 0
    assert found.held_out == len(x)
    assert "nothing was repaired" in found.notes[0]


def test_the_callers_model_stays_as_it_is_with_evaluate_that_writes_and_raises(model, x, quick):
    before, random = fingerprint(model), torch.get_rng_state()
    calls = []

    def evaluate(candidate):
        calls.append(candidate)
        candidate.train()
        with torch.no_grad():
            for tensor in candidate.parameters():
                tensor.zero_()
        candidate.half()
        candidate.register_forward_hook(lambda *_: None)
        if len(calls) == 3:
            raise RuntimeError("out of patience")
        return 0.5

    found = sensitivity(model, x[:1], options=dataclasses.replace(quick, evaluate=evaluate))
    assert same(before, fingerprint(model))
    assert torch.equal(random, torch.get_rng_state())
    notes = [point.note for point in found.points]
    assert [note for note in notes if note] == ["evaluate: RuntimeError: out of patience"]
    assert all(point.divergence > 0 for point in found.points)  # measured before evaluate could spoil anything
    assert all(candidate is not model for candidate in calls)


def test_an_evaluate_that_seeds_and_draws_leaves_the_random_state_as_it_was(model, x, quick):
    def evaluate(candidate):
        torch.manual_seed(1)
        random.seed(2)
        return random.random()  # noqa: S311  any draw will do

    states = torch.get_rng_state(), random.getstate()
    sensitivity(model, x[:1], options=dataclasses.replace(quick, evaluate=evaluate, layers=("2",)))
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()


def test_ctrl_c_leaves_the_model_alone_and_carries_what_was_measured(model, x, quick):
    before = fingerprint(model)
    calls = []

    def evaluate(candidate):
        del candidate
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return 1.0

    with pytest.raises(KeyboardInterrupt) as caught:
        sensitivity(model, x[:1], options=dataclasses.replace(quick, evaluate=evaluate))
    part = caught.value.partial
    assert isinstance(part, Sensitivity)
    assert (len(part.points), part.complete) == (2, False)
    assert same(before, fingerprint(model))


def test_check_stops_it_within_one_forward(model, x, quick):
    passed, stopping = [], []

    def check():
        if stopping:
            raise Cancelled("enough")

    def evaluate(candidate):
        for _ in range(5):
            candidate(x)
            passed.append(1)
            stopping.append(1)
        return 1.0

    with pytest.raises(Cancelled, match="enough") as caught:
        sensitivity(model, x[:1], options=dataclasses.replace(quick, evaluate=evaluate), check=check)
    assert len(passed) == 1
    assert caught.value.partial.points == ()


def test_check_is_asked_while_a_fit_and_a_repair_run(model, x, quick):
    asked, starts = [], []
    options = dataclasses.replace(quick, progress=lambda progress: starts.append((progress.done, len(asked))))
    sensitivity(model, x[:1], options=options, check=lambda: asked.append(1))
    gaps = [later - sooner for (_, sooner), (_, later) in itertools.pairwise(starts)]
    assert min(gaps) >= 4  # before, after, the fit's own, the held-out part


def test_going_on_measures_no_point_twice(model, x, quick):
    whole = sensitivity(model, x[:1], options=quick)
    begun = []

    def check():
        if len(begun) > 4:
            raise Cancelled("enough")

    noting = dataclasses.replace(quick, progress=lambda progress: begun.append(progress.step))
    with pytest.raises(Cancelled) as caught:
        sensitivity(model, x[:1], options=noting, check=check)
    part = caught.value.partial
    assert 0 < len(part.points) < len(whole.points)
    again = []
    rest = dataclasses.replace(quick, resume=part, progress=lambda progress: again.append(progress.step))
    found = sensitivity(model, x[:1], options=rest)
    assert again[-1] is None
    assert set(again[:-1]).isdisjoint(point.step for point in part.points)
    assert len(again) - 1 + len(part.points) == len(whole.points)
    assert found.complete
    assert [point.divergence for point in found.points] == [point.divergence for point in whole.points]
    assert found.seconds > part.seconds


def test_a_record_with_scores_goes_on_from_one_without(model, x, quick, accuracy):
    plain = sensitivity(model, x[:1], options=quick)
    scored = sensitivity(model, x[:1], options=dataclasses.replace(quick, resume=plain, evaluate=accuracy))
    assert scored.base[0].value == accuracy(model)
    assert all(0 <= point.score <= 1 for point in scored.points)


def test_a_stale_record_is_refused_and_says_why(model, x, quick):
    found = sensitivity(model, x[:1], options=quick)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other[0].weight[0, 0] += 1
    with pytest.raises(InputError, match="with other values"):
        sensitivity(other, x[:1], options=dataclasses.replace(quick, resume=found))
    with pytest.raises(InputError, match="other inputs or calibration data"):
        sensitivity(model, x[:1], options=dataclasses.replace(quick, calibration=x + 1, resume=found))


def test_a_score_of_another_name_is_not_mixed_with_the_earlier_ones(model, x, quick):
    first = sensitivity(model, x[:1], options=dataclasses.replace(quick, evaluate=lambda _: {"accuracy": 1.0}))
    part = dataclasses.replace(
        first, rows=tuple(dataclasses.replace(row, points=row.points[:1]) for row in first.rows), complete=False
    )
    other = dataclasses.replace(quick, evaluate=lambda _: {"loss": 1.0}, resume=part)
    with pytest.raises(InputError, match="'accuracy', and evaluate gives 'loss'"):
        sensitivity(model, x[:1], options=other)


def test_nan_and_time_out_mark_the_point_and_the_rest_goes_on(model, x, quick):
    calls = []

    def evaluate(candidate):
        calls.append(1)
        if len(calls) == 2:
            return math.nan
        if len(calls) == 3:
            while True:
                candidate(x)
        return 1.0

    options = dataclasses.replace(quick, evaluate=evaluate, time_limit_s=0.2)
    found = sensitivity(model, x[:1], options=options)
    notes = [point.note for point in found.points if point.note]
    assert len(notes) == 2
    assert "finite" in notes[0]
    assert "time limit" in notes[1]
    assert found.complete
    again = sensitivity(model, x[:1], options=dataclasses.replace(quick, evaluate=lambda _: 1.0, resume=found))
    assert again.points == found.points  # not tried again unless asked
    mended = dataclasses.replace(quick, evaluate=lambda _: 1.0, resume=found, retry=True)
    assert all(point.score == 1.0 for point in sensitivity(model, x[:1], options=mended).points)


def test_a_base_score_that_is_none_ends_it_at_once(model, x, quick):
    with pytest.raises(SearchError, match="a number was expected"):
        sensitivity(model, x[:1], options=dataclasses.replace(quick, evaluate=lambda _: "good"))


def test_the_estimate_of_the_time_left_ends_at_zero(model, x, quick):
    told = []
    sensitivity(model, x[:1], options=dataclasses.replace(quick, progress=told.append))
    assert told[0].seconds_left is None
    assert all(one.seconds_left > 0 for one in told[1:-1])
    assert (told[-1].done, told[-1].seconds_left, told[-1].step) == (told[-1].planned, 0.0, None)
    assert [one.done for one in told] == list(range(told[-1].planned + 1))


def test_unknown_places_are_answered_with_the_known_ones(model, x):
    for wrong in ({"layers": ("nowhere",)}, {"families": ("prun",)}, {"transforms": ("svd",)}):
        with pytest.raises(UnknownNameError):
            sensitivity(model, x[:1], options=SensitivityOptions(**wrong))


def test_a_model_that_fails_says_so(x):
    class Failing(nn.Module):
        def forward(self, x):
            raise RuntimeError("no such luck")

    with pytest.raises(ModelError, match="no such luck"):
        sensitivity(Failing(), x[:1])


def test_options_are_the_measured_points_with_their_savings(model, x, quick):
    found = sensitivity(model, x[:1], options=quick)
    options = found.options
    assert [option.step for option in options] == [point.step for point in found.points]
    for option in options:
        assert option.saving == pytest.approx(-option.change.macs / found.cost.macs)
        assert option.divergence is not None
    assert found.options_for("params")[0].saving == -options[0].change.params / found.cost.params
    with pytest.raises(UnknownNameError):
        found.options_for("seconds")


def test_the_samples_are_as_many_as_the_work_of_a_forward_allows(x, monkeypatch):
    model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 5)).eval()
    data = torch.randn(700, 12, generator=torch.Generator().manual_seed(2))
    options = SensitivityOptions(calibration=data, layers=("0",), levels=1)
    found = sensitivity(model, x[:1], options=options)
    assert found.fitted + found.held_out == 512
    monkeypatch.setattr(measure, "_WORK", 50 * (12 * 16 + 16 * 5))
    found = sensitivity(model, x[:4], options=options)  # the batch that is profiled does not matter
    assert (found.fitted, found.held_out) == (50 - 12, 12)


def test_on_another_thread_it_leaves_the_random_state_of_the_process_alone(model, x, quick):
    state, found = torch.get_rng_state(), []
    thread = threading.Thread(target=lambda: found.append(sensitivity(model, x[:1], options=quick)))
    thread.start()
    thread.join()
    assert torch.equal(state, torch.get_rng_state())
    assert [point.divergence for point in found[0].points] == [
        point.divergence for point in sensitivity(model, x[:1], options=quick).points
    ]
