from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import effwidgets
from effwidgets import SearchOptions, explore, session_of
from effwidgets.errors import EffError, InputError
from effwidgets.records import COMMANDS, Command, Plan, settings
from effwidgets.session import PUBLISHER, Session
from effwidgets.widgets.board import BOARD


class Screen:
    """What a widget would hear."""

    def __init__(self, origin: str, view: str) -> None:
        self.payloads: list[dict[str, Any]] = []
        BOARD.subscribe(origin, view, self.hear)

    def hear(self, payload: dict[str, Any]) -> None:
        self.payloads.append(payload)


def until(true: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def send(session: Session, verb: str, ident: str = "", origin: str | None = None, **args: Any) -> None:
    COMMANDS[origin or session.name](Command(origin=origin or session.name, verb=verb, args=settings(args), id=ident))


def test_a_model_has_one_session_and_the_session_does_not_keep_it_alive(model: nn.Module) -> None:
    session = session_of(model)
    assert session_of(model) is session
    assert session.name in COMMANDS
    ref = weakref.ref(model)
    name = session.name
    del model, session
    gc.collect()
    # the fixture's own frame still holds the model, so take one of our own for the end of life
    other = nn.Linear(2, 2)
    ref, name = weakref.ref(other), session_of(other).name
    del other
    gc.collect()
    assert ref() is None
    assert name not in COMMANDS


def test_two_models_with_equal_weights_have_two_sessions() -> None:
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    assert session_of(a) is not session_of(b)


def test_inputs_are_remembered_and_asked_for_when_there_are_none(model: nn.Module, x: torch.Tensor) -> None:
    with pytest.raises(InputError, match="no call of this Net was seen yet"):
        effwidgets.profile(model)
    first = effwidgets.profile(model, x)
    assert effwidgets.profile(model) == first


@pytest.mark.parametrize("thing", [None, "model", {"a": 1}, nn.Linear])
def test_what_is_no_model_is_refused_by_name(thing: object) -> None:
    with pytest.raises(InputError, match=r"torch.nn.Module was expected, and (NoneType|str|dict|type) came"):
        effwidgets.profile(thing, torch.zeros(1))  # type: ignore[arg-type]


def test_apply_and_undo_from_a_screen_leave_the_model_alone(model: nn.Module, x: torch.Tensor) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    effwidgets.suggest(model, x)
    session = session_of(model)
    screen = Screen(session.name, "suggestions")
    send(session, "apply", "one", indices=[0])
    until(lambda: session.applied is not None)
    PUBLISHER.flush()
    assert screen.payloads[-1]["applied"]["indices"] == [0]
    assert screen.payloads[-1]["undo"] == 1
    assert session.applied is not None
    assert session.applied.profile.cost.macs < session.applied.before.cost.macs
    send(session, "undo")
    until(lambda: session.applied is None)
    until(lambda: bool(PUBLISHER.flush()) and screen.payloads[-1]["undo"] == 0)
    assert screen.payloads[-1]["applied"] is None
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_command_repeated_with_its_id_is_done_once(model: nn.Module, x: torch.Tensor) -> None:
    effwidgets.suggest(model, x)
    session = session_of(model)
    for _ in range(3):
        send(session, "apply", "same", indices=[0])
    send(session, "apply", "other", indices=[0])
    until(lambda: session.desk is not None and session.desk.undo == 2)
    time.sleep(0.1)
    assert session.desk is not None
    assert session.desk.undo == 2


def test_a_preview_is_the_profile_of_what_apply_would_make(model: nn.Module, x: torch.Tensor) -> None:
    found = effwidgets.suggest(model, x)
    session = session_of(model)
    send(session, "preview", indices=[0, 1])
    until(lambda: session.desk is not None and session.desk.preview is not None)
    assert session.desk is not None
    assert session.desk.preview is not None
    applied = effwidgets.apply(model, found.plan(0, 1), x, repair=False)
    assert not applied.skipped
    assert session.desk.preview.cost == applied.profile.cost


def test_faults_reach_the_screen_as_words(model: nn.Module, x: torch.Tensor) -> None:
    effwidgets.suggest(model, x)
    session = session_of(model)
    for verb, args, text in (
        ("apply", {"indices": []}, "No suggestion is ticked"),
        ("fly", {}, "There is no command 'fly'"),
        ("undo", {}, "nothing to undo"),
        ("goal", {"goal": "beauty"}, "beauty"),
    ):
        send(session, verb, **args)
        until(lambda text=text: session.desk is not None and text in session.desk.progress.message)
        assert session.desk is not None
        assert session.desk.progress.state == "failed"


def test_a_handler_returns_at_once_also_while_work_is_going_on(model: nn.Module, x: torch.Tensor) -> None:
    effwidgets.suggest(model, x)
    session = session_of(model)
    before = threading.current_thread()
    started = time.monotonic()
    for number in range(50):
        send(session, "preview", f"p{number}", indices=[number % 2])
    # 50 profiles would take seconds; queueing them takes none. A second leaves room for a busy machine.
    assert time.monotonic() - started < 1
    assert threading.current_thread() is before
    until(lambda: session.desk is not None and session.desk.preview is not None)


def test_a_study_outlives_its_model_and_obeys_its_own_origin(x: torch.Tensor) -> None:
    gate = threading.Event()

    def evaluate(candidate: nn.Module) -> float:
        gate.wait(10)
        return float(candidate(torch.zeros(2, 6)).sum().detach())

    study = explore(nn.Linear(6, 5), torch.zeros(2, 6), evaluate=evaluate, options=SearchOptions(plans=(Plan(),)))
    gc.collect()
    assert study.origin in COMMANDS
    screen = Screen(study.origin, "pareto")
    COMMANDS[study.origin](Command(origin=study.origin, verb="start", id="s"))
    until(lambda: study.snapshot().state == "running")
    gate.set()
    study.wait(20)
    PUBLISHER.flush()
    until(lambda: bool(screen.payloads) and screen.payloads[-1]["state"] == "finished")


def test_an_undo_too_many_is_an_error_in_python(model: nn.Module) -> None:
    with pytest.raises(EffError, match="nothing to undo"):
        session_of(model).undo()


def test_a_process_that_ends_while_a_search_runs_ends_cleanly() -> None:
    code = """
import time, torch, effwidgets
x = torch.ones(64, 256)
model = torch.nn.Sequential(torch.nn.Linear(256, 256), torch.nn.ReLU(), torch.nn.Linear(256, 256))
def evaluate(candidate):
    while True:
        candidate(x)
study = effwidgets.explore(model, x, evaluate=evaluate)
study.start()
while [candidate.state for candidate in study.candidates()] != ["running"]:
    time.sleep(0.01)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert "terminate" not in ended.stderr


def test_what_was_applied_is_a_model_like_any_other(model: nn.Module, x: torch.Tensor) -> None:
    applied = effwidgets.apply(model, effwidgets.suggest(model, x).plan(0), x)
    assert applied.profile.origin == session_of(applied.model).name
    assert len(effwidgets.suggest(applied.model)) > 0  # its inputs are known
    study = explore(model, x, evaluate=lambda candidate: 0.5, options=SearchOptions(plans=(Plan(),))).run()
    kept = study.apply(1)
    assert kept.profile.origin == session_of(kept.model).name
