"""The two channels of the JupyterLab panel: one only up, one only down.

A kernel answers a comm on the thread that last sent on it, which may be one that a running cell keeps busy. On
``effdl.up`` the kernel therefore never sends: a Cancel arrives within milliseconds. All that goes down takes
``effdl.down``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from effwidgets.errors import EffError
from effwidgets.widgets.board import ANY, BOARD
from effwidgets.widgets.obey import obey

__all__ = ["DOWN", "PROTOCOL", "UP", "Channels", "Comm", "CommManager"]

UP, DOWN = "effdl.up", "effdl.down"
PROTOCOL = 1

_INTERVAL_S = 0.1  # ten messages a second: a notebook server drops messages of a kernel that floods it
_MOST = 64  # messages that wait; of those with one key only the last does

Message: TypeAlias = dict[str, Any]
Answer: TypeAlias = Callable[[Mapping[str, Any]], Message]

_log = logging.getLogger(__name__)


class Comm(Protocol):
    """What is used of a comm."""

    comm_id: str

    def send(self, data: Message) -> None:
        """Send to the page."""

    def on_msg(self, callback: Callable[[Message], None]) -> None:
        """Call back with each message."""

    def on_close(self, callback: Callable[[Message], None]) -> None:
        """Call back when the page closes it."""


class CommManager(Protocol):
    """What is used of a kernel's comm manager."""

    def register_target(self, target_name: str, f: Callable[[Comm, Message], None]) -> None:
        """Call ``f`` with each comm that a page opens."""


class Channels:
    """Answers what pages send up, and sends down what changed, to all pages, at most ten times a second.

    Nothing raises out of a callback: what goes wrong is sent down as ``{"kind": "error", "message": ...}``.

    Args:
        version: of this package; the page compares it with its own.
        answers: by kind of message, who answers; what it returns is sent down, with the ``id`` of the question.
    """

    def __init__(self, version: str, answers: Mapping[str, Answer]) -> None:
        self._version = version
        self._answers = dict(answers)
        self._lock = threading.Lock()
        self._down: dict[str, Comm] = {}
        self._waiting: dict[tuple[str, str], Message] = {}
        self._thread: threading.Thread | None = None
        BOARD.subscribe(ANY, "run", self._run_changed)

    def register(self, manager: CommManager) -> None:
        """Announce both channels to the kernel; again is no harm."""
        manager.register_target(UP, self._up_opened)
        manager.register_target(DOWN, self._down_opened)

    def send(self, message: Message) -> None:
        """Queue a message for every open page; of several of one kind and id, the last is sent."""
        with self._lock:
            if not self._down:
                return
            key = (str(message.get("kind")), str(message.get("id", "")))
            self._waiting.pop(key, None)
            self._waiting[key] = message
            while len(self._waiting) > _MOST:
                del self._waiting[next(iter(self._waiting))]
            if self._thread is None:
                self._thread = threading.Thread(target=self._sender, name="effwidgets-down", daemon=True)
                self._thread.start()

    def _sender(self) -> None:
        # Lives only while there is something to send.
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                message = self._waiting.pop(next(iter(self._waiting)))
                comms = list(self._down.values())
            for comm in comms:
                self._send_to(comm, message)
            time.sleep(_INTERVAL_S)

    def _send_to(self, comm: Comm, message: Message) -> None:
        try:
            comm.send(message)
        except Exception:  # noqa: BLE001  whatever a front end's transport raises: logged, and the rest goes on
            _log.exception("A message for the panel was lost, and its channel is given up.")
            self._forget(comm)

    def _forget(self, comm: Comm) -> None:
        with self._lock:
            self._down.pop(comm.comm_id, None)

    def _up_opened(self, comm: Comm, _message: Message) -> None:
        comm.on_msg(self._came)

    def _down_opened(self, comm: Comm, message: Message) -> None:
        comm.on_close(lambda _message: self._forget(comm))
        with self._lock:
            self._down[comm.comm_id] = comm
        self.send({"kind": "hello", "protocol": PROTOCOL, "version": self._version})
        theirs = _data(message).get("protocol")
        if theirs != PROTOCOL:
            self._complain(
                f"The panel speaks protocol {theirs} and this kernel's effwidgets {self._version} protocol {PROTOCOL}. "
                f"Install the same version of effwidgets in both."
            )
        self._send_runs()

    def _came(self, message: Message) -> None:
        data = _data(message)
        kind = data.get("kind")
        try:
            if kind == "command":
                obey(data)
            elif kind in self._answers:
                self.send({**self._answers[str(kind)](data), "id": data.get("id", "")})
            else:
                known = ", ".join(["command", *self._answers])
                self._complain(f"The panel sent {kind!r}, which this kernel does not know. Known: {known}.")
        except EffError as error:
            self._complain(str(error))
        except Exception as error:  # noqa: BLE001  nothing may raise out of a comm's callback: it is told below
            _log.exception("A message of the panel could not be answered.")
            self._complain(f"{type(error).__name__}: {error}")

    def _complain(self, message: str) -> None:
        self.send({"kind": "error", "message": message})

    def _run_changed(self, _payload: Message) -> None:
        self._send_runs()

    def _send_runs(self) -> None:
        self.send({"kind": "runs", "runs": list(BOARD.latest("run").values())})


def _data(message: Message) -> Message:
    content = message.get("content")
    data = content.get("data") if isinstance(content, Mapping) else None
    return dict(data) if isinstance(data, Mapping) else {}
