from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import effwidgets
from effwidgets import SearchOptions, explore, session_of
from effwidgets.errors import Cancelled, EffError, InputError
from effwidgets.profiling.timing.alone import alone
from effwidgets.records import COMMANDS, Budget, Command, Plan, Step, settings
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


def narrow(*ranks: int) -> tuple[Plan, ...]:
    """A plan for each rank; a search tries no plan twice, and the empty one is the dense model."""
    steps = (Step(transform="low_rank", layers=("head",), settings=settings(rank=rank)) for rank in ranks)
    return tuple(Plan(steps=(step,)) for step in steps)


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
    study = explore(model, x, evaluate=lambda candidate: 0.5, options=SearchOptions(plans=narrow(2))).run()
    kept = study.apply(1)
    assert kept.profile.origin == session_of(kept.model).name


def test_what_is_applied_is_found_again_in_a_list_of_another_order(model: nn.Module, x: torch.Tensor) -> None:
    found = effwidgets.suggest(model, x, goal="macs")
    effwidgets.apply(model, found.plan(0), x)
    other = effwidgets.suggest(model, x, goal="params")
    desk = session_of(model).desk
    assert desk is not None
    assert desk.applied is not None
    assert desk.undo == 1
    assert [other[index].step for index in desk.applied.indices] in ([found[0].step], [])
    assert desk.applied.indices == tuple(i for i, one in enumerate(other) if one.step == found[0].step)


def test_a_call_that_fails_is_not_remembered(model: nn.Module, x: torch.Tensor) -> None:
    effwidgets.profile(model, x)
    with pytest.raises(EffError):
        effwidgets.profile(model, torch.zeros(2, 5, 6, 6))
    assert effwidgets.profile(model).inputs == (tuple(x.shape),)


def test_undo_takes_back_what_a_study_applied(x: torch.Tensor, model: nn.Module) -> None:
    study = explore(model, x, evaluate=lambda candidate: 0.5, options=SearchOptions(plans=narrow(2, 1))).run()
    for number in (1, 2):
        COMMANDS[study.origin](
            Command(origin=study.origin, verb="apply", args=settings(number=number), id=f"a{number}")
        )
        until(lambda number=number: study.snapshot().applied == number)
    session = session_of(model)
    until(lambda: session.applied is not None)
    send(session, "undo")
    until(lambda: study.snapshot().applied == 1)
    session.undo()
    assert study.snapshot().applied is None


def test_saving_a_candidate_applies_nothing(x: torch.Tensor, model: nn.Module, tmp_path: Path) -> None:
    study = explore(model, x, evaluate=lambda candidate: 0.5, options=SearchOptions(plans=narrow(2))).run()
    study.save(1, tmp_path / "one")
    assert study.snapshot().applied is None


def test_a_budget_that_is_dragged_holds_in_the_search(x: torch.Tensor, model: nn.Module) -> None:
    study = explore(model, x, evaluate=lambda candidate: 0.5, options=SearchOptions(plans=narrow(2))).run()
    for ident, limit in (("one", 1000.0), ("two", None)):
        args = settings(axis="macs", limit=limit)
        COMMANDS[study.origin](Command(origin=study.origin, verb="set_budget", args=args, id=ident))
        wanted = () if limit is None else (Budget(axis="macs", limit=1000.0),)
        until(lambda wanted=wanted: study.snapshot().budgets == wanted)


def test_a_budget_that_cannot_be_is_answered_in_the_view_that_asked(x: torch.Tensor, model: nn.Module) -> None:
    study = explore(model, x, evaluate=lambda candidate: 0.5, options=SearchOptions(plans=narrow(2))).run()
    screen = Screen(study.origin, "turn/me")
    for ident, args in (("a", settings(axis="no_such_cost", limit=1.0)), ("b", settings(axis="macs", limit="much"))):
        asked = settings(dict(args), key="me")
        COMMANDS[study.origin](Command(origin=study.origin, verb="set_budget", args=asked, id=ident))
    until(lambda: len(screen.payloads) == 2)
    assert "no_such_cost" in screen.payloads[0]["message"]
    assert "much" in screen.payloads[1]["message"]
    assert study.snapshot().budgets == ()


def test_a_fault_of_a_study_command_reaches_the_view_that_asked(x: torch.Tensor, model: nn.Module) -> None:
    study = explore(model, x, evaluate=lambda candidate: 0.5, options=SearchOptions(plans=(Plan(),))).run()
    screen = Screen(study.origin, "turn/me")
    args = settings(number=77, key="me")
    COMMANDS[study.origin](Command(origin=study.origin, verb="apply", args=args, id="x"))
    until(lambda: bool(screen.payloads))
    assert "77" in screen.payloads[0]["message"]


def test_steps_that_exclude_each_other_are_said_in_the_preview(model: nn.Module, x: torch.Tensor) -> None:
    found = effwidgets.suggest(model, x)
    same = [index for index, one in enumerate(found) if one.step.layers == ("conv2",) and one.family != "prune"]
    assert len(same) == 2  # the split and the bottleneck of one convolution
    session = session_of(model)
    send(session, "preview", indices=same)
    until(lambda: session.desk is not None and session.desk.preview is not None)
    assert session.desk is not None
    assert session.desk.preview is not None
    assert len(session.desk.preview.skipped) == 1


def test_a_newer_search_cancels_the_older_and_a_study_that_nobody_holds_is_forgotten(
    x: torch.Tensor, model: nn.Module
) -> None:
    def endless(candidate: nn.Module) -> float:
        while True:
            candidate(x)

    held = [explore(model, x, evaluate=endless, options=SearchOptions(plans=(Plan(),))).start()]
    until(lambda: held[0].snapshot().state == "running")
    second = explore(model, x, evaluate=lambda candidate: 0.5, options=SearchOptions(plans=(Plan(),)))
    held[0].wait(20)
    assert held[0].snapshot().state == "cancelled"
    origin = held.pop().origin
    PUBLISHER.flush()

    def forgotten() -> bool:
        gc.collect()  # again: its threads, and a timer of its listeners, may hold it for a moment after `wait`
        return origin not in COMMANDS

    until(forgotten)
    assert origin not in BOARD.latest("run")
    assert second.origin in COMMANDS


def test_a_cancel_with_nothing_running_stops_nothing_later(model: nn.Module, x: torch.Tensor) -> None:
    send(session_of(model), "cancel")
    assert len(effwidgets.suggest(model, x)) > 0


@pytest.mark.parametrize("verb", [effwidgets.sensitivity, lambda model, x: effwidgets.choose(model, x, {"macs": 0.5})])
def test_a_cancel_of_the_screen_ends_a_long_verb(
    verb: Any, model: nn.Module, x: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, ended = session_of(model), threading.Event()

    def do(command: Command) -> None:
        send(session, "cancel")  # as if it came in the middle: what came before a command does not stop it
        try:
            verb(model, x)
        except Cancelled:
            ended.set()

    monkeypatch.setattr(session, "do", do)
    send(session, "suggest")
    assert ended.wait(60)


def test_a_command_of_a_screen_waits_while_a_time_is_measured(model: nn.Module, x: torch.Tensor) -> None:
    session = session_of(model)
    effwidgets.profile(model, x)
    with alone():
        send(session, "suggest", goal="macs")
        time.sleep(0.2)
        assert session.desk is None
    until(lambda: session.desk is not None)
