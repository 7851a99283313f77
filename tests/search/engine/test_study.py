"""A search: runs, stops, goes on, fails where it must, and leaves everything else alone."""

from __future__ import annotations

import random
import signal
import threading
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from effwidgets.errors import InputError, SearchError, UnknownNameError
from effwidgets.metrics.base import METRICS
from effwidgets.records import Plan, Step, StudyState, settings
from effwidgets.search import SearchOptions, explore
from effwidgets.search.fronts.pareto import dominates
from tests.search.conftest import PLANS, fingerprint, low_rank, same


def options(**more):
    return SearchOptions(**{"plans": PLANS, **more})


class Held:
    """An evaluate that waits inside its forwards until it is let go: a long one, without sleeping through a test."""

    def __init__(self, x, from_call=2):
        self.x = x
        self.from_call = from_call
        self.inside = threading.Event()
        self.calls = 0

    def __call__(self, candidate):
        self.calls += 1
        if self.calls >= self.from_call:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:  # ends by the exception that Cancel raises in the forward
                candidate(self.x)
                self.inside.set()
                time.sleep(0.002)
            raise AssertionError("nobody stopped it")
        return float(candidate(self.x).detach().sum())


def legacy():
    return np.random.get_state()[1].tolist()  # noqa: NPY002  the state that other people's code draws from


def alive(name="effwidgets-study"):
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


def test_nothing_runs_before_it_is_started(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options())
    state = study.snapshot()
    assert (state.state, state.candidates, state.planned) == ("idle", (), 1 + len(PLANS))
    with pytest.raises(InputError, match="never started"):
        study.wait()


def test_a_run_scores_the_dense_model_first_and_then_every_plan(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options()).run()
    candidates = study.candidates()
    assert [known.number for known in candidates] == list(range(6))
    assert all(known.state == "done" for known in candidates)
    assert [known.plan for known in candidates[1:]] == list(PLANS)
    assert candidates[0].rung == "dense"
    assert candidates[0].score() == accuracy(model)
    assert candidates[0].cost.macs == 256 * (12 * 24 + 24 * 16 + 16 * 4)
    # By hand: the 24 -> 16 layer at rank 6 takes 6 * (24 + 16) a sample instead of 24 * 16.
    assert candidates[1].cost.macs - candidates[0].cost.macs == 256 * (6 * 40 - 24 * 16)
    assert study.snapshot().state == "finished"


def test_a_model_in_which_nothing_can_be_tried_says_so():
    study = explore(nn.Linear(8, 8), torch.ones(2, 8), evaluate=lambda _: 0.5, options=SearchOptions(trials=3))
    assert repr(study.run()).startswith("Study(Linear: finished, 1 ")
    assert "nothing was found to try; suggest() says at each place why" in study.snapshot().message


def test_before_the_seeds_are_laid_nobody_says_of_how_many(model, x, accuracy):
    assert repr(explore(model, x, evaluate=accuracy)).endswith(", 0 done)")


def test_the_fronts_are_what_no_candidate_dominates_on_each_axis(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options()).run()
    state = study.snapshot()
    assert [front.axis for front in state.fronts] == ["macs", "params", "param_bytes", "inference_peak_bytes"]
    for front in state.fronts:
        points = {
            known.number: (
                known.memory.inference_peak_bytes
                if front.axis == "inference_peak_bytes"
                else getattr(known.cost, front.axis),
                known.score(),
            )
            for known in state.candidates
        }
        brute = {
            number
            for number, point in points.items()
            if not any(dominates(other, point) for other in points.values())
            and not any(points[earlier] == point for earlier in points if earlier < number)
        }
        assert set(front.numbers) == brute
        assert 0 <= front.hypervolume <= 1
    assert state.fronts[0].hypervolume > 0.3  # half of the MACs at most of the accuracy is there
    assert [known.number for known in study.front("params")] == list(state.fronts[1].numbers)
    with pytest.raises(UnknownNameError, match="'macs'"):
        study.front("joules")


def test_the_callers_model_and_every_random_state_stay_as_they_were(model, x, accuracy):
    model.train()
    before, states = fingerprint(model), (torch.get_rng_state(), random.getstate(), legacy())
    loader = DataLoader(TensorDataset(x, x), batch_size=64, shuffle=True)
    explore(model, x, evaluate=accuracy, options=options(calibration=loader)).run()
    assert same(before, fingerprint(model))
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert states[2] == legacy()


