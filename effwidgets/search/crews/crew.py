"""Who does the work of a search: a crew takes orders, several at once, and answers each."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, Literal, Protocol

from effwidgets.errors import Cancelled
from effwidgets.records import Candidate
from effwidgets.search.engine.orders import Made, Order
from effwidgets.transforms.sound import what_failed

if TYPE_CHECKING:
    from effwidgets.search.engine.gate import Gate

__all__ = ["STOPPED", "Crew", "Maker", "answered", "unmade"]

STOPPED: Final = "Cancelled before it was scored"


class Maker(Protocol):
    """What does one order, in the process that it is in: a workshop."""

    def make(self, order: Order, gate: Gate) -> Made:
        """Do ``order``; the forwards of its candidate pass through ``gate``. A crew may call it on several threads."""
        ...


class Crew(Protocol):
    """Workers in threads, processes or on other machines. All of it may be called from any thread.

    What an order came to always arrives as its future's result, by the state of the candidate: "done", "failed" (the
    user's function raised, took too long, or its worker died) or "cancelled" (by `stop`). Two things are raised
    instead: an error of ours that concerns all orders alike (`SearchError`: nobody can be sent the model), and what
    ends a program (``SystemExit``) from a function that runs in this process.
    """

    @property
    def slots(self) -> int:
        """How many orders can be worked on at once; of a cluster, at this moment."""
        ...

    def submit(self, order: Order) -> Future[Made]:
        """Take an order. One beyond `slots` waits for its turn; `Future.cancel` takes it back while it waits.

        Raises:
            SearchError: the crew was closed.
        """
        ...

    def stop(self) -> None:
        """Have all orders given so far end as cancelled, soon: within one forward, or with their process.

        It returns at once. The crew takes new orders afterwards.
        """
        ...

    def close(self) -> None:
        """Stop, and let the workers go: no thread takes another order, no process of ours stays.

        It may be called twice.
        """
        ...


def answered(maker: Maker, order: Order, gate: Gate) -> Made:
    """Have an order done; what a workshop raises fails or cancels it."""
    began = time.monotonic()
    try:
        return maker.make(order, gate)
    except Cancelled:
        return unmade(order, "cancelled", STOPPED, time.monotonic() - began)
    except Exception as error:  # noqa: BLE001  of a workshop that let through what its user's function raised
        return unmade(order, "failed", what_failed(error), time.monotonic() - began)


def unmade(order: Order, state: Literal["failed", "cancelled"], note: str, seconds: float = 0.0) -> Made:
    """Return the answer to an order that nobody could do."""
    candidate = Candidate(
        number=order.number,
        plan=order.plan,
        rung=order.rung,
        state=state,
        seed=order.seed,
        seconds=seconds,
        note=note,
        source=order.source,
        climbed=order.climbed,
    )
    return Made(candidate=candidate)
