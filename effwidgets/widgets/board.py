"""Where sessions lay new payloads and open widgets pick them up. Knows neither; imports nothing of Jupyter."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

__all__ = ["ANY", "BOARD", "Board"]

Listener: TypeAlias = Callable[[dict[str, Any]], None]

ANY = "*"
"""Stands for every origin in `Board.subscribe`."""

_log = logging.getLogger(__name__)
_REMEMBERED = frozenset({"run"})  # one short line each: a panel that opens late must find the searches that run


class Board:
    """Payloads by origin and view name. Listeners are bound methods, held weakly: a forgotten widget hears nothing."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a widget collected meanwhile unsubscribes on this very thread
        self._listeners: dict[tuple[str, str], list[weakref.WeakMethod[Listener]]] = {}
        self._latest: dict[tuple[str, str], dict[str, Any]] = {}

    def subscribe(self, origin: str, view: str, listener: Listener) -> None:
        """Call ``listener`` with each new payload of ``view`` that ``origin`` publishes; `ANY` hears all origins."""
        with self._lock:
            self._listeners.setdefault((origin, view), []).append(weakref.WeakMethod(listener))

    def unsubscribe(self, origin: str, view: str, listener: Listener) -> None:
        """Stop calling ``listener``; unknown ones are ignored."""
        with self._lock:
            held = self._listeners.get((origin, view), [])
            left = [ref for ref in held if ref() not in (None, listener)]
            if left:
                self._listeners[origin, view] = left
            else:
                self._listeners.pop((origin, view), None)

    def heard(self, origin: str, view: str) -> bool:
        """Say whether anybody listens, so that nobody builds a payload for nobody."""
        with self._lock:
            return view in _REMEMBERED or any(ref() is not None for ref in self._refs(origin, view))

    def latest(self, view: str) -> dict[str, dict[str, Any]]:
        """Return the last payload of each origin, for the views that are remembered ("run")."""
        with self._lock:
            return {origin: payload for (origin, name), payload in self._latest.items() if name == view}

    def forget(self, origin: str) -> None:
        """Drop what is remembered of ``origin``."""
        with self._lock:
            for key in [key for key in self._latest if key[0] == origin]:
                del self._latest[key]

    def publish(self, origin: str, view: str, payload: dict[str, Any]) -> None:
        """Hand ``payload`` to every listener of ``view``; one that raises is logged and does not stop the others."""
        with self._lock:
            if view in _REMEMBERED:
                self._latest[origin, view] = payload
            listeners = [listener for ref in self._refs(origin, view) if (listener := ref())]
        for listener in listeners:
            try:
                listener(payload)
            except Exception:  # noqa: BLE001  a widget that fails must not stop the others
                _log.exception("A listener to the %s view of %s failed.", view, origin)

    def _refs(self, origin: str, view: str) -> list[weakref.WeakMethod[Listener]]:
        return [*self._listeners.get((origin, view), []), *self._listeners.get((ANY, view), [])]


BOARD = Board()
