"""Workers in processes of this machine: nothing that they do holds up the others, and they can be ended."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future
from typing import Final

import torch

from effwidgets.errors import SearchError
from effwidgets.search.crews.child import Child
from effwidgets.search.crews.crew import STOPPED, unmade
from effwidgets.search.crews.hands import Hands, Job
from effwidgets.search.crews.kit import Kit
from effwidgets.search.crews.wire import Reply
from effwidgets.search.engine.gate import cores
from effwidgets.search.engine.orders import Made, Order

__all__ = ["ProcessCrew"]

_GRACE_S: Final = 2.0


class ProcessCrew:
    """Processes of our own, each computing with cores // slots threads, no more than torch uses here.

    They start with the first order, take some seconds for that, and are sent the kit once. One that dies fails its
    order only, and a new one takes its place; one that hangs over its time limit, or does not stop, is killed. In them
    torch's, numpy's and Python's random state is set to the order's seed before each order.

    Args:
        kit: what each of them builds its workshop from.
        slots: how many processes.
        grace_s: how long over its time limit, or after `stop`, one may go on before it is killed.

    Raises:
        InputError: the kit cannot be sent; the message names the part.
    """

    def __init__(self, kit: Kit, slots: int = 1, *, grace_s: float = _GRACE_S) -> None:
        self._packed = kit.pack()
        self._grace_s = grace_s
        # As for threads: no more than torch is set to use here, whoever set that.
        self._threads = max(1, min(torch.get_num_threads(), cores() // slots))
        self._lock = threading.Lock()
        self._children: set[Child] = set()
        self._free: list[Child] = []
        self._closed = False
        self._hands = Hands(slots, self._do, name="effwidgets-process")

    @property
    def slots(self) -> int:
        """How many orders are worked on at once."""
        return self._hands.slots

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that there are now."""
        with self._lock:
            return tuple(sorted(child.pid for child in self._children if child.alive))

    def submit(self, order: Order) -> Future[Made]:
        """Take an order; see `Crew.submit`."""
        return self._hands.submit(order)

    def stop(self) -> None:
        """Cancel what waits at once, what runs at its next forward or by killing its process."""
        self._hands.stop()

    def close(self) -> None:
        """Stop, and end all processes."""
        self._hands.close()
        self._hands.join(self._grace_s + 1)
        with self._lock:
            self._closed = True
            children, self._children, self._free = list(self._children), set(), []
        for child in children:
            child.kill()

    def _do(self, job: Job) -> Made:
        lost: list[bool] = []  # of processes that were gone before they began it, whether they had their kit
        while (made := self._try(job, lost)) is None:  # each that there is may be dying, and not be known to be
            pass
        return made

    def _try(self, job: Job, lost: list[bool]) -> Made | None:
        # None where the process was gone before it began the order, of which others may have more luck.
        child = self._taken()
        kept = False
        try:
            made = self._talk(child, job, lost)
            kept = made is not None and child.ready and child.alive
        finally:
            job.ring = _nobody
            self._put_back(child, kept=kept)
        return made

    def _taken(self) -> Child:
        with self._lock:
            if self._closed:
                raise SearchError("These workers were sent home; start the search again to have new ones.")
            for child in [child for child in self._free if not child.alive]:  # killed from outside while it had no work
                self._free.remove(child)
                self._children.discard(child)
            while not self._free or len(self._children) < self.slots:  # all at once: they start side by side
                child = Child(self._threads)
                self._children.add(child)
                self._free.append(child)
            return self._free.pop(0)

    def _put_back(self, child: Child, *, kept: bool) -> None:
        with self._lock:
            if kept and not self._closed:
                self._free.insert(0, child)
                return
            self._children.discard(child)
        child.kill()

    def _talk(self, child: Child, job: Job, lost: list[bool]) -> Made | None:
        order = job.order
        job.ring = lambda: child.replies.put(("ring", ""))
        if job.gate.wished:  # stopped before there was somebody to ring for
            return unmade(order, "cancelled", STOPPED)
        if not child.ready:
            child.send(("kit", self._packed))
        child.begun = False
        child.send(("order", order))
        limit = _Limit()
        while (reply := limit.await_(child.replies)) is not None:
            if reply[0] == "made":
                return reply[1]
            if reply[0] == "broken":
                raise SearchError(f"A worker process could not begin. {reply[1]}")
            self._heed(reply, child, job, limit)
        if limit.over:
            child.kill()
            return _given_up(job, limit)
        last = len(lost) >= self.slots or (not child.ready and False in lost)  # what cannot start will not learn it
        if not (child.begun or last or limit.stopped):  # it died at its ease, while it started, or after its last order
            lost.append(child.ready)
            return None
        return self._lost(child, job, stopped=limit.stopped)

    def _heed(self, reply: Reply, child: Child, job: Job, limit: _Limit) -> None:
        if reply[0] == "ready":
            child.ready = True
        elif reply[0] == "begun":
            child.begun = True
        elif reply[0] == "limit":
            limit.set(reply[1], self._grace_s)
        elif reply[0] == "ring" and job.gate.cancelled:  # else it was for the order before, which had ended then
            child.send(("cancel", job.order.number))
            limit.stop(self._grace_s)

    def _lost(self, child: Child, job: Job, *, stopped: bool) -> Made:
        words = child.last_words()
        if stopped:
            return unmade(job.order, "cancelled", STOPPED, job.seconds)
        if not child.ready:  # no candidate's fault: it would happen to all
            raise SearchError(f"A worker process could not begin. {words}")
        return unmade(job.order, "failed", words, job.seconds)


class _Limit:
    """Until when a process may be silent."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.stopped = False
        self.over = False
        self._until: float | None = None

    def set(self, seconds: float | None, grace_s: float) -> None:
        """Allow a call so many seconds from now; None: any time."""
        if not self.stopped:
            self.seconds = seconds or 0.0
            self._until = None if seconds is None else time.monotonic() + seconds + grace_s

    def stop(self, grace_s: float) -> None:
        """Allow what was stopped its way to the next forward."""
        self.stopped, self._until = True, time.monotonic() + grace_s

    def await_(self, replies: queue.SimpleQueue[Reply | None]) -> Reply | None:
        """Wait for the next reply; None when the process is gone, or when it is ``over`` the limit."""
        try:
            return replies.get(timeout=None if self._until is None else max(0.0, self._until - time.monotonic()))
        except queue.Empty:
            self.over = True
            return None


def _given_up(job: Job, limit: _Limit) -> Made:
    if limit.stopped:
        return unmade(job.order, "cancelled", STOPPED, job.seconds)
    note = f"It took longer than the time limit of {limit.seconds:g} s; its process was ended."
    return unmade(job.order, "failed", note, job.seconds)


def _nobody() -> None:
    """Wake nobody."""
