"""Where a running search can be held and stopped, from any thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import nn

from effwidgets.errors import Cancelled
from effwidgets.search.engine.stops import OutOfTimeError, Stop

__all__ = ["Asked", "Gate", "OutOfTimeError", "cores", "leave_behind", "own_threads"]


class Gate:
    """Two wishes, pause and cancel, and the places where they take effect.

    Args:
        watch: is told the seconds that a call with a limit may take when it begins, and None when it ends; so that
            somebody outside can give it up when it hangs.
    """

    def __init__(self, watch: Callable[[float | None], None] | None = None) -> None:
        self._watch = watch
        self._changed = threading.Condition()
        self._paused = False
        self._cancelled = False

    def open(self) -> None:
        """Forget both wishes."""
        self._set(paused=False, cancelled=False)

    def pause(self) -> None:
        """Ask to stand still at the next `hold`."""
        self._set(paused=True)

    def resume(self) -> None:
        """Ask to go on."""
        self._set(paused=False)

    def cancel(self) -> None:
        """Ask to stop for good; wakes a `hold`."""
        self._set(cancelled=True)

    def _set(self, *, paused: bool | None = None, cancelled: bool | None = None) -> None:
        with self._changed:
            self._paused = self._paused if paused is None else paused
            self._cancelled = self._cancelled if cancelled is None else cancelled
            self._changed.notify_all()

    @property
    def wished(self) -> bool:
        """Whether a pause or a stop was asked for."""
        return self._paused or self.cancelled

    @property
    def cancelled(self) -> bool:
        """Whether a stop was asked for."""
        return self._cancelled

    @property
    def paused(self) -> bool:
        """Whether to stand still."""
        return self._paused

    def check(self) -> None:
        """Raise `Cancelled` when a stop was asked for."""
        if self.cancelled:
            raise Cancelled("The search was cancelled; what it finished is kept.")

    def hold(self, held: Callable[[bool], None]) -> None:
        """Stand still while a pause is asked for; ``held`` is told when that begins (True) and ends (False)."""
        self.check()
        if self._paused:
            held(True)  # noqa: FBT003  a callback with one plain flag
            with self._changed:
                self._changed.wait_for(lambda: self._cancelled or not self._paused)
            self.check()
            held(False)  # noqa: FBT003

    @contextmanager
    def guard(self, model: nn.Module, limit_s: float | None = None) -> Iterator[None]:
        """Let each forward of ``model``, and of any module in it, raise once a stop was asked for or the time is over.

        A function that swallows what a forward raises is found out when it returns. One that computes without any
        module of the model is not stopped before it returns.

        Raises:
            Cancelled: a stop was asked for while the body ran.
            OutOfTimeError: the body ran longer than ``limit_s``.
        """
        stop = Stop(self.check, limit_s)
        watch = self._watch if limit_s is not None else None
        try:
            if watch is not None:
                watch(limit_s)
            with stop.on(model):
                yield
        except Exception as error:
            if stop.raised and error is not stop.raised[0]:  # the function turned it into an error of its own
                raise stop.raised[0] from error
            raise
        finally:
            if watch is not None:
                watch(None)
        if stop.raised:
            raise stop.raised[0]


class Asked(Gate):
    """A gate where somebody else says whether to stop.

    Args:
        ask: is called at each place; raises to stop.
    """

    def __init__(self, ask: Callable[[], None]) -> None:
        super().__init__()
        self._ask = ask

    def check(self) -> None:
        """Ask."""
        self._ask()


class _Threads:
    # Who computes with fewer threads now, by thread, and how many torch used before the first of them.
    lock = threading.Lock()
    users: ClassVar[dict[object, int]] = {}
    before = 1


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def own_threads(workers: int) -> Iterator[None]:
    """Compute with cores // workers threads on this thread, and no more than torch is set to use already.

    Two searches that each take every core were seen to run 15 to 40 times slower than with one thread each.
    torch keeps the count for each thread, but new threads begin with the one set last, so it is put back: to what it
    was before the first of the searches that overlap, since a thread made meanwhile began with that search's count.
    """
    own = torch.get_num_threads()
    with _Threads.lock:
        if not _Threads.users:
            _Threads.before = own
        token = object()
        _Threads.users[token] = threading.get_ident()
        # The main thread was there before any search: its count is its own.
        before = own if threading.current_thread() is threading.main_thread() else _Threads.before
    torch.set_num_threads(max(1, min(before, cores() // workers)))
    try:
        yield
    finally:
        with _Threads.lock:
            left_behind = _Threads.users.pop(token, None) is None
        if not left_behind:
            torch.set_num_threads(before)


def leave_behind(thread: int) -> None:
    """Go on as if a thread that hangs inside of `own_threads` had left it; when it comes back it changes nothing."""
    with _Threads.lock:
        for token in [token for token, user in _Threads.users.items() if user == thread]:
            del _Threads.users[token]