def test_training_the_callers_model_meanwhile_changes_nothing_in_the_search(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options())
    with torch.no_grad():
        dense = accuracy(model)
        for parameter in model.parameters():
            parameter.zero_()
    assert study.run().candidates()[0].score() == dense


def test_cancel_takes_effect_inside_a_long_evaluate_and_keeps_what_is_finished(model, x):
    evaluate = Held(x, from_call=3)
    study = explore(model, x, evaluate=evaluate, options=options()).start()
    assert evaluate.inside.wait(10)
    began = time.monotonic()
    study.cancel()
    assert study.wait(10)
    assert time.monotonic() - began < 2  # one forward of a tiny model; the rest is a busy machine
    states = [known.state for known in study.candidates()]
    assert states == ["done", "done", "cancelled"]
    assert study.snapshot().state == "cancelled"
    assert study.apply(1).model(x).shape == (256, 4)
    assert not alive()


def stuck(model, x, accuracy):
    """A search that stands inside ``evaluate`` of its second candidate, for as long as the event that comes is set."""
    evaluate, held = Held(x, from_call=2), threading.Event()
    held.set()
    study = explore(
        model,
        x,
        evaluate=lambda candidate: evaluate(candidate) if held.is_set() else accuracy(candidate),
        options=options(),
    ).start()
    assert evaluate.inside.wait(10)
    return study, held


def test_a_cancelled_search_goes_on_where_it_was(model, x, accuracy):
    study, held = stuck(model, x, accuracy)
    study.cancel()
    study.wait(10)
    held.clear()
    study.run()
    assert [known.state for known in study.candidates()] == ["done"] * 6


def test_a_start_right_after_a_cancel_is_not_lost(model, x, accuracy):
    study, held = stuck(model, x, accuracy)
    with study._book.lock:  # the run cannot end before the start comes
        study.cancel()
        held.clear()
        study.start()
    assert study.wait(30)
    assert study.snapshot().state == "finished"
    assert [known.state for known in study.candidates()] == ["done"] * 6


def test_a_pause_after_such_a_start_holds(model, x, accuracy):
    study, held = stuck(model, x, accuracy)
    with study._book.lock:
        study.cancel()
        held.clear()
        study.start()
        study.pause()
    assert not study.wait(1)
    until = time.monotonic() + 30
    while study.snapshot().state != "paused":
        assert time.monotonic() < until
        time.sleep(0.01)
    study.resume()
    assert study.wait(30)
    assert [known.state for known in study.candidates()] == ["done"] * 6


def test_a_cancel_after_such_a_start_holds(model, x):
    evaluate = Held(x, from_call=2)
    study = explore(model, x, evaluate=evaluate, options=options()).start()
    assert evaluate.inside.wait(10)
    with study._book.lock:
        study.cancel()
        study.start()
        study.cancel()
    assert study.wait(30)
    assert study.snapshot().state == "cancelled"


def test_an_evaluate_that_swallows_the_stop_is_stopped_all_the_same(model, x):
    started = threading.Event()

    def evaluate(candidate):
        if started.is_set():
            return 0.5
        try:
            for _ in range(10_000):
                candidate(x)
                started.set()
                time.sleep(0.001)
        except Exception:  # noqa: BLE001  what some people's loops do
            return 0.5
        raise AssertionError("nobody stopped it")

    study = explore(model, x, evaluate=evaluate, options=options()).start()
    assert started.wait(10)
    study.cancel()
    study.wait(10)
    assert [known.state for known in study.candidates()] == ["cancelled"]


def test_no_hook_is_left_on_any_model(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options()).run()
    for number in range(6):
        assert all(not module._forward_pre_hooks for module in study.apply(number).model.modules())


def test_pause_stands_still_between_candidates_and_resume_goes_on(model, x, accuracy):
    gates = threading.Semaphore(0)
    paused = threading.Event()

    def evaluate(candidate):
        assert gates.acquire(timeout=10)
        return accuracy(candidate)

    study = explore(model, x, evaluate=evaluate, options=options())
    study.subscribe(lambda state: paused.set() if state.state == "paused" else None)
    study.start()
    study.pause()
    assert "auses" in study.snapshot().message
    for _ in range(6):
        gates.release()
    assert paused.wait(10)
    assert not study.wait(0.05)
    assert [known.state for known in study.candidates()] == ["done"]
    assert len(alive()) == 1
    study.resume()
    assert study.wait(10)
    assert [known.state for known in study.candidates()] == ["done"] * 6
    assert not alive()


