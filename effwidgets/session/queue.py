"""The commands of one session: queued, done one after the other on a thread of their own, each id once."""

from __future__ import annotations

import logging
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol

from effwidgets.errors import Cancelled
from effwidgets.profiling.timing.alone import working
from effwidgets.records import Command

__all__ = ["CommandQueue", "Doer"]

_REMEMBERED = 1000  # ids of commands already taken; a page repeats one within seconds, if at all
_IDLE_S = 30.0  # a thread with nothing to do ends; the next command starts another
_log = logging.getLogger(__name__)


class Doer(Protocol):
    """Who does the commands."""

    def do(self, command: Command) -> None:
        """Do one; raises what cannot be done."""
        ...

    def fail(self, command: Command, error: Exception) -> None:
        """Show what could not be done."""
        ...


class CommandQueue:
    """Takes commands from any thread and returns at once.

    Holds the doer weakly: a session ends while its thread waits.

    Args:
        name: of the thread.
        doer: does each command, on the queue's thread.
        latest: verbs of which only the last one waiting counts.
    """

    def __init__(self, name: str, doer: Doer, latest: frozenset[str] = frozenset()) -> None:
        self._name = name
        self._doer: Callable[[], Doer | None] = weakref.ref(doer)
        self._latest = latest
        self._waiting: deque[Command] = deque()
        self._taken: OrderedDict[str, None] = OrderedDict()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def new(self, command: Command) -> bool:
        """Say whether a command of this id comes for the first time; remembers it."""
        with self._wake:
            if not command.id:
                return True
            if command.id in self._taken:
                return False
            self._taken[command.id] = None
            while len(self._taken) > _REMEMBERED:
                self._taken.popitem(last=False)
            return True

    def put(self, command: Command) -> None:
        """Queue a command; of the verbs in ``latest``, those that still wait are dropped."""
        with self._wake:
            if command.verb in self._latest:
                self._waiting = deque(waiting for waiting in self._waiting if waiting.verb != command.verb)
            self._waiting.append(command)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=_run, args=(weakref.ref(self),), name=self._name, daemon=True)
                self._thread.start()
            self._wake.notify_all()

    def cancel(self) -> None:
        """Stop what is being done, at its next `check`; what waits goes on."""
        self._stop.set()

    def check(self) -> None:
        """Raise `Cancelled` on the queue's own thread after `cancel`; work on other threads is not meant."""
        if self._stop.is_set() and threading.current_thread() is self._thread:
            raise Cancelled("Stopped on request.")

    def end(self, timeout_s: float) -> None:
        """Drop what waits, stop what is being done, and wait for it."""
        with self._wake:
            self._waiting.clear()
            self._doer = _gone
            self._stop.set()
            self._wake.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    def step(self) -> bool:
        """Do the next command; False when none came for a while. For the queue's thread."""
        with self._wake:
            self._wake.wait_for(lambda: bool(self._waiting) or self._doer() is None, _IDLE_S)
            doer = self._doer()
            if doer is None or not self._waiting:
                self._thread = None
                return False
            command = self._waiting.popleft()
            self._stop.clear()
        try:
            with working():  # a measurement of time elsewhere is waited for, and waits for this
                doer.do(command)
        except Exception as error:  # noqa: BLE001  whatever the model or a plug-in raises must reach the screen
            _log.debug("%s of %s failed.", command.verb, self._name, exc_info=True)
            doer.fail(command, error)
        return True


def _gone() -> None:
    return None


def _run(ref: weakref.ref[CommandQueue]) -> None:
    while (queue := ref()) is not None and queue.step():
        del queue
