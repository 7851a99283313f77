"""Threads that take orders from one queue: they do them, or see to it that a process does."""

from __future__ import annotations

import atexit
import functools
import itertools
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from effwidgets.errors import SearchError
from effwidgets.search.crews.crew import STOPPED, unmade
from effwidgets.search.engine.gate import Gate
from effwidgets.search.engine.orders import Made, Order

__all__ = ["Hands", "Job"]

_IDLE_S: Final = 10.0  # a thread without work ends, so that a crew that nobody closed holds none
_LAST_WAIT_S: Final = 5.0
_LIVE: Final[weakref.WeakSet[Hands]] = weakref.WeakSet()


@dataclass(slots=True, eq=False, kw_only=True)
class Job:
    """An order on its way.

    Attributes:
        order: what is asked for.
        future: where the answer goes.
        gate: stops it.
        thread: which thread does it; 0 while it waits.
        began: when it was begun, by the monotonic clock.
        over: whether it was answered; what comes later is dropped.
        ring: wakes a thread that waits for a process to do it.
    """

    order: Order
    future: Future[Made] = field(default_factory=Future)
    gate: Gate = field(default_factory=Gate)
    thread: int = 0
    began: float = 0.0
    over: bool = False
    ring: Callable[[], None] = lambda: None

    @property
    def seconds(self) -> float:
        """How long it has been worked on."""
        return time.monotonic() - self.began if self.began else 0.0


Watch: TypeAlias = Callable[[Job, "float | None"], None]
"""Is told what `Gate` tells its watch, and of which job."""


@atexit.register
def _end_all() -> None:
    # A thread that the interpreter drops in the middle of a torch kernel takes the process down with an abort.
    crews = list(_LIVE)
    for hands in crews:
        hands.close()
    until = time.monotonic() + _LAST_WAIT_S
    for hands in crews:
        hands.join(max(0.0, until - time.monotonic()))


class Hands:
    """At most ``slots`` daemon threads and the orders that wait for one. Threads come when there is work.

    Args:
        slots: how many.
        do: does one job, on the thread that took it.
        name: of the threads.
        watch: hears when the user's function begins and ends, in jobs that are done on the thread itself.
    """

    def __init__(self, slots: int, do: Callable[[Job], Made], *, name: str, watch: Watch | None = None) -> None:
        self.slots = slots
        self._do = do
        self._name = name
        self._watch = watch
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._running: dict[int, Job] = {}
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._count = itertools.count(1)
        self._closed = False
        _LIVE.add(self)

    def submit(self, order: Order) -> Future[Made]:
        """Take an order; see `Crew.submit`."""
        job = Job(order=order)
        if self._watch is not None:
            job.gate = Gate(functools.partial(self._watch, job))
        with self._changed:
            if self._closed:
                raise SearchError("These workers were sent home; start the search again to have new ones.")
            self._waiting.append(job)
            self._hire()
            self._changed.notify()
        return job.future

    def stop(self) -> list[Job]:
        """Cancel what waits and what runs; returns what runs."""
        with self._changed:
            waiting, running = list(self._waiting), list(self._running.values())
            self._waiting.clear()
        for job in running:
            job.gate.cancel()
            job.ring()
        for job in waiting:
            if job.future.set_running_or_notify_cancel():
                job.future.set_result(unmade(job.order, "cancelled", STOPPED))
        return running

    def close(self) -> list[Job]:
        """Stop, and let the threads end; returns what still runs."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        return self.stop()

    def join(self, timeout: float) -> None:
        """Wait for the threads to end."""
        until = time.monotonic() + timeout
        for thread in list(self._threads):
            if thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))

    def abandon(self, job: Job, made: Made) -> bool:
        """Answer for a thread that hangs and let another take its place; False when it came back by itself."""
        with self._changed:
            if job.over:
                return False
            job.over = True
            self._running.pop(job.thread, None)
            self._threads -= {thread for thread in self._threads if thread.ident == job.thread}
            self._hire()
        job.gate.cancel()
        job.future.set_result(made)
        return True

    def _hire(self) -> None:
        # Called with the lock held.
        if len(self._waiting) > self._idle and len(self._threads) < self.slots and not self._closed:
            thread = threading.Thread(target=self._work, name=f"{self._name}-{next(self._count)}", daemon=True)
            self._threads.add(thread)
            thread.start()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            error: BaseException | None = None
            try:
                made = self._do(job)
            except BaseException as raised:  # noqa: BLE001  what ends a program in a user's function, too
                error = raised
            with self._changed:
                if job.over:  # given up on meanwhile: another thread has this place
                    return
                job.over = True
                self._running.pop(job.thread, None)
            job.gate = Gate()  # the old one knows the job: a circle around the model in its answer
            if error is None:
                job.future.set_result(made)
            else:
                job.future.set_exception(error)
            del job  # neither a model nor an error is held while there is nothing to do
            error = None

    def _next(self) -> Job | None:
        own = threading.current_thread()
        with self._changed:
            while True:
                self._idle += 1
                work = self._changed.wait_for(lambda: self._waiting or self._closed, _IDLE_S)
                self._idle -= 1
                if not work or not self._waiting:
                    self._threads.discard(own)
                    return None
                job = self._waiting.popleft()
                if job.future.set_running_or_notify_cancel():
                    job.thread, job.began = own.ident or 0, time.monotonic()
                    self._running[job.thread] = job
                    return job
