"""Who wants to hear of a search."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from effwidgets.records import StudyState

__all__ = ["Herald", "Listener", "Listeners"]

Listener: TypeAlias = Callable[[StudyState], None]

_log = logging.getLogger(__name__)

_REST_S: Final = 0.1


class Listeners:
    """Functions that are called with a state; one that raises is logged and does not stop the others."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()

    def add(self, listener: Listener) -> Callable[[], None]:
        """Add a function; returns how to take it out again."""
        self._listeners = (*self._listeners, listener)

        def stop() -> None:
            self._listeners = tuple(held for held in self._listeners if held is not listener)

        return stop

    def __len__(self) -> int:
        return len(self._listeners)

    def tell(self, state: StudyState) -> None:
        """Call them all, on this thread."""
        for listener in self._listeners:
            try:
                listener(state)
            except Exception:  # noqa: BLE001  a screen that fails must not stop the search
                _log.exception("A listener of the search of %s failed.", state.title)


class Herald:
    """Tells listeners at most ten times a second, and the last change always: a state costs more than a trial may.

    Args:
        listeners: who is told; while there are none, nothing is worked out.
        state: gives the state of this moment.
    """

    def __init__(self, listeners: Listeners, state: Callable[[], StudyState]) -> None:
        self._listeners = listeners
        self._state = state
        self._lock = threading.Lock()
        self._telling = threading.RLock()  # one at a time, so that nobody hears an older state after a newer one
        self._told = -_REST_S
        self._timer: threading.Timer | None = None

    def change(self) -> None:
        """Note a change: it is told at once, or with those to come when the rest is over, on a thread of its own."""
        if not len(self._listeners):
            return
        with self._lock:
            if self._timer is not None:
                return
            left = self._told + _REST_S - time.monotonic()
            if left > 0:
                self._timer = threading.Timer(left, self.tell)
                self._timer.daemon = True
                self._timer.start()
                return
        self.tell()

    def tell(self) -> StudyState | None:
        """Tell the state now, whenever the last one was told; return it, or None where nobody listens."""
        with self._telling:
            with self._lock:
                if self._timer is not None:
                    self._timer.cancel()
                self._timer = None
                self._told = time.monotonic()
            if not len(self._listeners):
                return None
            state = self._state()
            self._listeners.tell(state)
            return state
