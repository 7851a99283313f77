"""The home of everything live: one session for each model in a kernel."""

from __future__ import annotations

import atexit
import dataclasses
import threading
import uuid
import weakref
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from effwidgets.errors import EffError, InputError
from effwidgets.profiling import Call, Inputs, ProfileOptions, as_call, parameters_only
from effwidgets.profiling import profile as profile_model
from effwidgets.records import COMMANDS, Command, Desk, Plain, Plan, Profile, Progress, Suggestions
from effwidgets.session.acts import AT_ONCE, act, act_at_once
from effwidgets.session.desk import Workbench
from effwidgets.session.live import follow, forget
from effwidgets.session.queue import CommandQueue
from effwidgets.transforms import TRANSFORMS, Applied, Calibration, apply, calibration_of
from effwidgets.transforms import undo as take_back
from effwidgets.views.families import know
from effwidgets.widgets.board import BOARD

if TYPE_CHECKING:
    from effwidgets.search import Evaluate, Study
    from effwidgets.search.advice.suggest import Budgets

__all__ = ["Session", "session_of", "sessions"]

_LAST_WAIT_S = 5.0


class Session:
    """What is known about one model: the call seen last, its profile, suggestions, what was applied, its study.

    Holds the model weakly: a session never keeps a model alive. `session_of` makes and finds them.

    Attributes:
        name: unique in the world, so that a widget of an earlier kernel never reaches a later one.
        title: class name of the model.
        seen: the last call that worked, or None.
        calibration: data that repairs and errors are measured on, or None.
        selected: what is selected on the page, by view.
    """

    def __init__(self, model: nn.Module) -> None:
        self.name = f"{type(model).__name__}-{uuid.uuid4().hex[:8]}"
        self.title = type(model).__name__
        self.seen: Call | None = None
        self.calibration: Calibration | None = None
        self.selected: dict[str, tuple[Plain, ...]] = {}
        self.bench = Workbench(self.name)
        self._model = weakref.ref(model)
        self._applied: list[tuple[Applied, Study | None]] = []
        self._profile: Profile | None = None
        self._study: Study | None = None
        self._studies: weakref.WeakValueDictionary[str, Study] = weakref.WeakValueDictionary()
        self._begun = 0
        self._queue = CommandQueue(f"effwidgets-{self.name}", self, latest=frozenset({"preview"}))
        for technique, transform in TRANSFORMS.items():
            know(technique, transform.family)

    @property
    def model(self) -> nn.Module:
        """The model.

        Raises:
            InputError: it was deleted.
        """
        model = self._model()
        if model is None:
            raise InputError(f"The {self.title} of this session was deleted. Profile the model that you have now.")
        return model

    @property
    def applied(self) -> Applied | None:
        """What was applied last and not undone; ``.model`` is the compressed model."""
        return self._applied[-1][0] if self._applied else None

    @property
    def desk(self) -> Desk | None:
        """The suggestion list with what was done to it; None before `suggest`."""
        return self.bench.desk

    @property
    def study(self) -> Study | None:
        """The search begun last; None before the first."""
        return self._study

    def selection(self, view: Literal["layers", "suggestions"] = "layers") -> tuple[Plain, ...]:
        """Return what is selected in a live view: names of layers, or indices of suggestions."""
        return self.selected.get(view, ())

    def call(self, inputs: Inputs | None = None) -> Call:
        """Return ``inputs`` as a call; without inputs, the last call that worked.

        Raises:
            InputError: no inputs, and no call was seen yet.
        """
        if inputs is not None:
            return as_call(inputs)
        if self.seen is None:
            raise InputError(
                f"No inputs were given and no call of this {self.title} was seen yet. "
                f"Give an example batch: profile(model, x) with x as you would call model(x)."
            )
        return self.seen

    def parameters(self) -> Profile:
        """Return the parameters of each layer, without running the model."""
        return parameters_only(self.model, origin=self.name)

    def profile(self, inputs: Inputs | None = None, options: ProfileOptions | None = None) -> Profile:
        """Profile the model; see `effwidgets.profile`."""
        call = self.call(inputs)
        named = dataclasses.replace(options or ProfileOptions(), origin=self.name)
        self._profile = profile_model(self.model, call, options=named)
        self.seen = call
        return self._profile

    def suggest(
        self,
        inputs: Inputs | None = None,
        *,
        goal: str = "macs",
        budget: Budgets | None = None,
        calibration: object = None,
        evaluate: Evaluate | None = None,
    ) -> Suggestions:
        """Rank what could be done; see `effwidgets.suggest`."""
        from effwidgets.search import suggest

        call = self.call(inputs)
        data = self.data(calibration, call)
        found = suggest(
            self.model,
            call,
            goal=goal,
            budget=budget,
            calibration=data,
            evaluate=evaluate,
            check=self.check,
            origin=self.name,
        )
        self.seen, self.calibration = call, data
        self.bench.lay(found, [applied for applied, _ in self._applied])
        return found

    def apply(
        self,
        plan: Plan,
        inputs: Inputs | None = None,
        *,
        calibration: object = None,
        repair: bool | Collection[str] = True,
    ) -> Applied:
        """Apply ``plan`` to a copy of the model and keep the result for `undo`; see `effwidgets.apply`."""
        call = self.call(inputs)
        data = self.data(calibration, call)
        done = apply(self.model, plan, call, calibration=data, repair=repair, check=self.check)
        self.seen, self.calibration = call, data
        return self.keep(adopt(done, call, data))

    def keep(self, applied: Applied, study: Study | None = None) -> Applied:
        """Make ``applied`` what holds now; `undo` takes it back."""
        self._applied.append((applied, study))
        self.bench.applied([done for done, _ in self._applied])
        return applied

    def undo(self, step: int | None = None) -> Applied | None:
        """Forget what was applied last, or its edit number ``step``; return what holds now, None for the model itself.

        Raises:
            InputError: nothing was applied.
            UnknownNameError: no edit of that number.
        """
        if not self._applied:
            raise InputError(f"Nothing was applied to this {self.title}, so there is nothing to undo.")
        left = None if step is None else take_back(self._applied[-1][0], step)
        applied, study = self._applied.pop()
        if study is not None:
            study.unapply()
        if left is not None and applied.history is not None:
            self._applied.append((adopt(left, applied.history.call, applied.history.calibration), None))
        self.bench.applied([done for done, _ in self._applied])
        return self.applied

    def watch(self, study: Study, call: Call) -> None:
        """Show ``study`` in the views of its own origin, and let them steer it; ``call`` is what it was begun with.

        A search of the same model that still runs is cancelled: two on one machine only slow each other down.
        A study keeps its session, so a search outlives the model it began with; the session keeps its last study.
        """
        if self._study is not None:
            self._study.cancel()
        self._begun += 1
        data = study.calibration
        study.origin = f"{self.name}/{self._begun}"
        study.adopt = lambda applied: self._adopt(applied, call, data)
        self._study = study
        self._studies[study.origin] = study
        door = weakref.WeakMethod(self.handle)
        COMMANDS.add(study.origin, lambda command: _knock(door, command))
        weakref.finalize(study, _close, study.origin)
        follow(study)

    def _adopt(self, applied: Applied, call: Call, calibration: Calibration | None) -> Applied:
        return adopt(applied, call, calibration)

    def data(self, calibration: object, call: Call) -> Calibration | None:
        """Return calibration data as batches like ``call``; without any, those given last."""
        return self.calibration if calibration is None else calibration_of(calibration, like=call)

    def handle(self, command: Command) -> None:
        """Take a command from a screen: queue it, or set an event, and return. Idempotent by id; any thread."""
        if not self._queue.new(command):
            return
        study = self._studies.get(command.origin)
        if command.verb == "cancel" and study is None:
            self._queue.cancel()
        elif command.verb in AT_ONCE:
            act_at_once(self, study, command)
        else:
            self._queue.put(command)

    def do(self, command: Command) -> None:
        """Do a queued command. For the queue's thread."""
        act(self, self._studies.get(command.origin), command)

    def fail(self, command: Command, error: Exception) -> None:
        """Show what could not be done, in the list and in the view that asked. For the queue's thread."""
        message = str(error) if isinstance(error, EffError) else f"{type(error).__name__}: {error}"
        if command.origin == self.name:
            self.bench.progress(Progress(state="failed", message=message))
        self.answer(command, {"message": message})

    def answer(self, command: Command, answer: Mapping[str, Any]) -> None:
        """Send ``answer`` to the one view that ``command`` came from; others of this session stay what they are."""
        if key := dict(command.args).get("key"):
            BOARD.publish(command.origin, f"turn/{key}", dict(answer))

    def last_profile(self) -> Profile:
        """Return the profile made last, or make one."""
        return self._profile or self.profile()

    def check(self) -> None:
        """Raise `Cancelled` on the thread of commands, once what it does is to stop; elsewhere do nothing."""
        self._queue.check()

    def end(self) -> None:
        """Drop what is queued, stop what is going on, and wait for it, up to some seconds."""
        self._queue.end(_LAST_WAIT_S)

    def __repr__(self) -> str:
        what = "nothing applied" if not self._applied else f"{len(self._applied)} applied"
        return f"Session({self.title}: {what}, {self.study or 'no search'})"