def test_cancel_ends_a_pause(model, x, accuracy):
    paused = threading.Event()
    study = explore(model, x, evaluate=accuracy, options=options())
    study.subscribe(lambda state: paused.set() if state.state == "paused" else None)
    study.start()
    study.pause()
    assert paused.wait(10)
    study.cancel()
    assert study.wait(10)
    assert study.snapshot().state == "cancelled"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        ("0.9", "str"),
        (None, "NoneType"),
        (True, "bool"),
        ({}, "empty"),
        ({"other": 1.0}, "no 'score'"),
        (ZeroDivisionError("by hand"), "ZeroDivisionError: by hand"),
    ],
)
def test_an_evaluate_that_fails_marks_that_candidate_and_the_search_goes_on(model, x, accuracy, bad, said):
    calls = []

    def evaluate(candidate):
        calls.append(candidate)
        if len(calls) == 3:
            if isinstance(bad, Exception):
                raise bad
            return bad
        return accuracy(candidate)

    study = explore(model, x, evaluate=evaluate, options=options()).run()
    assert [known.state for known in study.candidates()] == ["done", "done", "failed", "done", "done", "done"]
    assert said in study.candidates()[2].note
    assert all(2 not in front.numbers for front in study.snapshot().fronts)
    with pytest.raises(InputError, match="Candidate 2 is failed"):
        study.apply(2)


@pytest.mark.parametrize("bad", [float("nan"), ValueError("no labels")])
def test_a_dense_model_that_cannot_be_scored_fails_the_search(model, x, bad):
    def evaluate(candidate):
        if isinstance(bad, Exception):
            raise bad
        return bad

    study = explore(model, x, evaluate=evaluate, options=options())
    with pytest.raises(SearchError, match="dense model could not be scored"):
        study.run()
    assert study.snapshot().state == "failed"
    assert [known.state for known in study.candidates()] == ["failed"]
    with pytest.raises(SearchError):
        study.wait()
    assert not alive()


def test_a_plan_that_cannot_be_done_fails_alone(model, x, accuracy):
    plans = (low_rank("2", 999), low_rank("2", 4))
    study = explore(model, x, evaluate=accuracy, options=options(plans=plans)).run()
    assert [known.state for known in study.candidates()] == ["done", "failed", "done"]
    assert "999" in study.candidates()[1].note


def test_scores_by_name_keep_the_first_as_the_main_one(model, x, accuracy):
    def evaluate(candidate):
        return {"top1": np.float32(accuracy(candidate)), "loss": torch.tensor(2.0)}

    study = explore(model, x, evaluate=evaluate, options=options()).run()
    assert study.snapshot().metric == "top1"
    assert [score.metric for score in study.candidates()[1].scores] == ["top1", "loss"]


def test_a_kept_model_is_handed_out_as_a_copy(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options()).run()
    first = study.apply(1).model
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.zero_()
    assert accuracy(study.apply(1).model) == study.candidates()[1].score()
    assert study.snapshot().applied == 1


def test_a_model_that_was_not_kept_is_made_again_to_the_bit(model, x, accuracy):
    kept = explore(model, x, evaluate=accuracy, options=options(keep=5, calibration=x[:64])).run()
    made = explore(model, x, evaluate=accuracy, options=options(keep=0, calibration=x[:64])).run()
    for number in range(6):
        one, two = kept.apply(number).model, made.apply(number).model
        assert same(fingerprint(one), fingerprint(two))
        assert accuracy(two) == made.candidates()[number].score()


def test_a_pruned_and_repaired_model_that_was_not_kept_scores_the_same(convolutional, images):
    def spread(candidate):
        with torch.no_grad():
            return candidate(images).std().item()

    steps = (
        Step(transform="channel_prune", layers=("conv1",), settings=settings(channels=10, criterion="l2")),
        Step(transform="bottleneck", layers=("conv2",), settings=settings(rank_in=5, rank_out=6)),
    )
    search = options(plans=(Plan(steps=steps), Plan(steps=steps[:1])), keep=0, calibration=[images[:8], images[8:]])
    study = explore(convolutional, images[:1], evaluate=spread, options=search).run()
    for known in study.candidates():
        assert known.state == "done"
        assert len(known.edits) == len(known.plan)
        assert spread(study.apply(known.number).model) == known.score()
    places = {place.layer: place.after for place in study.compare(0, 1).layers}
    assert set(places) == {"conv1", "bn1", "conv2"}
    assert len(places["conv2"]) == 3


