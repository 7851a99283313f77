"""Whole searches with a store: killed, interrupted, on a full disk, with functions that hang."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from torch import nn

import effwidgets as eff
from effwidgets.errors import InputError, SearchError, StoreError
from effwidgets.records import Plan, Step, settings
from effwidgets.search import SearchOptions, explore
from tests.search.store.work import SERVER, say

X = torch.eye(16)


def net():
    own = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=own))
    return model


def plans(count):
    each = (Step(transform="low_rank", layers=("0",), settings=settings(rank=rank)) for rank in range(1, count + 1))
    return tuple(Plan(steps=(step,)) for step in each)


def score(model):
    return float(model(X).softmax(1).max(1).values.mean().detach())


def fill(model, teacher):
    with torch.no_grad():
        model[2].weight.add_(0.5)


def searched(where, evaluate=score, **more):
    options = SearchOptions(plans=plans(6), store=str(where), **more)
    return explore(net(), X, evaluate=evaluate, options=options)


def states(study):
    return [candidate.state for candidate in study.snapshot().candidates]


def ranks(study):
    return [candidate.plan.steps[0].setting("rank") for candidate in study.snapshot().candidates[1:]]


def test_a_search_that_is_finished_is_there_at_once_the_next_time(tmp_path):
    first = searched(tmp_path / "search").run()
    asked = []
    again = searched(tmp_path / "search", evaluate=asked.append).run()
    assert asked == []
    assert again.snapshot().candidates == first.snapshot().candidates
    assert again.snapshot().fronts == first.snapshot().fronts


def test_trained_models_come_back_from_the_folder_and_load_as_recipes_elsewhere(tmp_path):
    study = searched(tmp_path / "search", finetune=fill).run()
    best = study.best()
    trained = [candidate for candidate in study.snapshot().candidates if candidate.rung == "fine-tuned"]
    assert trained
    for candidate in trained:
        want = study.apply(candidate.number).model(X)
        again = searched(tmp_path / "search", finetune=fill).run()
        assert torch.equal(again.apply(candidate.number).model(X), want)
        loaded = eff.load(tmp_path / "search" / "candidates" / str(candidate.number), net)
        assert torch.equal(loaded(X), want)
    assert best.score() == pytest.approx(score(study.apply(best.number).model))


def search_slowly(where, diary):
    def slow(model):
        say(diary, "evaluate")
        time.sleep(0.05)
        return score(model)

    searched(where, evaluate=slow).run()
    say(diary, "over")


@pytest.mark.slow
def test_a_search_that_is_killed_goes_on_where_it_was(tmp_path):
    where, diary, kills = tmp_path / "search", tmp_path / "diary", 0
    diary.touch()
    while "over" not in diary.read_text():
        process = SERVER.Process(target=search_slowly, args=(where, diary), daemon=True)
        before = diary.read_text().count("evaluate")
        process.start()
        while kills < 3 and process.is_alive() and diary.read_text().count("evaluate") < before + 2:
            time.sleep(0.005)
        if kills < 3:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join(60)
    study = searched(where).run()
    assert states(study) == ["done"] * 7
    assert sorted(ranks(study)) == [1, 2, 3, 4, 5, 6]
    assert 7 <= diary.read_text().count("evaluate") <= 7 + kills  # each kill cost the candidate that ran


PROGRAM = """
import sys, time
from tests.search.store.test_searches import *

def slow(model):
    for turn in range(600):
        model(X)
        print("forward", flush=True)
        time.sleep(0.05)
    return score(model)

study = searched(sys.argv[1], evaluate=lambda model: slow(model) if len(states(study)) > 3 else score(model))
try:
    study.run()
except KeyboardInterrupt:
    print("interrupted", *states(study), study.snapshot().state, flush=True)
