"""A measurement runs alone: other heavy work of ours gives way while one goes on.

Beside one training thread a model of 0.08 ms was seen at 4 ms. So whoever measures time takes `alone`, and the threads
of ours that compute for long (a search, the commands of a screen) work inside `working` and stop for a measurement at
each `give_way`. A thread that waits here counts as resting, so two of them never wait for each other; and a
measurement waits for a limited time only, then goes on and says so. Nothing can stand still for good.

What is not ours, such as a training loop of the caller's, is not held: the spread of the times shows it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

__all__ = ["alone", "disown", "give_way", "working"]

_PATIENCE_S: Final = 20.0  # a step of a search that asks nobody in between: a repair, a fit


@dataclass(slots=True)
class _Desk:
    """Who works, how deep, and who measures; all of it is read and changed under ``changed``."""

    changed: threading.Condition = field(default_factory=threading.Condition)  # around a lock that may be taken twice
    workers: dict[int, int] = field(default_factory=dict)
    wanting: list[int] = field(default_factory=list)  # who measures, then who waits for it
    depth: int = 0  # how many measurements the first of them has begun inside of each other

    def free_for(self, own: int) -> bool:
        """Say whether a thread may work: nobody measures, or it does so itself."""
        return not self.wanting or own in self.wanting


_DESK: Final = _Desk()


@contextmanager
def working() -> Iterator[None]:
    """Do heavy work of ours on this thread; waits first while another thread measures.

    >>> with working():
    ...     give_way()
    """
    own = threading.get_ident()
    with _DESK.changed:
        if own not in _DESK.workers:
            _DESK.changed.wait_for(lambda: _DESK.free_for(own))
        _DESK.workers[own] = _DESK.workers.get(own, 0) + 1
    try:
        yield
    finally:
        with _DESK.changed:
            if own in _DESK.workers:  # not disowned meanwhile
                _DESK.workers[own] -= 1
                if not _DESK.workers[own]:
                    del _DESK.workers[own]
            _DESK.changed.notify_all()


def disown(thread: int) -> bool:
    """Wait no longer for a thread that hangs inside of `working`; False where it stands still for a measurement.

    >>> disown(-1)
    False
    """
    with _DESK.changed:
        held = _DESK.workers.pop(thread, 0)
        _DESK.changed.notify_all()
    return held > 0


def give_way() -> None:
    """Stand still while another thread measures. For places inside of `working` that are passed often; costs nothing.

    >>> give_way()
    """
    own = threading.get_ident()
    if _DESK.free_for(own) or own not in _DESK.workers:
        return
    with _resting(own):
        _DESK.changed.wait_for(lambda: _DESK.free_for(own))


@contextmanager
def alone(patience_s: float = _PATIENCE_S) -> Iterator[bool]:
    """Measure: no other work of ours runs meanwhile. Gives whether that is so.

    Waits for other measurements as long as they take, and up to ``patience_s`` for work that does not give way; after
    that it gives False and goes on. Inside of `working`, and inside of itself, it waits for the other threads only.

    >>> with alone() as undisturbed:
    ...     undisturbed
    True
    """
    own = threading.get_ident()
    undisturbed = True
    with _resting(own):
        if own not in _DESK.wanting:
            _DESK.wanting.append(own)
            undisturbed = _await_turn(own, patience_s)
        _DESK.depth += 1
    try:
        yield undisturbed
    finally:
        with _DESK.changed:
            _DESK.depth -= 1
            if not _DESK.depth:
                _DESK.wanting.remove(own)
            _DESK.changed.notify_all()


def _await_turn(own: int, patience_s: float) -> bool:
    try:
        _DESK.changed.wait_for(lambda: _DESK.wanting[0] == own)
        until = time.monotonic() + patience_s
        return _DESK.changed.wait_for(lambda: not _DESK.workers, max(0.0, until - time.monotonic()))
    except BaseException:  # Ctrl-C while it waits
        _DESK.wanting.remove(own)
        _DESK.changed.notify_all()
        raise


@contextmanager
def _resting(own: int) -> Iterator[None]:
    """Hold the lock, and count this thread as one that does not work, for the waits inside."""
    with _DESK.changed:
        held = _DESK.workers.pop(own, 0)
        _DESK.changed.notify_all()
        try:
            yield
        finally:
            if held:
                _DESK.workers[own] = held