def adopt(applied: Applied, call: Call, calibration: Calibration | None) -> Applied:
    """Give the compressed model a session of its own, so that its profile can be worked on like any other."""
    session = session_of(applied.model)
    session.seen, session.calibration = call, calibration
    return dataclasses.replace(applied, profile=dataclasses.replace(applied.profile, origin=session.name))


def _knock(door: weakref.WeakMethod[Any], command: Command) -> None:
    handle = door()
    if handle is not None:
        handle(command)


_SESSIONS: dict[int, Session] = {}  # by id: a module class may define equality without a hash
_LOCK = threading.RLock()  # a finalizer may run while it is held


def session_of(model: nn.Module) -> Session:
    """Return the session of ``model``, made at the first call.

    Raises:
        InputError: ``model`` is no ``torch.nn.Module``.
    """
    if not isinstance(model, nn.Module):
        raise InputError(
            f"A torch.nn.Module was expected, and {type(model).__name__} came. Hand in the model itself, not its name "
            f"or its state dict."
        )
    with _LOCK:
        if id(model) not in _SESSIONS:
            session = Session(model)
            _SESSIONS[id(model)] = session
            COMMANDS.add(session.name, session.handle)
            weakref.finalize(model, _end, id(model), session.name)
        return _SESSIONS[id(model)]


def _end(key: int, name: str) -> None:
    with _LOCK:
        _SESSIONS.pop(key, None)
    _close(name)


def _close(origin: str) -> None:
    forget(origin)
    if origin in COMMANDS:
        COMMANDS.remove(origin)


@atexit.register
def _end_all() -> None:
    # A thread that the interpreter drops in the middle of a torch kernel takes the process down with an abort.
    for session in sessions():
        session.end()


def sessions() -> tuple[Session, ...]:
    """Return the sessions whose models are alive, the oldest first."""
    with _LOCK:
        return tuple(_SESSIONS.values())
