"""A whole search: seeds, samplers, budgets, climbs, stores, workers that hang."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import torch
from torch import nn

from effwidgets.errors import InputError, SearchError, UnknownNameError
from effwidgets.records import Budget, Plan
from effwidgets.search import SearchOptions, explore
from effwidgets.search.clocks.pieces import Pieces
from effwidgets.search.crews.threads import ThreadCrew
from effwidgets.search.engine.book import PREDICTED
from effwidgets.search.engine.gate import cores
from tests.search.conftest import PLANS, low_rank


def options(**more):
    return SearchOptions(**{"plans": PLANS, "sampler": "tpe", **more})


def plans_of(study):
    return [known.plan for known in study.candidates()]


@pytest.fixture(scope="module")
def _found():
    return {}


@pytest.fixture(autouse=True)
def _advice_once(_found, monkeypatch):
    """Lay out the seeds once for each question: the model is the same in every test here."""
    from effwidgets.search.selection import seeds as room

    real = room.seeds

    def seeds(model, call, *, calibration=None, goals=("macs",), most=24, pieces=None, **more):
        key = (None if calibration is None else len(calibration.batches), goals, most)
        if key not in _found:
            _found[key] = real(model, call, calibration=calibration, goals=goals, most=most, pieces=pieces, **more)
        return _found[key]

    monkeypatch.setattr(room, "seeds", seeds)


class Training:
    """Trains towards the teacher; knows how often, and a shorter form of itself."""

    def __init__(self, x, steps=20):
        self.x = x
        self.steps = steps
        self.seeds = []
        self.calls = 0
        self.hold = None

    def __call__(self, candidate, teacher):
        self.calls += 1
        if self.hold is not None:
            self.hold(candidate)
        optimizer = torch.optim.Adam(candidate.parameters(), lr=0.01)
        with torch.no_grad():
            target = teacher(self.x)
        for _ in range(self.steps):
            optimizer.zero_grad()
            nn.functional.mse_loss(candidate(self.x), target).backward()
            optimizer.step()


class TwoTrainings(Training):
    def __init__(self, x):
        super().__init__(x)
        self.briefly = Training(x, steps=3)


def test_a_sampler_goes_on_after_the_plans_and_tries_none_twice(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options(trials=9)).run()
    found = study.candidates()
    assert [known.source for known in found] == ["dense", *["user"] * 5, *["tpe"] * 4]
    assert len(set(plans_of(study))) == 10
    assert study.snapshot().planned == 10
    assert all(known.state == "done" for known in found)


def test_the_same_seed_finds_the_same_front(model, x, accuracy):
    def run(seed):
        study = explore(model, x, evaluate=accuracy, options=options(trials=7, seed=seed, calibration=x[:32])).run()
        return plans_of(study), study.snapshot().fronts, [known.scores for known in study.candidates()]

    found = run(1)
    assert run(1) == found
    assert run(2)[0] != found[0]


def test_two_workers_try_the_same_plans_as_one(model, x, accuracy):
    one, two = (explore(model, x, evaluate=accuracy, options=options(workers=count)).run() for count in (1, 2))
    scores = [{known.plan: known.scores for known in study.candidates()} for study in (one, two)]
    assert scores[0] == scores[1]
    assert len(scores[0]) == 6


def test_a_plan_that_comes_twice_is_tried_once(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options(plans=(*PLANS, *PLANS))).run()
    assert plans_of(study) == [Plan(), *PLANS]
    study.run()
    assert plans_of(study) == [Plan(), *PLANS]


def test_a_ladder_is_the_seeds_alone_and_no_more_than_the_trials(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options(plans=None, sampler="ladder", trials=3)).run()
    assert [known.source for known in study.candidates()] == ["dense", "ladder", "ladder", "ladder"]


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random", "grid"])
def test_a_sampler_that_was_named_has_its_turn_however_few_the_trials(model, x, accuracy, sampler):
    search = options(plans=None, sampler=sampler, trials=5, calibration=x[:64])
    study = explore(model, x, evaluate=accuracy, options=search).run()
    assert [known.source for known in study.candidates()] == ["dense", *["ladder"] * 3, *[sampler] * 2]


def test_a_space_that_is_tried_out_ends_the_search_and_the_count(x):
    tiny = nn.Sequential(nn.Linear(x.shape[1], 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    few = SearchOptions(trials=500, sampler="random", calibration=x[:32])
    study = explore(tiny, x, evaluate=lambda candidate: 0.5, options=few).run()
    state = study.snapshot()
    assert state.planned == len(state.candidates) < 500


def test_a_plan_of_ones_own_is_tried_next_and_once(model, x, accuracy):
    mine = low_rank("2", 3)
    study = explore(model, x, evaluate=accuracy, options=options())
    assert study.add(mine) is None
    study.run()
    assert plans_of(study)[:2] == [Plan(), mine]
    assert study.add(mine) == 1
    assert study.add(low_rank("2", 5)) is None
    study.run()
    assert study.candidates()[-1].source == "user"
    assert len(study.candidates()) == 8
    with pytest.raises(UnknownNameError, match="layer"):
        study.add(low_rank("nowhere", 3))


def test_budgets_hold_for_the_best_and_can_be_changed_while_it_runs(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options(budgets={"macs": 0.5}))
    changed = threading.Event()

    def change(state):
        if state.state == "running" and len(state.candidates) > 2 and not changed.is_set():
            changed.set()
            study.set_budget("params", 0.4)

    study.subscribe(change)
    study.run()
    dense, best = study.candidates()[0], study.best()
    assert [budget.axis for budget in study.snapshot().budgets] == ["macs", "params"]
    assert study.snapshot().budgets[0] == Budget(axis="macs", limit=dense.cost.macs / 2)
    assert best.cost.macs <= 0.5 * dense.cost.macs
    assert best.cost.params <= 0.4 * dense.cost.params
    study.set_budget("macs", None)
    study.set_budget("params", None)
    assert study.best().score() == max(known.score() for known in study.candidates())
    assert study.snapshot().budgets == ()
    with pytest.raises(InputError):
        study.set_budget("macs", 2 * dense.cost.macs)


def test_several_budgets_at_once_are_kept_or_said_to_be_out_of_reach(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options()).run()
    dense = study.candidates()[0].cost
    limits = {"macs": 0.8, "params": 0.75}
    within = [
        known
        for known in study.candidates()
        if known.cost.macs <= 0.8 * dense.macs and known.cost.params <= 0.75 * dense.params
    ]
    assert study.best(limits).score() == max(known.score() for known in within)
    with pytest.raises(InputError, match=r"No candidate keeps macs within .* and params within .* needs"):
        study.best({"macs": 0.9, "params": 0.001})
    with pytest.raises(UnknownNameError, match="'macs'"):
        study.best({"macks": 0.5})


def test_only_as_many_as_may_be_are_trained_and_each_says_where_it_was(model, x, accuracy):
    train = TwoTrainings(x)
    study = explore(model, x, evaluate=accuracy, options=options(finetune=train, finetuned=2)).run()
    assert train.calls == 2
    assert 2 < train.briefly.calls <= 4
    plain = explore(model, x, evaluate=accuracy, options=options()).run()
    for known, low in zip(study.candidates(), plain.candidates(), strict=True):
        assert known.first_scores == low.scores
        assert known.score() >= low.score()
        assert known.rung == "dense" or known.rung in {"zero-shot", "briefly tuned", "fine-tuned"}
        assert accuracy(study.apply(known.number).model) == known.score()
    climbed = [[climb.rung for climb in known.climbed] for known in study.candidates()]
    assert ["zero-shot", "briefly tuned"] in climbed
    assert study.history() == tuple(sorted(study.history()))
    study.run()
    assert (train.calls, train.briefly.calls) == (2, min(4, train.briefly.calls))


def test_a_training_with_a_seed_is_given_that_of_the_candidate(model, x, accuracy):
    seeds = []

    class Seeded(Training):
        def with_seed(self, seed):
            seeds.append(seed)
            return self

    study = explore(model, x, evaluate=accuracy, options=options(finetune=Seeded(x), seed=100)).run()
    known = {known.number: known.seed for known in study.candidates()}
    assert seeds
    assert set(seeds) <= set(known.values())
    assert known[3] == 103


def test_a_training_that_raises_leaves_the_candidate_as_it_was_and_the_search_goes_on(model, x, accuracy):
    def broken(candidate, teacher):
        raise ValueError("no labels")

    study = explore(model, x, evaluate=accuracy, options=options(finetune=broken)).run()
    plain = explore(model, x, evaluate=accuracy, options=options()).run()
    assert [known.scores for known in study.candidates()] == [known.scores for known in plain.candidates()]
    assert any("ValueError: no labels" in known.note for known in study.candidates())
    assert study.snapshot().state == "finished"


def test_a_search_that_was_cancelled_while_it_trained_goes_on_with_that(model, x, accuracy):
    train = Training(x)
    inside = threading.Event()

    def hold(candidate):
        until = time.monotonic() + 20
        while time.monotonic() < until:
            candidate(x)
            inside.set()
        raise AssertionError("nobody stopped it")

    train.hold = hold
    study = explore(model, x, evaluate=accuracy, options=options(finetune=train, finetuned=2)).start()
    assert inside.wait(20)
    study.cancel()
    study.wait(10)
    assert {known.state for known in study.candidates()} == {"done"}
    train.hold, train.calls = None, 0
    study.run()
    assert train.calls == 2
    assert any(known.rung == "fine-tuned" for known in study.candidates())


def test_the_same_store_goes_on_where_it_was_and_does_nothing_twice(model, x, accuracy, tmp_path):
    calls = []

    def evaluate(candidate):
        calls.append(candidate)
        return accuracy(candidate)

    def search(trials):
        chosen = options(store=tmp_path / "kept", trials=trials, finetune=Training(x), finetuned=2, calibration=x[:32])
        return explore(model, x, evaluate=evaluate, options=chosen).run()

    first = search(7)
    spent = len(calls)
    assert spent == 8 + 2  # each scored, and two of them trained
    again = search(7)
    assert len(calls) == spent
    assert again.candidates() == first.candidates()
    for known in again.candidates():
        assert accuracy(again.apply(known.number).model) == known.score()
    more = search(9)
    assert len(more.candidates()) == 10
    assert len(set(plans_of(more))) == 10
    assert len(calls) == spent + 2


def test_a_trained_candidate_in_a_folder_is_a_recipe_that_loads(model, x, accuracy, tmp_path):
    from effwidgets.transforms.recipes.recipe import load

    chosen = options(store=tmp_path / "kept", finetune=Training(x), finetuned=2)
    study = explore(model, x, evaluate=accuracy, options=chosen).run()
    trained = next(known for known in study.candidates() if known.rung == "fine-tuned")

    def build():
        return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 4))

    assert accuracy(load(tmp_path / "kept" / "candidates" / str(trained.number), build)) == trained.score()


def test_a_store_of_another_model_is_refused_with_a_clear_message(model, x, accuracy, tmp_path):
    explore(model, x, evaluate=accuracy, options=options(store=tmp_path / "kept")).run()
    with torch.no_grad():
        model[0].weight.zero_()
    with pytest.raises(SearchError, match="model"):
        explore(model, x, evaluate=accuracy, options=options(store=tmp_path / "kept")).run()


def test_an_evaluate_that_hangs_outside_of_any_forward_fails_its_candidate_alone(model, x, accuracy, caplog):
    let_go, calls = threading.Event(), []

    def evaluate(candidate):
        calls.append(candidate)
        if len(calls) == 3:
            let_go.wait(60)
        return accuracy(candidate)

    try:
        study = explore(model, x, evaluate=evaluate, options=options(time_limit_s=0.5)).run()
    finally:
        let_go.set()
    assert [known.state for known in study.candidates()] == ["done", "done", "failed", "done", "done", "done"]
    assert "0.5 s" in study.candidates()[2].note
    assert "left behind" in caplog.text


def test_latency_is_measured_for_those_near_the_front_with_an_error(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options(objectives=("latency_s",), trials=7)).run()
    timed = {
        known.number: score for known in study.candidates() for score in known.measures if score.metric == "latency_s"
    }
    assert 0 in timed
    assert len(timed) > 1
    assert all(score.value > 0 and score.error is not None and score.error >= 0 for score in timed.values())
    state = study.snapshot()
    assert state.fronts[0].axis == "latency_s"
    assert set(state.fronts[0].numbers) <= set(timed)
    assert state.objectives == ("latency_s",)


def test_what_parts_little_from_the_dense_model_has_a_small_divergence(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options(calibration=x, guide="divergence")).run()
    parted = [
        next((score.value for score in known.measures if score.metric == "divergence"), None)
        for known in study.candidates()
    ]
    assert parted[0] is None
    # Ranks 6 and 2 of the same layer; then the whole network at rank 1.
    assert 0 < parted[1] < parted[3] < parted[5]


def test_two_costs_beside_the_score_are_searched_together(model, x, accuracy):
    chosen = options(objectives=("params", "inference_peak_bytes"), trials=8)
    study = explore(model, x, evaluate=accuracy, options=chosen).run()
    assert [front.axis for front in study.snapshot().fronts][:2] == ["params", "inference_peak_bytes"]
    assert len(study.candidates()) == 9


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sampler": "bayes"}, "'tpe'"),
        ({"guide": "luck"}, "'score'"),
        ({"objectives": ("joules",)}, "'macs'"),
        ({"objectives": ()}, "objectives"),
        ({"objectives": ("macs", "macs")}, "objectives"),
        ({"budgets": {"joules": 1}}, "'macs'"),
        ({"budgets": {"macs": -1}}, "leaves nothing"),
        ({"budgets": 3}, "budgets"),
        ({"budgets": {"macs": "forty percent"}}, "no number"),
        ({"budgets": {"macs": "3 ms"}}, "is a time"),
        ({"trials": 0}, "trials"),
        ({"finetuned": -1}, "finetuned"),
    ],
)
def test_options_of_a_search_that_make_no_sense_are_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        options(**wrong)


def test_the_candidates_as_a_table(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options()).run()
    table = study.to_pandas()
    assert list(table.index) == list(range(6))
    assert table["macs"].tolist() == [known.cost.macs for known in study.candidates()]
    assert table["score"].tolist() == [known.score() for known in study.candidates()]
    assert table.loc[1, "plan"] == "low_rank at 2 (rank=6)"
    assert table.loc[0, "rung"] == "dense"


def test_each_technique_says_what_would_be_lost_without_it(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options()).run()
    # Every candidate but the dense one uses it, and that one dominates nothing at its own cost.
    assert [(share.metric, share.value) for share in study.contributions()] == [("low_rank", 1.0)]


def test_a_kept_search_that_was_cancelled_while_it_trained_lost_no_result(model, x, accuracy, tmp_path):
    train, inside = Training(x), threading.Event()

    def hold(candidate):
        until = time.monotonic() + 20
        while time.monotonic() < until:
            candidate(x)
            inside.set()
        raise AssertionError("nobody stopped it")

    train.hold = hold
    chosen = options(store=tmp_path / "kept", finetune=train, finetuned=2)
    study = explore(model, x, evaluate=accuracy, options=chosen).start()
    assert inside.wait(20)
    study.cancel()
    study.wait(10)
    train.hold, train.calls = None, 0
    again = explore(model, x, evaluate=accuracy, options=chosen).run()
    assert [known.first_scores for known in again.candidates()] == [known.scores for known in study.candidates()]
    assert train.calls == 2


class Elsewhere(ThreadCrew):
    """Workers that one cannot see into; from the order of that number on they cannot begin."""

    def __init__(self, workshop, slots, broken_from=10**6):
        super().__init__(workshop, slots)
        self.broken_from = broken_from

    def submit(self, order):
        if order.number < self.broken_from:
            return super().submit(order)
        future = Future()
        future.set_exception(SearchError("A worker process could not begin."))
        return future


def with_crew(study, slots=1, **more):
    study._coordinator._hire = lambda: Elsewhere(study._workshop, slots, **more)
    return study


def test_what_workers_that_cannot_begin_were_given_is_tried_by_the_next_run(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options())
    with pytest.raises(SearchError, match="could not begin"):
        with_crew(study, broken_from=2).run()
    assert [known.state for known in study.candidates()] == ["done", "done", "cancelled"]
    assert [known.state for known in with_crew(study).run().candidates()] == ["done"] * 6


def test_what_was_under_way_when_an_error_came_is_tried_by_the_next_run(model, x, accuracy, monkeypatch):
    inside, go_on = threading.Event(), threading.Event()

    def evaluate(candidate):
        if inside.is_set():
            go_on.wait(20)
        return accuracy(candidate)

    study = explore(model, x, evaluate=evaluate, options=options(plans=PLANS[:2], trials=4))
    real = study._campaign._ideas.propose

    def fault(check):
        go_on.set()
        raise ZeroDivisionError("in a sampler")

    monkeypatch.setattr(study._campaign._ideas, "propose", fault)
    study.subscribe(lambda state: inside.set() if len(state.candidates) else None)
    with pytest.raises(SearchError, match="in a sampler"):
        with_crew(study, 3).run()
    assert {known.state for known in study.candidates()} == {"done", "cancelled"}
    monkeypatch.setattr(study._campaign._ideas, "propose", real)
    assert [known.state for known in with_crew(study, 3).run().candidates()] == ["done"] * 5


@pytest.mark.parametrize("inside", [True, False])
def test_pieces_are_timed_while_no_worker_elsewhere_computes(model, x, accuracy, monkeypatch, tmp_path, inside):
    monkeypatch.setenv("EFFWIDGETS_CACHE", str(tmp_path))
    real, seen = Pieces._measured, []

    def measured(self, pairs):
        seen.append((len(study._campaign._out), torch.get_num_threads()))
        return real(self, pairs)

    def evaluate(candidate):
        time.sleep(0.05)  # so that the others are under way when one comes back
        return accuracy(candidate)

    monkeypatch.setattr(Pieces, "_measured", measured)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ThreadPoolExecutor(2) as pool:
            chosen = options(objectives=("latency_s",), workers=2, executor=None if inside else pool)
            study = explore(model, x, evaluate=evaluate, options=chosen)
            study.run()
    finally:
        torch.set_num_threads(before)
    assert {threads for _, threads in seen} == {min(2, cores())}  # not those of one of two workers
    assert inside or {out for out, _ in seen} == {0}
    assert all(any(score.metric == PREDICTED for score in known.measures) for known in study.candidates())


def test_a_latency_that_is_asked_for_later_is_predicted_for_those_that_were_scored(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options()).run()
    study.set_budget("latency_s", 0.9)
    study.run()
    assert all(any(score.metric == PREDICTED for score in known.measures) for known in study.candidates())
    assert "latency_s" in [budget.axis for budget in study.snapshot().budgets]


def test_a_cancel_while_pieces_are_timed_loses_neither_the_result_nor_its_prediction(model, x, accuracy, monkeypatch):
    study = explore(model, x, evaluate=accuracy, options=options(objectives=("latency_s",)))
    real = Pieces.plan

    def cancelled(self, steps):
        study.cancel()
        return real(self, steps)

    monkeypatch.setattr(Pieces, "plan", cancelled)
    study.run()
    assert [known.state for known in study.candidates()] == ["done", "done"]
    monkeypatch.setattr(Pieces, "plan", real)
    done = study.run().candidates()
    assert len(done) == 6
    assert all(any(score.metric == PREDICTED for score in known.measures) for known in done)


def test_a_cost_may_be_called_by_its_short_name_wherever_it_is_asked_for(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options(objectives=("bytes",), budgets={"bytes": 0.9})).run()
    assert study.snapshot().objectives == ("param_bytes",)
    study.set_budget("peak_bytes", 0.99)
    assert [budget.axis for budget in study.snapshot().budgets] == ["param_bytes", "inference_peak_bytes"]
    assert study.front("bytes") == study.front("param_bytes")
    assert study.history("bytes") == study.history("param_bytes") != ()
    assert study.contributions("bytes") == study.contributions("param_bytes")
    assert study.best(0.5, axis="bytes") == study.best({"bytes": 0.5}) == study.best({"param_bytes": 0.5})
    assert study.p_dominates(0, 1, axis="bytes") == study.p_dominates(0, 1, axis="param_bytes")
    with pytest.raises(InputError, match="two budgets"):
        options(budgets={"bytes": 0.5, "param_bytes": 0.4})
    with pytest.raises(UnknownNameError, match="'bytes'"):
        study.set_budget("byte", 0.5)
    with pytest.raises(UnknownNameError, match="cost to search along"):
        study.contributions("nothing")