@pytest.mark.parametrize("keep", [0, 1, 5])
def test_a_finetuned_model_comes_back_trained_whether_it_was_kept_or_not(model, x, accuracy, keep):
    def finetune(candidate, teacher):
        assert not any(a is b for a in candidate.parameters() for b in teacher.parameters())
        optimizer = torch.optim.Adam(candidate.parameters(), lr=0.01)
        with torch.no_grad():
            target = teacher(x)
        for _ in range(20):
            optimizer.zero_grad()
            nn.functional.mse_loss(candidate(x), target).backward()
            optimizer.step()

    study = explore(model, x, evaluate=accuracy, options=options(keep=keep, finetune=finetune)).run()
    plain = explore(model, x, evaluate=accuracy, options=options()).run()
    # Only candidates that are worth it are trained, and one that scores worse afterwards stays as it was.
    up = [known.number for known in study.candidates() if known.rung == "fine-tuned"]
    assert up, [known.note for known in study.candidates()]
    for number in range(1, 6):
        trained = study.apply(number).model
        assert accuracy(trained) == study.candidates()[number].score() >= plain.candidates()[number].score()
        assert same(fingerprint(trained), fingerprint(plain.apply(number).model)) == (number not in up)
        assert all(parameter.grad is None for parameter in trained.parameters())


def test_best_within_a_budget_is_what_a_search_by_hand_finds(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options()).run()
    dense = study.candidates()[0].cost.macs
    for share in (1, 0.9, 0.7, 0.5):
        within = [known for known in study.candidates() if known.cost.macs <= share * dense]
        if within:
            assert study.best(share).score() == max(known.score() for known in within)
    assert study.best().score() == max(known.score() for known in study.candidates())
    assert study.best("70%") == study.best(0.7)


@pytest.mark.parametrize("budget", [0, -1, float("nan"), float("inf"), 1e12, "much", None.__class__])
def test_a_budget_that_makes_no_sense_is_answered(model, x, accuracy, budget):
    study = explore(model, x, evaluate=accuracy, options=options()).run()
    with pytest.raises(InputError):
        study.best(budget)


def test_a_budget_that_nothing_keeps_says_what_can_be_reached(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options()).run()
    with pytest.raises(InputError, match=r"No candidate keeps macs within .* candidate \d+, needs"):
        study.best(0.01)


def test_best_before_anything_is_scored_is_answered(model, x, accuracy):
    with pytest.raises(InputError, match="Run the search first"):
        explore(model, x, evaluate=accuracy, options=options()).best()


def test_a_listener_hears_every_state_and_one_that_raises_stops_nobody(model, x, accuracy, caplog):
    heard: list[StudyState] = []
    ended: list[StudyState] = []

    def broken(state):
        raise RuntimeError("a screen that is gone")

    study = explore(model, x, evaluate=accuracy, options=options())
    study.subscribe(broken)
    stop = study.subscribe(heard.append)
    study.on_finished(ended.append)
    study.run()
    assert heard[-1].state == "finished"
    done = [sum(known.state == "done" for known in state.candidates) for state in heard]
    assert done == sorted(done)
    # At most ten states a second are told, so some counts are told together; the first and the last never are.
    assert (done[0], done[-1]) == (0, 6)
    assert [state.state for state in ended] == ["finished"]
    assert "a screen that is gone" in caplog.text
    count = len(heard)
    stop()
    study.apply(1)
    assert len(heard) == count


def test_what_a_listener_sees_is_always_whole(model, x, accuracy):
    def check(state):
        done = {known.number for known in state.candidates if known.state == "done"}
        problems.extend(number for front in state.fronts for number in front.numbers if number not in done)
        problems.extend(known for known in state.candidates if known.state == "done" and known.score() is None)
        seen.add(len(done))

    problems, seen = [], set()
    study = explore(model, x, evaluate=accuracy, options=options())
    study.subscribe(check)
    study.start()
    while not study.wait(0.001):
        check(study.snapshot())
    assert not problems
    assert max(seen) == 6


