"""Ctrl-C in the middle of a run on a shadow.

Torch asks a fake tensor for its device from places in C++ that no exception may leave: a `KeyboardInterrupt` there ends
the process. So the signal is noted, and raised at the next operation.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Interrupt", "interrupts_held"]


class Interrupt:
    """Whether Ctrl-C was pressed and not yet raised; one for the process, as the signal is."""

    pending = False

    @classmethod
    def check(cls) -> None:
        """Raise what was held back; on the main thread, whose signal it is."""
        if cls.pending and threading.current_thread() is threading.main_thread():
            cls.pending = False
            raise KeyboardInterrupt


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back until `Interrupt.check`, or until the end; pressed a second time it comes at once."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return

    def note(number: int, frame: Any) -> None:
        if Interrupt.pending:
            before(number, frame)
        Interrupt.pending = True

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        Interrupt.check()
