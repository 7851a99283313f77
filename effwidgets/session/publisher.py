"""One thread that lays new payloads on the board, at most ten times a second for each view."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

from effwidgets.widgets.board import BOARD

__all__ = ["PUBLISHER", "Publisher"]

Build: TypeAlias = Callable[[], Mapping[str, Any] | None]

_INTERVAL_S = 0.1  # ten payloads a second: beyond that nobody sees more, and a notebook server drops messages
_log = logging.getLogger(__name__)


class Publisher:
    """Coalesces: of several changes within a tenth of a second only the last state is built and sent.

    ``mark(origin, view, build)`` says that something changed; ``build`` is called later, on the publisher's own
    thread, and returns the payload of that moment, or None when there is nothing to send after all.
    """

    def __init__(self, interval_s: float = _INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._wake = threading.Condition()
        self._dirty: dict[tuple[str, str], Build] = {}
        self._sent: dict[tuple[str, str], float] = {}
        self._thread: threading.Thread | None = None
        self._busy = False

    def mark(self, origin: str, view: str, build: Build) -> None:
        """Say that ``view`` of ``origin`` changed."""
        with self._wake:
            self._dirty[origin, view] = build
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="effwidgets-publisher", daemon=True)
                self._thread.start()
            self._wake.notify_all()

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until all that was marked is sent; False when that took longer than ``timeout_s``."""
        with self._wake:
            return self._wake.wait_for(lambda: not self._dirty and not self._busy, timeout_s)

    def forget(self, origin: str) -> None:
        """Drop what is still to be sent for ``origin``."""
        with self._wake:
            for key in [key for key in (*self._dirty, *self._sent) if key[0] == origin]:
                self._dirty.pop(key, None)
                self._sent.pop(key, None)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: bool(self._dirty))
                now = time.monotonic()
                due = {key: self._sent.get(key, -math.inf) + self._interval_s for key in self._dirty}
                ready = [key for key, at in due.items() if at <= now]
                if not ready:
                    self._wake.wait(min(due.values()) - now)
                    continue
                builds = [(key, self._dirty.pop(key)) for key in ready]
                self._sent.update({key: now for key, _ in builds})
                self._busy = True
            for (origin, view), build in builds:
                self._send(origin, view, build)
            with self._wake:
                self._busy = False
                self._wake.notify_all()

    def _send(self, origin: str, view: str, build: Build) -> None:
        try:
            payload = build()
            if payload is not None:
                BOARD.publish(origin, view, cast("dict[str, Any]", payload))
        except Exception:  # noqa: BLE001  a screen that fails must not stop the others
            _log.exception("The %s view of %s could not be updated.", view, origin)


PUBLISHER = Publisher()