def test_cancel_takes_effect_inside_a_long_finetune(model, x, accuracy):
    inside = threading.Event()

    def finetune(candidate, teacher):
        until = time.monotonic() + 20
        while time.monotonic() < until:
            candidate(x)
            inside.set()
        raise AssertionError("nobody stopped it")

    study = explore(model, x, evaluate=accuracy, options=options(finetune=finetune)).start()
    assert inside.wait(10)
    study.cancel()
    assert study.wait(10)
    # All were scored before the first was trained; that one stays as it was scored.
    assert study.snapshot().state == "cancelled"
    assert [(known.state, known.rung) for known in study.candidates()[1:]] == [("done", "zero-shot")] * 5


def test_a_study_shows_itself_as_its_state_does(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options()).run()
    assert study._repr_mimebundle_() == study.snapshot()._repr_mimebundle_()
    assert repr(study) == "Study(Sequential: finished, 6 of 6 done)"


def test_ctrl_c_cancels_and_keeps_what_is_finished(model, x, accuracy, monkeypatch):
    evaluate = Held(x, from_call=2)
    study = explore(model, x, evaluate=evaluate, options=options())
    wait, calls = study.wait, []

    def interrupted(timeout=None):
        calls.append(timeout)
        if len(calls) == 1:
            assert evaluate.inside.wait(10)
            raise KeyboardInterrupt
        return wait(timeout)

    monkeypatch.setattr(study, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.run()
    assert [known.state for known in study.candidates()] == ["done", "cancelled"]
    assert not alive()


def test_a_time_limit_fails_the_slow_candidate_only(model, x, accuracy):
    calls = []

    def evaluate(candidate):
        calls.append(candidate)
        until = time.monotonic() + (10 if len(calls) == 2 else 0)
        while time.monotonic() < until:
            candidate(x)
        return accuracy(candidate)

    study = explore(model, x, evaluate=evaluate, options=options(time_limit_s=0.5)).run()
    assert [known.state for known in study.candidates()] == ["done", "failed", "done", "done", "done", "done"]
    assert "0.5 s" in study.candidates()[1].note


def test_the_number_of_threads_of_other_threads_stays(model, x, accuracy):
    counts = []

    def evaluate(candidate):
        counts.append(torch.get_num_threads())
        return accuracy(candidate)

    before = torch.get_num_threads()
    explore(model, x, evaluate=evaluate, options=options(workers=64)).run()
    assert set(counts) == {1}
    assert torch.get_num_threads() == before
    fresh = []
    thread = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert fresh == [before]


def test_the_time_left_is_estimated_while_it_runs_only(model, x, accuracy):
    seen = []
    study = explore(model, x, evaluate=accuracy, options=options())
    study.subscribe(lambda state: seen.append((sum(k.state == "done" for k in state.candidates), state.seconds_left)))
    study.run()
    assert all(left is None for done, left in seen if done < 2)
    assert all(left is not None and left >= 0 for done, left in seen if 2 <= done < 6)
    assert study.snapshot().seconds_left is None


def test_two_searches_of_one_model_find_the_same(model, x, accuracy):
    def scores():
        study = explore(model, x, evaluate=accuracy, options=options(calibration=x[:32])).run()
        return [(known.cost, known.scores, known.seed) for known in study.candidates()]

    assert scores() == scores()


def test_without_plans_a_ladder_is_laid_out(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy)
    assert study.snapshot().planned == 0
    study.run()
    state = study.snapshot()
    assert state.planned == len(state.candidates) > 4
    assert state.fronts[0].numbers
    dense = state.candidates[0].cost.macs
    assert min(known.cost.macs for known in state.candidates) < 0.5 * dense


@pytest.mark.parametrize(
    "wrong",
    [
        {"better": "up"},
        {"keep": -1},
        {"workers": 0},
        {"time_limit_s": 0},
        {"finetune": 3},
        {"box": (1.0, 0.0)},
        {"plans": ("low_rank",)},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InputError):
        SearchOptions(**wrong)


def test_what_is_no_model_or_no_evaluate_is_refused(model, x):
    with pytest.raises(InputError, match="evaluate is float"):
        explore(model, x, evaluate=0.5)
    with pytest.raises(InputError, match="str"):
        explore("model", x, evaluate=len)


def test_an_unknown_candidate_is_answered_with_the_known_ones(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options()).run()
    with pytest.raises(UnknownNameError, match="candidate 77"):
        study.apply(77)


def test_compare_says_what_stands_where(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options()).run()
    found = study.compare(0, 1)
    assert [place.layer for place in found.layers] == ["2"]
    assert found.change == study.candidates()[1].cost - study.candidates()[0].cost
    assert len(found.layers[0].before) == 1
    assert len(found.layers[0].after) == 2
    assert "rank" not in str(found)
    assert "Linear(in_features=24, out_features=6, bias=False)" in str(found)
    assert {place.layer for place in study.compare(1, 2).layers} == {"0", "2"}
    assert not study.compare(3, 3).layers


def test_a_candidate_is_saved_and_loaded_as_a_recipe(model, x, accuracy, tmp_path):
    from effwidgets.transforms.recipes.recipe import load

    study = explore(model, x, evaluate=accuracy, options=options()).run()
    path = study.save(3, tmp_path / "third")

    def build():
        return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 4))

    assert accuracy(load(path, build)) == study.candidates()[3].score()


