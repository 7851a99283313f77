"""Messages between a search and a worker process of its own, over the process's standard streams."""

from __future__ import annotations

import pickle
import struct
import threading
from typing import IO, Final, Literal, TypeAlias

from effwidgets.search.engine.orders import Made, Order

__all__ = ["Reply", "Request", "Wire"]

Request: TypeAlias = tuple[Literal["kit"], bytes] | tuple[Literal["order"], Order] | tuple[Literal["cancel"], int]
"""What a process is told: build the workshop, do an order, stop the order of that number."""

Reply: TypeAlias = (
    tuple[Literal["ready"], str]
    | tuple[Literal["begun"], str]
    | tuple[Literal["limit"], "float | None"]
    | tuple[Literal["made"], Made]
    | tuple[Literal["broken"], str]
    | tuple[Literal["ring"], str]
)
"""What it says: the workshop stands; the order is being done; the user's function was called with so many seconds, or
came back (None); the answer; why there can be none. "ring" is put among them by the parent itself, to wake who
listens."""

_LENGTH: Final = struct.Struct(">Q")


class Wire:
    """One direction: whole messages, each behind its length. Several threads may send."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, message: Request | Reply) -> None:
        """Write a message.

        Raises:
            OSError: nobody reads any more.
        """
        body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        with self._lock:
            self._stream.write(_LENGTH.pack(len(body)))
            self._stream.write(body)
            self._stream.flush()

    def receive(self) -> Request | Reply | None:
        """Wait for a message; None when the other side is gone."""
        head = self._read(_LENGTH.size)
        body = self._read(_LENGTH.unpack(head)[0]) if head else b""
        if not body:
            return None
        message: Request | Reply = pickle.loads(body)  # noqa: S301  between a process and the one it started
        return message

    def _read(self, length: int) -> bytes:
        try:
            read = self._stream.read(length)
        except (OSError, ValueError):  # closed
            return b""
        return read if len(read) == length else b""
