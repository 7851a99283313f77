"""Which crew a search gets, from what the user said."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Final

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.metrics.base import METRICS, Metric
from effwidgets.search.crews.crew import Crew
from effwidgets.search.crews.kit import Kit
from effwidgets.search.crews.threads import ThreadCrew
from effwidgets.transforms.base import TRANSFORMS, Transform

if TYPE_CHECKING:
    from effwidgets.search.engine.workshop import Workshop

__all__ = ["check_executor", "crew_for", "kit_of"]

_NAMES: Final = ("threads", "processes")


def kit_of(workshop: Workshop) -> Kit:
    """Return what builds the same workshop elsewhere: its own copy of the model, the calibration data as it read them.

    Transformations and metrics that were added by hand travel along. What concerns the search as a whole (plans,
    budgets, store, executor) stays here.
    """
    options = dataclasses.replace(
        workshop.options, calibration=workshop.calibration, executor=None, store=None, plans=None, budgets={}
    )
    parts = {
        "model": workshop.model,
        "call": workshop.call,
        "evaluate": workshop.evaluate,
        "options": options,
        "transforms": TRANSFORMS.added(),
        "metrics": METRICS.added(),
    }
    return Kit(build=functools.partial(_built, type(workshop)), parts=parts)


def _built(
    kind: type[Workshop],
    *,
    transforms: tuple[tuple[str, Transform], ...],
    metrics: tuple[tuple[str, Metric], ...],
    **parts: Any,
) -> Workshop:
    for name, transform in transforms:
        if name not in TRANSFORMS:  # a thread of this process has it
            TRANSFORMS.add(name, transform)
    for name, metric in metrics:
        if name not in METRICS:
            METRICS.add(name, metric)
    return kind(**parts)


def crew_for(executor: object, workshop: Workshop, workers: int = 1) -> Crew:
    """Return the crew for ``SearchOptions.executor``.

    Args:
        executor: None or "threads"; "processes"; a ``concurrent.futures.Executor``; a Dask ``Client``; an ipyparallel
            client or view.
        workshop: makes candidates; threads share it, others build their own from its kit.
        workers: how many at once. For somebody else's executor 1, the default, stands for all that it has.

    Raises:
        InputError: no such executor, or the model cannot be sent to another process.
    """
    check_executor(executor)
    if executor is None or executor == "threads":
        return ThreadCrew(workshop, workers)
    kit = kit_of(workshop)
    if executor == "processes":
        from effwidgets.search.crews.processes import ProcessCrew

        return ProcessCrew(kit, workers)
    client = _dask_client(executor)
    if client is not None:
        from effwidgets.search.crews.clusters import DaskCrew

        return DaskCrew(kit, client, workers if workers > 1 else None)
    from effwidgets.search.crews.executors import ExecutorCrew

    pool = _ipyparallel_executor(executor) or executor
    assert isinstance(pool, Executor)  # noqa: S101  checked above
    return ExecutorCrew(kit, pool, workers if workers > 1 else _size_of(pool))


def check_executor(executor: object) -> None:
    """Refuse what no crew can be made of.

    Raises:
        UnknownNameError: a word that is not known.
        InputError: an object of another kind, or a class instead of an instance.

    Example:
        >>> check_executor("processes")
        >>> check_executor("dask")
        Traceback (most recent call last):
        ...
        effwidgets.errors.UnknownNameError: There is no executor 'dask'. Known: 'threads', 'processes'.
    """
    if executor is None or (isinstance(executor, str) and executor in _NAMES):
        return
    if isinstance(executor, str):
        raise UnknownNameError("executor", executor, _NAMES)
    if isinstance(executor, Executor) or _dask_client(executor) is not None or _ipyparallel_executor(executor):
        return
    what = f"the class {executor.__name__}" if isinstance(executor, type) else type(executor).__name__
    raise InputError(
        f"executor is {what}; None, 'threads', 'processes', a concurrent.futures.Executor, a Dask client, or an "
        "ipyparallel client or view was expected."
    )


def _dask_client(executor: object) -> Any:
    # The client of a Dask executor too: through it the kit is scattered and what runs is stopped.
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    client = getattr(executor, "_client", None) if isinstance(executor, Executor) else executor
    return client if isinstance(client, distributed.Client) else None


def _ipyparallel_executor(executor: object) -> Any:
    if "ipyparallel" not in sys.modules or not type(executor).__module__.startswith("ipyparallel."):
        return None
    found = getattr(executor, "executor", None)  # a property of views, a method of clients
    return found() if callable(found) and not isinstance(found, Executor) else found


def _size_of(executor: Executor) -> int:
    # No executor says so in public; those of the standard library, loky and ipyparallel keep it under this name.
    size: Callable[[], int] | int | None = getattr(executor, "_max_workers", None)
    return size if isinstance(size, int) and size > 0 else 1