def test_calibration_data_that_do_not_fit_fail_the_search_and_say_so(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options(calibration=x[:, :11]))
    with pytest.raises(SearchError, match=r"The calibration data do not fit the model.*layer '0'") as said:
        study.run()
    assert "evaluate" not in str(said.value)  # it has nothing to do with it


def test_a_registered_cost_is_searched_along_and_a_budget_of_it_kept(model, x, accuracy):
    class Reads:
        name, title, unit, better = "reads", "Reads", "", "lower"

        def measure(self, profile):
            return profile.cost.macs / 3

    METRICS.add("reads", Reads())
    try:
        study = explore(model, x, evaluate=accuracy, options=options()).run()
        state = study.snapshot()
    finally:
        METRICS.remove("reads")
    assert state.fronts[-1].axis == "reads"
    assert state.fronts[-1].numbers == state.fronts[0].numbers  # a third of the MACs
    assert study.best(0.7, axis="reads") == study.best(0.7)
    measured = [{one.metric: one.value for one in known.measures}["reads"] for known in state.candidates]
    assert measured == [known.cost.macs / 3 for known in state.candidates]
    with pytest.raises(InputError, match="within"):
        study.best(2.0, axis="reads")


def test_the_seed_stands_in_each_candidate(model, x, accuracy):
    study = explore(model, x, evaluate=accuracy, options=options(seed=40)).run()
    assert [known.seed for known in study.candidates()] == [40 + number for number in range(6)]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_evaluate_that_ends_the_thread_fails_its_candidate_and_the_search_can_go_on(model, x, accuracy, stop):
    calls = []

    def evaluate(candidate):
        calls.append(candidate)
        if len(calls) == 3:
            raise stop
        return accuracy(candidate)

    study = explore(model, x, evaluate=evaluate, options=options())
    with pytest.raises(SearchError, match=f"The search stopped: {stop.__name__}: no message. What it finished is kept"):
        study.run()
    assert [known.state for known in study.candidates()] == ["done", "done", "failed"]
    study.run()
    assert [known.state for known in study.candidates()] == ["done", "done", "failed", "done", "done", "done"]


def test_ctrl_c_in_run_comes_back_when_the_search_has_stopped(model, x):
    study = explore(model, x, evaluate=(evaluate := Held(x)), options=options())

    def press():
        if evaluate.inside.wait(10):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.Thread(target=press).start()
    with pytest.raises(KeyboardInterrupt):
        study.run()
    assert study.snapshot().state == "cancelled"
    assert [known.state for known in study.candidates()] == ["done", "cancelled"]


def test_a_model_that_evaluate_wrote_into_is_made_again_and_is_the_one_that_was_planned(model, x, accuracy):
    def careless(candidate):
        score = accuracy(candidate)
        with torch.no_grad():
            for parameter in candidate.parameters():
                parameter.zero_()
        candidate.register_forward_hook(lambda *_: None)
        return score

    study = explore(model, x, evaluate=careless, options=options()).run()
    for known in study.candidates():
        applied = study.apply(known.number).model
        assert accuracy(applied) == known.score()
        assert not applied._forward_hooks
