"""The home of everything live: one session for each model in a kernel."""

from __future__ import annotations

import atexit
import dataclasses
import logging
import threading
import uuid
import weakref
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from effwidgets.errors import Cancelled, EffError, InputError, UnknownNameError
from effwidgets.profiling import Call, Inputs, ProfileOptions, as_call, parameters_only
from effwidgets.profiling import profile as profile_model
from effwidgets.records import COMMANDS, Command, Desk, Plain, Plan, Profile, Progress, Suggestions
from effwidgets.session.desk import Workbench
from effwidgets.session.live import follow
from effwidgets.session.publisher import PUBLISHER
from effwidgets.transforms import TRANSFORMS, Applied, Calibration, apply, calibration_of
from effwidgets.views import layers as layers_view
from effwidgets.views.families import know
from effwidgets.widgets.board import BOARD

if TYPE_CHECKING:
    from effwidgets.search import Study

__all__ = ["Session", "session_of", "sessions"]

_log = logging.getLogger(__name__)
_AT_ONCE = frozenset({"pause", "resume", "cancel", "select"})  # set an event; overtake the queue
_REMEMBERED = 1000  # ids of commands already handled; a page repeats one within seconds, if at all


class Session:
    """What is known about one model: the call seen last, its profile, suggestions, what was applied, its study.

    Holds the model weakly: a session never keeps a model alive. `session_of` makes and finds them.

    Attributes:
        name: unique in the world, so that a widget of an earlier kernel never reaches a later one.
        seen: the call seen last, or None.
        calibration: data that repairs and errors are measured on, or None.
    """

    def __init__(self, model: nn.Module) -> None:
        self.name = f"{type(model).__name__}-{uuid.uuid4().hex[:8]}"
        self.title = type(model).__name__
        self.seen: Call | None = None
        self.calibration: Calibration | None = None
        self._model = weakref.ref(model)
        self._applied: list[Applied] = []
        self._profile: Profile | None = None
        self._studies: dict[str, Study] = {}
        for technique, transform in TRANSFORMS.items():
            know(technique, transform.family)
        self._bench = Workbench(self.name)
        self._selected: dict[str, tuple[Plain, ...]] = {}
        self._queue: deque[Command] = deque()
        self._handled: OrderedDict[str, None] = OrderedDict()
        self._wake = threading.Condition()
        self._worker: threading.Thread | None = None
        self._stop = threading.Event()

    # what is there

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
        return self._applied[-1] if self._applied else None

    @property
    def desk(self) -> Desk | None:
        """The suggestion list with what was done to it; None before `suggest`."""
        return self._bench.desk

    def selection(self, view: Literal["layers", "suggestions"] = "layers") -> tuple[Plain, ...]:
        """Return what is selected in a live view: names of layers, or indices of suggestions."""
        return self._selected.get(view, ())

    @property
    def study(self) -> Study | None:
        """The search begun last; None before the first."""
        return next(reversed(self._studies.values()), None)

    # the verbs

    def call(self, inputs: Inputs | None) -> Call:
        """Return ``inputs`` as a call and remember it; without inputs, the call seen last.

        Raises:
            InputError: no inputs, and no call was seen yet.
        """
        if inputs is not None:
            self.seen = as_call(inputs)
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
        wanted = options or ProfileOptions()
        named = ProfileOptions(
            **{field: getattr(wanted, field) for field in wanted.__dataclass_fields__ if field != "origin"},
            origin=self.name,
        )
        self._profile = profile_model(self.model, self.call(inputs), options=named)
        return self._profile

    def suggest(
        self,
        inputs: Inputs | None = None,
        *,
        goal: str = "macs",
        budget: float | str | None = None,
        calibration: object = None,
    ) -> Suggestions:
        """Rank what could be done; see `effwidgets.suggest`."""
        from effwidgets.search import suggest

        call = self.call(inputs)
        if calibration is not None:
            self.calibration = calibration_of(calibration)
        found = suggest(
            self.model,
            call,
            goal=goal,
            budget=budget,
            calibration=self.calibration,
            check=self._check,
            origin=self.name,
        )
        self._bench.lay(found)
        return found

    def apply(
        self, plan: Plan, inputs: Inputs | None = None, *, calibration: object = None, repair: bool = True
    ) -> Applied:
        """Apply ``plan`` to a copy of the model and push the result; see `effwidgets.apply`."""
        if calibration is not None:
            self.calibration = calibration_of(calibration)
        done = apply(
            self.model, plan, self.call(inputs), calibration=self.calibration, repair=repair, check=self._check
        )
        return self._push(adopt(done, self.call(None), self.calibration))

    def undo(self) -> Applied | None:
        """Forget what was applied last; return what holds now, None for the model as it came.

        Raises:
            InputError: nothing was applied.
        """
        if not self._applied:
            raise InputError(f"Nothing was applied to this {self.title}, so there is nothing to undo.")
        self._applied.pop()
        self._bench.applied(self._applied)
        return self.applied

    def watch(self, study: Study) -> None:
        """Show ``study`` in the views of its own origin, and let them steer it through this session.

        The study keeps the session, not the session the model: a search outlives the model it began with.
        """
        study.origin = f"{self.name}/{len(self._studies) + 1}"
        self._studies[study.origin] = study
        COMMANDS.add(study.origin, self.handle)
        call, calibration = self.call(None), study.calibration
        study.adopt = lambda applied: adopt(applied, call, calibration)
        follow(study)

    def _push(self, done: Applied) -> Applied:
        self._applied.append(done)
        self._bench.applied(self._applied)
        return done

    def _check(self) -> None:
        if self._stop.is_set():
            raise Cancelled("Stopped on request.")

    # what comes from a screen

    def handle(self, command: Command) -> None:
        """Take a command from a screen: queue it, or set an event, and return. Idempotent by id; any thread."""
        with self._wake:
            if command.id:
                if command.id in self._handled:
                    return
                self._handled[command.id] = None
                while len(self._handled) > _REMEMBERED:
                    self._handled.popitem(last=False)
            if command.verb in _AT_ONCE:
                self._at_once(command)
                return
            if command.verb == "preview":  # only the last wish counts
                self._queue = deque(waiting for waiting in self._queue if waiting.verb != "preview")
            self._queue.append(command)
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(target=_work, args=(weakref.ref(self),), daemon=True)
                self._worker.name = f"effwidgets-{self.name}"
                self._worker.start()
            self._wake.notify_all()

    def _at_once(self, command: Command) -> None:
        study = self._studies.get(command.origin)
        if command.verb == "select":
            self._select(study, dict(command.args))
        elif study is not None:
            {"pause": study.pause, "resume": study.resume, "cancel": study.cancel}[command.verb]()
        elif command.verb == "cancel":
            self._stop.set()

    def _select(self, study: Study | None, args: dict[str, Any]) -> None:
        chosen = tuple(args.get("chosen", ()))
        if study is None:
            self._selected[str(args.get("view"))] = chosen
        else:
            study.selection = tuple(int(number) for number in chosen)

    def next_command(self, timeout_s: float) -> Command | None:
        """Wait for the next queued command; None when there was none for ``timeout_s``. For the worker thread."""
        with self._wake:
            if self._wake.wait_for(lambda: bool(self._queue) or self._stop.is_set(), timeout_s) and self._queue:
                return self._queue.popleft()
            self._worker = None  # a later command starts a new one
            return None

    def obey(self, command: Command) -> None:
        """Do what a queued command says, and show what it could not do. For the worker thread."""
        args = dict(command.args)
        self._stop.clear()
        try:
            self._do(command.verb, args, self._studies.get(command.origin))
        except EffError as error:
            self._fail(str(error), args)
        except Exception as error:  # noqa: BLE001  whatever the model or a plug-in raises must reach the screen
            _log.exception("%s failed for %s.", command.verb, self.title)
            self._fail(f"{type(error).__name__}: {error}", args)

    def _fail(self, message: str, args: dict[str, Any]) -> None:
        self._bench.progress(Progress(state="failed", message=message))
        if "key" in args:
            BOARD.publish(self.name, f"turn/{args['key']}", {"message": message})

    def _turn(self, args: dict[str, Any], payload: Mapping[str, Any] | None) -> None:
        # The answer goes to the one view that asked; others of this session stay what they are.
        if "key" in args and payload is not None:
            BOARD.publish(self.name, f"turn/{args['key']}", {"payload": dict(payload)})

    def _do(self, verb: str, args: dict[str, Any], study: Study | None) -> None:
        match verb:
            case "suggest" | "goal":
                self._bench.progress(Progress(state="working", message="Measuring what each change would cost…"))
                self.suggest(goal=str(args.get("goal", "macs")))
                if verb == "suggest":
                    self._turn(args, self._bench.payload())
            case "layers":
                self._turn(args, layers_view.payload(self._profile or self.profile()))
            case "preview":
                self._bench.preview(self.model, self.call(None), tuple(args.get("indices", ())))
            case "apply" if study is not None:
                self._push(study.apply(int(args["number"])))
            case "apply":
                self._apply_chosen(tuple(args.get("indices", ())))
            case "undo":
                self.undo()
            case "start" if study is not None:
                study.start()
            case _:
                known = ["suggest", "goal", "layers", "preview", "apply", "undo", "start", *_AT_ONCE]
                raise UnknownNameError("command", verb, known)

    def _apply_chosen(self, indices: tuple[int, ...]) -> None:
        desk = self._bench.desk
        if desk is None or not indices:
            raise InputError("No suggestion is ticked. Tick at least one, then press Apply.")
        self._bench.progress(Progress(state="working", message=f"Applying {len(indices)}…"))
        self.apply(desk.suggestions.plan(*indices))

    def end(self) -> None:
        """Drop what is queued, stop what is going on, and wait for it, up to some seconds."""
        with self._wake:
            self._queue.clear()
            worker = self._worker
            self._stop.set()
            self._wake.notify_all()
        if worker is not None and worker is not threading.current_thread():
            worker.join(5.0)

    def __repr__(self) -> str:
        what = "nothing applied" if not self._applied else f"{len(self._applied)} applied"
        return f"Session({self.title}: {what}, {self.study or 'no search'})"


def adopt(applied: Applied, call: Call, calibration: Calibration | None) -> Applied:
    """Give the compressed model a session of its own, so that its profile can be worked on like any other."""
    session = session_of(applied.model)
    session.seen, session.calibration = call, calibration
    return dataclasses.replace(applied, profile=dataclasses.replace(applied.profile, origin=session.name))


def _work(ref: weakref.ref[Session]) -> None:
    # The thread holds the session only while there is something to do.
    while (session := ref()) is not None:
        command = session.next_command(timeout_s=30.0)
        if command is None:
            return
        session.obey(command)
        del session


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
    PUBLISHER.forget(name)
    BOARD.forget(name)
    if name in COMMANDS:
        COMMANDS.remove(name)


@atexit.register
def _end_all() -> None:
    # A thread that the interpreter drops in the middle of a torch kernel takes the process down with an abort.
    for session in sessions():
        session.end()


def sessions() -> tuple[Session, ...]:
    """Return the sessions whose models are alive, the oldest first."""
    with _LOCK:
        return tuple(_SESSIONS.values())
