"""Workers of somebody else: anything that is a ``concurrent.futures.Executor``."""

from __future__ import annotations

import contextlib
import functools
import logging
import shutil
import tempfile
import threading
import uuid
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, Final

from effwidgets.errors import SearchError
from effwidgets.search.crews.crew import STOPPED, unmade
from effwidgets.search.crews.hands import Job
from effwidgets.search.crews.kit import Kit, digest_of
from effwidgets.search.crews.remote import Answer, Task, work
from effwidgets.search.engine.orders import Made, Order

__all__ = ["ExecutorCrew"]

_log = logging.getLogger(__name__)

_PATIENCE_S: Final = 2.0  # after `stop`: what has not ended by then is dropped when it comes
_TRIES: Final = 2  # of an order that the executor itself dropped: a scheduler restarted, the kit lost with a worker


class ExecutorCrew:
    """The workers of an executor that the user has: a pool, a cluster.

    A worker is sent the kit when it meets an order and lacks it, and keeps it. An executor cannot be made to end what
    runs, so `stop` asks: by a file, of use where the workers see the same disk, and by whatever else a subclass knows.
    What does not hear that is dropped when it comes. The executor is the user's: `close` leaves it running.

    Args:
        kit: what each worker builds its workshop from.
        executor: takes the orders.
        slots: how many it is given at once.
        shared: how many of them are done on one machine, which share its cores; None: all.

    Raises:
        InputError: the kit cannot be sent; the message names the part.
    """

    def __init__(self, kit: Kit, executor: Executor, slots: int, *, shared: int | None = None) -> None:
        self._packed = kit.pack()
        self._digest = digest_of(self._packed)
        self._executor = executor
        self._slots = slots
        self._shared = shared
        self._folder = Path(tempfile.mkdtemp(prefix="effwidgets-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._lock = threading.Lock()
        self._run = uuid.uuid4().hex
        self._jobs: dict[Job, Future[Any] | None] = {}
        self._closed = False

    @property
    def slots(self) -> int:
        """How many orders are given out at once."""
        return self._slots

    def submit(self, order: Order) -> Future[Made]:
        """Take an order; see `Crew.submit`."""
        with self._lock:
            if self._closed:
                raise SearchError("These workers were sent home; start the search again to have new ones.")
            job = Job(order=order)
            self._jobs[job] = None
            run = self._run
        self._launch(job, run, None)
        return job.future

    def stop(self) -> None:
        """Take back what waits, ask what runs to end, and drop it when that takes long; see `Crew.stop`."""
        with self._lock:
            jobs, run = dict(self._jobs), self._run
            self._run = uuid.uuid4().hex
        for job, inner in jobs.items():
            job.gate.cancel()
            if inner is not None:
                inner.cancel()
        if not jobs:
            return
        self.ask_to_stop(run)
        timer = threading.Timer(_PATIENCE_S, self._drop, (tuple(jobs),))
        timer.daemon = True
        timer.start()

    def close(self) -> None:
        """Stop, and give out no more orders. The executor stays."""
        with self._lock:
            self._closed = True
        self.stop()

    def ask_to_stop(self, run: str) -> None:
        """Ask the workers to end the orders of ``run``."""
        with contextlib.suppress(OSError):
            (self._folder / run).touch()

    def payload(self) -> object:
        """Return what brings the kit to a worker: the bytes, or what the executor turns into them there."""
        return self._packed

    def launched(self, function: Callable[..., Answer], task: Task, payload: object) -> Future[Answer]:
        """Give a task to the executor."""
        return self._executor.submit(function, task, payload)

    def _launch(self, job: Job, run: str, payload: object, tries: int = 1) -> None:
        shared = self.slots if self._shared is None else self._shared
        stop = str(self._folder / run)
        task = Task(digest=self._digest, run=run, order=job.order, slots=max(1, shared), stop=stop)
        try:
            inner = self.launched(work, task, payload)
        except Exception as error:  # noqa: BLE001  somebody else's executor: broken, shut down
            text = f"The executor takes no more work. {type(error).__name__}: {error}"
            self._end(job, None, SearchError(text))
            return
        with self._lock:
            if job in self._jobs:
                self._jobs[job] = inner
        inner.add_done_callback(functools.partial(self._arrived, job, run, tries))
        if job.gate.cancelled:  # stopped before there was something to take back
            inner.cancel()

    def _arrived(self, job: Job, run: str, tries: int, inner: Future[Answer]) -> None:
        if job.gate.cancelled and (inner.cancelled() or inner.exception() is not None):
            self._end(job, unmade(job.order, "cancelled", STOPPED))
        elif inner.cancelled():  # not by us
            if tries < _TRIES:
                self._again(job, run, None, tries + 1)
            else:
                self._end(
                    job, unmade(job.order, "failed", f"Its worker was lost {tries} times, or the executor dropped it.")
                )
        elif (error := inner.exception()) is not None:
            self._end(job, unmade(job.order, "failed", f"Its worker was lost. {type(error).__name__}: {error}"))
        else:
            self._read(job, run, tries, inner.result())

    def _read(self, job: Job, run: str, tries: int, answer: Answer) -> None:
        if answer[0] == "made":
            self._end(job, answer[1])
        elif answer[0] == "broken":
            self._end(job, None, SearchError(f"A worker could not begin. {answer[1]}"))
        else:
            self._again(job, run, self.payload, tries)

    def _again(self, job: Job, run: str, payload: Callable[[], object] | None, tries: int) -> None:
        # On a thread of its own: this one may be the executor's, which must not wait for the executor.
        def go() -> None:
            try:
                brought = None if payload is None else payload()
            except Exception as error:  # noqa: BLE001  somebody else's cluster
                text = f"The model could not be sent to the workers. {type(error).__name__}: {error}"
                self._end(job, None, SearchError(text))
                return
            self._launch(job, run, brought, tries)

        threading.Thread(target=go, name="effwidgets-send", daemon=True).start()

    def _drop(self, jobs: tuple[Job, ...]) -> None:
        for job in jobs:
            self._end(job, unmade(job.order, "cancelled", STOPPED))

    def _end(self, job: Job, made: Made | None, error: Exception | None = None) -> None:
        with self._lock:
            self._jobs.pop(job, None)
            if job.over:  # dropped meanwhile
                return
            job.over = True
        if not job.future.set_running_or_notify_cancel():  # taken back while it waited
            return
        if made is not None:
            job.future.set_result(made)
        elif error is not None:
            job.future.set_exception(error)
