"""Workers in threads of this process: no start, no copies; torch computes outside of the interpreter's lock."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from typing import Final

from effwidgets.profiling.timing.alone import disown, working
from effwidgets.search.crews.crew import STOPPED, Maker, answered, unmade
from effwidgets.search.crews.hands import Hands, Job
from effwidgets.search.engine.gate import leave_behind, own_threads
from effwidgets.search.engine.orders import Made, Order

__all__ = ["ThreadCrew"]

_log = logging.getLogger(__name__)

_GRACE_S: Final = 2.0  # over the time limit: the next forward may be about to notice
_PATIENCE_S: Final = 10.0  # after `stop`: a forward of a large model takes its time


class ThreadCrew:
    """Threads that share one workshop; each computes with cores // slots of torch's threads.

    A thread cannot be ended from outside. One that hangs in the user's function, without a forward of the candidate,
    is given up on ``grace_s`` after the time limit: its order ends as failed, another thread takes its place, and what
    it returns later is dropped.

    Args:
        maker: the workshop, called from several threads at once.
        slots: how many orders at once.
        grace_s: how long over its time limit a call may be before its thread is given up on.
        patience_s: how long after `stop` a thread may go on before it is given up on.
    """

    def __init__(
        self, maker: Maker, slots: int = 1, *, grace_s: float = _GRACE_S, patience_s: float = _PATIENCE_S
    ) -> None:
        self._maker = maker
        self._grace_s = grace_s
        self._patience_s = patience_s
        self._timers: dict[Job, threading.Timer] = {}
        self._hands = Hands(slots, self._do, name="effwidgets-worker", watch=self._watch)

    @property
    def slots(self) -> int:
        """How many orders are worked on at once."""
        return self._hands.slots

    def submit(self, order: Order) -> Future[Made]:
        """Take an order; see `Crew.submit`."""
        return self._hands.submit(order)

    def stop(self) -> None:
        """Cancel what waits at once, what runs at its next forward; see `Crew.stop`."""
        self._give_up_on(self._hands.stop())

    def close(self) -> None:
        """Stop, and take no more orders."""
        self._give_up_on(self._hands.close())

    def _do(self, job: Job) -> Made:
        with own_threads(self.slots), working():
            return answered(self._maker, job.order, job.gate)

    def _watch(self, job: Job, seconds: float | None) -> None:
        timer = self._timers.pop(job, None)
        if timer is not None:
            timer.cancel()
        if seconds is not None:
            note = (
                f"It took longer than the time limit of {seconds:g} s and never came back; its thread was left behind."
            )
            self._timers[job] = self._after(seconds + self._grace_s, job, note)

    def _give_up_on(self, jobs: list[Job]) -> None:
        for job in jobs:
            self._after(self._patience_s, job, STOPPED)

    def _after(self, seconds: float, job: Job, note: str) -> threading.Timer:
        timer = threading.Timer(seconds, self._abandon, (seconds, job, note))
        timer.daemon = True
        timer.start()
        return timer

    def _abandon(self, seconds: float, job: Job, note: str) -> None:
        if job.over:
            return
        if not disown(job.thread):  # it stands still for a measurement of time
            again = self._after(seconds, job, note)
            if job in self._timers:  # the limit of a call, which takes its timer along when it ends
                self._timers[job] = again
            return
        self._timers.pop(job, None)
        made = unmade(job.order, "cancelled" if note == STOPPED else "failed", note, job.seconds)
        if self._hands.abandon(job, made):
            leave_behind(job.thread)
            _log.warning("A worker thread hangs in candidate %d and was left behind.", job.order.number)