"""


@pytest.mark.slow
def test_ctrl_c_takes_effect_within_one_forward_and_what_was_finished_is_kept(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, tmp_path / "search"], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    try:
        assert process.stdout.readline() == "forward\n"
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read().splitlines()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
    assert rest[-1] == "interrupted done done done cancelled cancelled"
    assert len(rest) <= 3  # one forward may have been under way, another while the signal travelled
    assert states(searched(tmp_path / "search").run()) == ["done"] * 7


def test_an_evaluate_that_hangs_fails_its_candidate_alone_and_writes_nothing_later(tmp_path):
    hang, left = threading.Event(), threading.Event()

    def evaluate(model):
        if isinstance(model[0], nn.Sequential) and model[0][0].out_features == 3:
            hang.wait(60)
            left.set()
            return 100.0
        return score(model)

    study = searched(tmp_path / "search", evaluate=evaluate, time_limit_s=0.3).run()
    try:
        assert states(study) == ["done", "done", "done", "failed", "done", "done", "done"]
        assert "time limit of 0.3 s" in study.snapshot().candidates[3].note
        kept = (tmp_path / "search" / "study.log").read_bytes()
    finally:
        hang.set()
    assert left.wait(10)
    time.sleep(0.1)
    assert study.snapshot().candidates[3].state == "failed"
    assert (tmp_path / "search" / "study.log").read_bytes() == kept
    with pytest.raises(InputError, match="is failed"):
        study.apply(3)


def test_scores_that_are_no_numbers_and_errors_mark_their_point_and_are_not_tried_again(tmp_path):
    asked = []

    def evaluate(model):
        asked.append(None)
        if len(asked) == 3:
            return float("nan")
        if len(asked) == 5:
            raise ZeroDivisionError("nothing to divide")
        return score(model)

    study = searched(tmp_path / "search", evaluate=evaluate).run()
    assert states(study) == ["done", "done", "failed", "done", "failed", "done", "done"]
    again = searched(tmp_path / "search", evaluate=evaluate).run()
    assert len(asked) == 7
    assert [candidate.note for candidate in again.snapshot().candidates if candidate.state == "failed"] == [
        candidate.note for candidate in study.snapshot().candidates if candidate.state == "failed"
    ]
    assert "nothing to divide" in again.snapshot().candidates[4].note


def test_a_disk_that_fills_up_stops_the_search_and_it_goes_on_when_there_is_room(tmp_path, monkeypatch):
    real, full = os.write, threading.Event()

    def write(handle, data):
        if full.is_set() and b"op_code" in bytes(data):
            raise OSError(28, "No space left on device")
        return real(handle, data)

    monkeypatch.setattr(os, "write", write)
    asked = []

    def evaluate(model):
        asked.append(None)
        if len(asked) == 4:
            full.set()
        return score(model)

    study = searched(tmp_path / "search", evaluate=evaluate)
    with pytest.raises(StoreError, match=r"The disk is full\. Everything before it is intact"):
        study.run()
    assert study.snapshot().state == "failed"
    full.clear()
    again = searched(tmp_path / "search", evaluate=evaluate).run()
    assert states(again) == ["done"] * 7
    assert len(asked) == 8  # the one whose result did not fit was tried again


def test_a_store_of_another_model_stops_the_search_before_anything_is_scored(tmp_path):
    searched(tmp_path / "search").run()
    model = net()
    with torch.no_grad():
        model[0].weight[0, 0] += 1
    asked = []
    options = SearchOptions(plans=plans(2), store=str(tmp_path / "search"))
    with pytest.raises(StoreError, match="has other weights"):
        explore(model, X, evaluate=asked.append, options=options).run()
    assert asked == []


def test_a_search_that_trains_is_refused_where_tensors_have_no_place(tmp_path):
    with pytest.raises(SearchError, match="no place for trained models"):
        searched(f"sqlite:///{tmp_path / 'x.db'}", finetune=fill).run()


def test_a_state_without_its_result_is_not_taken_for_that_of_the_rung_below(tmp_path):
    study = searched(tmp_path / "search", finetune=fill).run()
    trained = next(candidate for candidate in study.snapshot().candidates if candidate.rung == "fine-tuned")
    folder = tmp_path / "search" / "candidates" / str(trained.number)
    (folder / "fine-tuned.safetensors").rename(folder / "briefly-tuned.safetensors")
    again = searched(tmp_path / "search", finetune=fill).run()
    with pytest.raises(StoreError, match=f"Candidate {trained.number} is fine-tuned, and its trained state is not"):
        again.apply(trained.number)
