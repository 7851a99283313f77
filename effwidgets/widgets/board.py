"""Where sessions lay new payloads and open widgets pick them up. Knows neither; imports nothing of Jupyter."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

__all__ = ["BOARD", "Board"]

Listener: TypeAlias = Callable[[dict[str, Any]], None]


class Board:
    """Payloads by origin and view name. Listeners are bound methods, held weakly: a forgotten widget hears nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[tuple[str, str], list[weakref.WeakMethod[Listener]]] = {}

    def subscribe(self, origin: str, view: str, listener: Listener) -> None:
        """Call ``listener`` with each new payload of ``view`` that ``origin`` publishes."""
        with self._lock:
            self._listeners.setdefault((origin, view), []).append(weakref.WeakMethod(listener))

    def unsubscribe(self, origin: str, view: str, listener: Listener) -> None:
        """Stop calling ``listener``; unknown ones are ignored."""
        with self._lock:
            held = self._listeners.get((origin, view), [])
            self._listeners[origin, view] = [ref for ref in held if ref() not in (None, listener)]

    def heard(self, origin: str, view: str) -> bool:
        """Say whether anybody listens, so that nobody builds a payload for nobody."""
        with self._lock:
            return any(ref() is not None for ref in self._listeners.get((origin, view), []))

    def publish(self, origin: str, view: str, payload: dict[str, Any]) -> None:
        """Hand ``payload`` to every listener of ``view``."""
        with self._lock:
            listeners = [listener for ref in self._listeners.get((origin, view), []) if (listener := ref())]
        for listener in listeners:
            listener(payload)


BOARD = Board()
