"""Workers of a Dask cluster: past one machine, with workers that come and go."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Final, cast

from effwidgets.errors import SearchError
from effwidgets.search.crews.executors import ExecutorCrew
from effwidgets.search.crews.kit import Kit
from effwidgets.search.crews.remote import Answer, Task, halt

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["DaskCrew"]

_COUNT_S: Final = 2.0  # how long a count of the cluster's threads is good for


class DaskCrew(ExecutorCrew):
    """The workers of a cluster, by its client.

    The kit is scattered when a worker lacks it, so that it passes through the scheduler for nobody. `stop` reaches
    workers in the middle of an order, on any machine. An order whose worker dies is given to another one by Dask, up
    to ``distributed.scheduler.allowed-failures`` times, then it fails.

    Args:
        kit: what each worker builds its workshop from.
        client: of the cluster; it stays open.
        slots: orders at once; None: as many as the cluster has threads, counted again as it grows and shrinks.

    Raises:
        InputError: the kit cannot be sent; the message names the part.
    """

    def __init__(self, kit: Kit, client: Client, slots: int | None = None) -> None:
        # How many share a machine is not known here; Dask's workers start with one thread of torch for each task.
        super().__init__(kit, _executor_of(client), slots or 0, shared=1)
        self._client = client
        self._counted = (0.0, 0)

    @property
    def slots(self) -> int:
        """How many orders are given out at once.

        Raises:
            SearchError: the cluster has no worker.
        """
        if self._slots:
            return self._slots
        when, count = self._counted
        if not count or time.monotonic() - when > _COUNT_S:
            count = sum(self._client.nthreads().values())  # type: ignore[no-untyped-call]
            self._counted = (time.monotonic(), count)
        if not count:
            raise SearchError(
                "The Dask cluster has no worker. Start some: cluster.scale(2); client.wait_for_workers(2)."
            )
        return count

    def ask_to_stop(self, run: str) -> None:
        """Tell every worker, beside its queue, that ``run`` has ended."""
        super().ask_to_stop(run)

        def tell() -> None:
            with contextlib.suppress(Exception):  # a worker that is gone need not stop
                self._client.run(halt, run, on_error="ignore")

        threading.Thread(target=tell, name="effwidgets-stop", daemon=True).start()

    def payload(self) -> object:
        """Return the scattered kit, each time under a name of its own.

        Under one name for all, a worker that lost it while another was brought it anew was seen to leave Dask's
        scheduler (2026.8) with a key that it could neither compute nor forget, and every order after it waiting.
        """
        scattered: object = self._client.scatter(self._packed, hash=False)  # type: ignore[no-untyped-call]
        return scattered

    def launched(self, function: Callable[..., Answer], task: Task, payload: object) -> Future[Answer]:
        """Give a task to the cluster."""
        return cast("Future[Answer]", self._executor.submit(function, task, payload))


def _executor_of(client: Client) -> Executor:
    # Not pure: an order that is given twice is done twice.
    return cast("Executor", client.get_executor(pure=False))  # type: ignore[no-untyped-call]
