"""What an executor's worker runs: it keeps the workshop that it was sent once, and does one order after the other."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal, TypeAlias

from effwidgets.errors import EffError
from effwidgets.search.crews.crew import STOPPED, Maker, unmade
from effwidgets.search.crews.kit import Kit
from effwidgets.search.crews.threads import ThreadCrew
from effwidgets.search.engine.orders import Made, Order

__all__ = ["Answer", "Task", "halt", "work"]

Answer: TypeAlias = tuple[Literal["made"], Made] | tuple[Literal["missing", "broken"], str]
"""The answer to an order; or that the worker lacks the kit; or why no order can be done there."""

_MOST: Final = 2  # workshops that a worker keeps
_ASK_S: Final = 0.1
_STOPPED_MOST: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An order as it travels.

    Attributes:
        digest: of the kit that it needs.
        run: name of what is stopped together.
        order: what to do.
        slots: how many orders are done at once on the worker's machine.
        stop: a file that is there once the run is stopped; of use where both see the same disk.
    """

    digest: str
    run: str
    order: Order
    slots: int
    stop: str


class _Kept:
    # What this worker holds, from order to order.
    lock: ClassVar = threading.Lock()
    building: ClassVar = threading.Lock()
    makers: ClassVar[OrderedDict[str, Maker]] = OrderedDict()
    crews: ClassVar[OrderedDict[tuple[str, str], ThreadCrew]] = OrderedDict()
    stopped: ClassVar[OrderedDict[str, None]] = OrderedDict()


def work(task: Task, packed: bytes | None = None) -> Answer:
    """Do an order on this worker; ``packed`` is the kit, for a worker that said it was missing.

    The user's function runs on a thread beside this one, so that one that hangs is given up on here too.
    """
    try:
        maker = _maker(task.digest, packed)
    except EffError as error:
        return ("broken", str(error))
    except Exception as error:  # noqa: BLE001  building runs the user's code: the model, its data
        return ("broken", f"{type(error).__name__}: {error}")
    if maker is None:
        return ("missing", task.digest)
    if _told_to_stop(task):
        return ("made", unmade(task.order, "cancelled", STOPPED))
    crew = _crew(task, maker)
    future = crew.submit(task.order)
    stopped = False
    while not _ended(future):
        if not stopped and _told_to_stop(task):
            stopped = True
            crew.stop()
    raised = future.exception()
    if raised is None:
        return ("made", future.result())
    return ("made", unmade(task.order, "failed", f"{type(raised).__name__}: {raised}"))


def halt(run: str) -> None:
    """Have all orders of a run end soon, those that come later too. For those who can call it on a busy worker."""
    with _Kept.lock:
        _Kept.stopped[run] = None
        while len(_Kept.stopped) > _STOPPED_MOST:
            _Kept.stopped.popitem(last=False)


def _told_to_stop(task: Task) -> bool:
    return task.run in _Kept.stopped or (bool(task.stop) and Path(task.stop).exists())


def _ended(future: Future[Made]) -> bool:
    try:
        future.exception(_ASK_S)
    except TimeoutError:
        return False
    return True


def _maker(digest: str, packed: bytes | None) -> Maker | None:
    with _Kept.lock:
        held = _Kept.makers.get(digest)
    if held is not None or packed is None:
        return held
    with _Kept.building:  # several orders may bring it at once
        if digest not in _Kept.makers:
            built = Kit.unpack(packed)
            with _Kept.lock:
                _Kept.makers[digest] = built
                while len(_Kept.makers) > _MOST:
                    _Kept.makers.popitem(last=False)
        return _Kept.makers[digest]


def _crew(task: Task, maker: Maker) -> ThreadCrew:
    # As many threads as orders come at once: it is the executor that says how many.
    with _Kept.lock:
        crew = _Kept.crews.setdefault((task.digest, task.run), ThreadCrew(maker, task.slots))
        while len(_Kept.crews) > _MOST:
            _Kept.crews.popitem(last=False)
    return crew
