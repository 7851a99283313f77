"""Each goal is another list: what serves it comes, what does not stays away and says why."""

from __future__ import annotations

import math
import statistics

import pytest
import torch
from torch import nn

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.metrics.base import METRICS
from effwidgets.records import Plan, Suggestions
from effwidgets.search import suggest
from effwidgets.search.advice import survey as survey_module
from effwidgets.search.advice.clashes import clashes_of
from effwidgets.search.advice.goals import GOALS, as_goal, merit
from effwidgets.search.clocks import pieces as pieces_module
from effwidgets.transforms.apply import apply
from effwidgets.transforms.formats import download_bytes


class Blocks(nn.Module):
    """A stem, two blocks and a head: places for every kind of technique."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(16, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 16, 3, padding=1))
        self.head = nn.Linear(16, 48)
        self.out = nn.Linear(48, 10)

    def forward(self, x):
        x = self.stem(x)
        x = torch.relu(x + self.block(x))
        return self.out(torch.relu(self.head(x.mean((2, 3)))))


@pytest.fixture(scope="module")
def net():
    state = torch.get_rng_state()
    torch.manual_seed(2)
    found = Blocks().eval()
    torch.set_rng_state(state)
    return found


@pytest.fixture(scope="module")
def x():
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module", autouse=True)
def _counting_clock():
    """A clock that reads multiplications, bytes of weights and calls: the lists do not hang on what else runs here."""
    patch = pytest.MonkeyPatch()
    patch.setattr(pieces_module, "_rounds", lambda works, clock, seconds: [[_ticks(work)] * 7 for work in works])
    yield
    patch.undo()


def _ticks(work):
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import FlopCounterMode

    class Ops(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            Ops.count += not func.is_view
            return func(*args, **(kwargs or {}))

    with FlopCounterMode(display=False) as flops:
        work()
    Ops.count = 0
    with Ops():
        work()
    return flops.get_total_flops() * 1e-9 + Ops.count * 1e-4


@pytest.fixture(scope="module")
def lists(net, x):
    return {goal: suggest(net, x, goal=goal) for goal in GOALS}


def techniques(found):
    return {one.step.transform for one in found}


def test_formats_come_where_bytes_are_asked_for_and_nowhere_else(lists):
    assert {"int8", "bf16", "codebook"} <= techniques(lists["param_bytes"])
    assert {"int8", "codebook", "unstructured"} <= techniques(lists["download_bytes"])
    for goal in ("macs", "params", "saved_bytes", "inference_peak_bytes"):
        assert not techniques(lists[goal]) & {"int8", "bf16", "codebook", "unstructured"}
        assert any(skip.transform == "int8" and goal in skip.reason for skip in lists[goal].skips)


def test_blocks_are_run_again_only_where_training_memory_is_asked_for(lists):
    assert "checkpoint" in techniques(lists["saved_bytes"])
    assert all(
        "checkpoint" not in techniques(lists[goal])
        for goal in GOALS
        if goal not in ("saved_bytes", "training_peak_bytes")
    )
    one = next(one for one in lists["saved_bytes"] if one.step.transform == "checkpoint")
    assert one.error == 0.0
    assert any("training alone" in text for text in one.warnings)


def test_norms_are_folded_only_where_time_is_asked_for(lists):
    assert "fold_bn" in techniques(lists["latency_s"])
    assert all("fold_bn" not in techniques(lists[goal]) for goal in GOALS if goal != "latency_s")


def test_families_of_every_kind_stand_in_one_list(lists):
    assert {one.family for one in lists["param_bytes"]} >= {"prune", "factorize", "bottleneck", "quantize"}


def test_each_goal_gives_another_order(lists):
    # Where little but activations is held in training, its peak is what is saved for the backward: one order for both.
    orders = [tuple(one.step for one in lists[goal]) for goal in GOALS if goal != "training_peak_bytes"]
    assert len(set(orders)) == len(orders)


def test_what_was_measured_slower_never_ranks_where_time_is_asked_for(lists):
    found = lists["latency_s"]
    assert len(found) > 2
    assert all(one.latency.faster and one.saving == pytest.approx(-one.latency.share) for one in found)
    # With a clock that counts operations int8 weights are widened in each call, and that is told of each layer.
    slow = [skip for skip in found.skips if skip.transform == "int8"]
    assert slow
    assert all("will not be faster" in skip.reason for skip in slow)


def test_every_column_is_filled_for_every_goal(lists):
    for found in lists.values():
        assert found.latency is not None
        for one in found:
            assert one.memory_after is not None
            assert one.latency is not None
            assert one.error is not None
            assert one.reason.endswith(".")


def test_what_is_not_faster_is_warned_of_and_what_is_faster_is_not(lists):
    told = set()
    for found in lists.values():
        for one in found:
            warned = any("will not be faster" in text for text in one.warnings)
            assert warned == (not one.latency.faster)
            told.add(warned)
    assert told == {True, False}


def test_the_saved_download_is_that_of_the_applied_step(net, x, lists):
    found = lists["download_bytes"]
    for one in found:
        made = apply(net, Plan(steps=(one.step,)), x, repair=False)
        saved = 1 - download_bytes(made.profile, made.edits) / found.cost.param_bytes
        assert one.saving == pytest.approx(saved, abs=1e-9), one.step


def test_the_predicted_training_peak_is_lower(lists):
    found = lists["training_peak_bytes"]
    assert all(one.memory_after.training_peak_bytes < found.memory.training_peak_bytes for one in found)


def test_short_names_and_registered_metrics_are_goals(net, x):
    assert as_goal("bytes") == "param_bytes"
    assert as_goal("peak_bytes") == "inference_peak_bytes"

    class Elementwise:
        name, title, unit, better = "elementwise", "Element operations", "", "lower"

        def measure(self, profile):
            return float(profile.cost.elementwise_ops)

    METRICS.add("elementwise", Elementwise())
    try:
        found = suggest(net, x, goal="elementwise")
        assert len(found) > 0
        for one in found:
            after = apply(net, Plan(steps=(one.step,)), x, repair=False).profile.cost.elementwise_ops
            assert one.saving == pytest.approx(1 - after / found.cost.elementwise_ops)
    finally:
        METRICS.remove("elementwise")
    with pytest.raises(UnknownNameError, match="download_bytes"):
        as_goal("score")


def test_entries_that_cannot_be_taken_together_are_marked_and_the_others_can(net, x, lists):
    found = lists["param_bytes"]
    for place, one in enumerate(found):
        assert place not in one.clashes
        assert all(place in found[other].clashes for other in one.clashes)
    pairs = [(a, b) for a in range(len(found)) for b in range(a)]
    near = [pair for pair in pairs if set(found[pair[0]].step.layers) & set(found[pair[1]].step.layers)]
    assert near
    for a, b in near:
        made = apply(net, found.plan(a, b), x, repair=False)
        both = not made.skipped
        assert both == (b not in found[a].clashes), (found[a].step, found[b].step, made.skipped)


def test_nested_blocks_are_not_both_run_again(net, x):
    from effwidgets.profiling.profile import profile
    from effwidgets.records import Step

    known = profile(net, x)
    steps = [Step(transform="checkpoint", layers=(name,)) for name in ("block", "stem")]
    inner = Step(transform="checkpoint", layers=("block.0",))
    assert clashes_of(known, [*steps, inner]) == [(2,), (), (0,)]


def test_a_score_stands_in_every_entry_and_is_that_of_the_repaired_step(net, x):
    target = net(x).detach()

    def evaluate(model):
        assert not model.training
        with torch.no_grad():
            return {"closeness": -float((model(x) - target).norm())}

    found = suggest(net, x, goal="params", calibration=x, evaluate=evaluate)
    assert [(score.metric, score.value) for score in found.scores] == [("closeness", 0.0)]
    for one in found:
        made = apply(net, Plan(steps=(one.step,)), x, calibration=x).model.eval()
        assert one.score == pytest.approx(evaluate(made)["closeness"], rel=1e-4, abs=1e-6)
    assert Suggestions.from_dict(found.to_dict()) == found


def test_a_score_that_fails_for_one_entry_is_said_in_a_note(net, x):
    calls = []

    def evaluate(model):
        calls.append(model)
        if len(calls) == 3:
            raise ValueError("by hand")
        return 1.0

    found = suggest(net, x, goal="params", evaluate=evaluate)
    assert [one.score for one in found].count(None) == 1
    assert any("by hand" in note for note in found.notes)


def test_a_model_on_meta_has_a_list_without_times_and_none_for_time():
    with torch.device("meta"):
        net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8)).eval()
    with pytest.raises(InputError, match="meta"):
        suggest(net, torch.empty(2, 64, device="meta"), goal="latency_s")


def test_a_deep_model_is_tried_at_places_spread_over_it(monkeypatch):
    net = nn.Sequential(*(nn.Sequential(nn.Linear(32, 32), nn.ReLU()) for _ in range(12))).eval()
    monkeypatch.setattr(survey_module, "trials_for", lambda profile: 7)
    found = survey_module.survey(net, survey_module.Call((torch.ones(2, 32),)), goal="params")
    tried = sorted({int(option.step.layers[0].split(".")[0]) for option in found.options})
    assert len(found.options) == 6
    assert min(tried) < 4
    assert max(tried) > 7
    assert any("places of the same shape were" in skip.reason for skip in found.skips)


def test_the_best_places_are_tried_with_more_settings(monkeypatch):
    net = nn.Sequential(nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 16), nn.ReLU(), nn.Linear(16, 48)).eval()
    call = survey_module.Call((torch.eye(48),))
    whole = survey_module.survey(net, call, goal="params")
    places = {option.site for option in whole.options}
    monkeypatch.setattr(survey_module, "trials_for", lambda profile: len(places) + 3)
    some = survey_module.survey(net, call, goal="params")
    assert {option.site for option in some.options} == places
    assert len(some.options) == len(places) + 2
    twice = {option.site for option in some.options if sum(option.site == other.site for other in some.options) > 1}
    middle = {
        site: statistics.median_low([merit(o.saving, o.error) for o in whole.options if o.site == site])
        for site in places
    }
    assert all(math.isfinite(value) for value in middle.values())
    assert 1 <= len(twice) <= 2


def test_a_budget_of_several_costs_is_kept_by_the_chosen_together(net, x):
    found = suggest(net, x, budget={"macs": 0.8, "params": 0.9})
    assert found.chosen
    made = apply(net, found.plan(*found.chosen), x)
    assert made.profile.cost.macs <= 0.8 * found.cost.macs
    assert made.profile.cost.params <= 0.9 * found.cost.params
