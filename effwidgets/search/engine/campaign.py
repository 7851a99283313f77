"""A search from beginning to end: the dense model, the seeds, what a sampler proposes, then the climbs."""

from __future__ import annotations

import dataclasses
import logging
import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from effwidgets.errors import SearchError
from effwidgets.records import Budget, Candidate, Plan, Rung
from effwidgets.search.engine.book import Book
from effwidgets.search.engine.gate import Gate, own_threads
from effwidgets.search.engine.ideas import Ideas
from effwidgets.search.engine.orders import Made, Order
from effwidgets.search.engine.rungs import climb_order, climbed
from effwidgets.search.engine.workshop import sentence
from effwidgets.transforms.sound import what_failed

if TYPE_CHECKING:
    from effwidgets.search.crews.crew import Crew
    from effwidgets.search.engine.shelf import Shelf
    from effwidgets.search.store.base import Store

__all__ = ["Campaign"]

_log = logging.getLogger(__name__)

_POLL_S = 0.05  # until another process has scored the dense model


class Campaign:
    """Hands out orders one after the other and takes what comes back; all of it on the coordinator's thread.

    Args:
        book: what the search knows.
        ideas: where plans come from, and who is worth training.
        store: where results are kept.
        shelf: where models are kept.
        tell: hears of a change.
    """

    def __init__(self, book: Book, ideas: Ideas, store: Store, shelf: Shelf, tell: Callable[[], None]) -> None:
        self.gate = Gate()
        self.tell = tell
        self._book = book
        self._ideas = ideas
        self._store = store
        self._shelf = shelf
        self._back: queue.SimpleQueue[Future[Made] | None] = queue.SimpleQueue()
        self._out: dict[Future[Made], Order] = {}
        self._revision = -1  # of the budgets that the store was told

    def wake(self) -> None:
        """Let the coordinator look up: a wish came, or a plan."""
        self._back.put(None)

    def run(self, crew: Crew) -> None:
        """Search; ends when nothing is left to do.

        Raises:
            Cancelled: a stop was asked for.
            SearchError: the dense model could not be scored, or the store cannot be read or written.
        """
        self._out.clear()
        self._revision = -1
        try:
            self._open()
            self._go(crew)
        finally:
            self._store.close()

    def _open(self) -> None:
        if not self._store.keeps_tensors and self._book.options.finetune is not None:
            raise SearchError(
                "The store has no place for trained models. Name a folder behind the address: "
                "'...#name=NAME&tensors=FOLDER'."
            )
        found = self._store.open(self._ideas.header())
        with self._book.lock:
            for candidate in found:
                self._book.archive.put(candidate)
        for note in self._store.notes:
            _log.warning("The store of the search: %s", note)

    def _go(self, crew: Crew) -> None:
        self._score_dense(crew)
        self._retry()
        if not self._book.laid:
            self._say("Laying out what to try")
            with own_threads(self._book.options.workers):
                plans = self._ideas.seeds(self.gate.check)
            with self._book.lock:
                self._book.lay(plans, "ladder")
                self._book.laid = True
        self._sweep(crew, self._next_first)
        self._ideas.time(self.gate.check, self._say, self._keep)
        for rung in self._ideas.rungs[1:]:
            self._climb(crew, rung)

    def _score_dense(self, crew: Crew) -> None:
        while self._book.dense is None:
            self.gate.check()
            order = self._claim(Plan(), "dense")
            if order is not None:
                self._say("Scoring the dense model")
                self._submit(crew, order)
                while self._out:
                    self._take(crew)
                self._check_dense()
            else:  # another process is at it
                self.gate.hold(self._held)
                time.sleep(_POLL_S)
                self._hear()

    def _check_dense(self) -> None:
        known = self._book.archive[0]
        if known.state == "failed":
            advice = "Then" if known.note.endswith("finite number.") else "Mend that, then"
            raise SearchError(
                f"The dense model could not be scored. {sentence(known.note)} {advice} start the search again."
            )
        self.gate.check()

    def _retry(self) -> None:
        with self._book.lock:
            held = {plan for plan, _ in self._book.waiting}
            for known in reversed(self._book.interrupted()):
                if known.plan not in held:
                    self._book.waiting.appendleft((known.plan, known.source))

    def _sweep(self, crew: Crew, following: Callable[[], Order | None]) -> None:
        # Keeps every slot at work until nothing follows and nothing is out.
        while True:
            order: Order | None = None
            while not self.gate.wished and len(self._out) < max(1, crew.slots) and (order := following()) is not None:
                self._submit(crew, order)
            if self._out:
                self._take(crew)
            elif self.gate.wished:
                self.gate.hold(self._held)
            elif order is None:
                return

    def _submit(self, crew: Crew, order: Order) -> None:
        future = crew.submit(order)
        self._out[future] = order
        future.add_done_callback(self._back.put)
        if self.gate.cancelled:  # the wish came in between
            crew.stop()

    def _take(self, crew: Crew) -> None:
        future = self._back.get()
        if future is None or future not in self._out:
            return
        order = self._out.pop(future)
        try:
            made = future.result()
        except BaseException as error:  # sys.exit() or an interrupt in the user's function; ours, for all orders alike
            self._fail(order, error)
            crew.stop()
            while self._out:  # what is finished by then is kept
                self._take(crew)
            raise
        if self._stands(order):
            self._take_climb(made)
        else:
            self._take_first(made)
        self._hear()

    def _stands(self, order: Order) -> bool:
        known = self._book.archive.get(order.number)
        return known is not None and known.state == "done"

    def _fail(self, order: Order, error: BaseException) -> None:
        known = self._book.archive[order.number]
        if known.state == "running":
            self._keep(dataclasses.replace(known, state="failed", note=what_failed(error)))
        else:
            self._give_back(known, order.rung)

    def _take_first(self, made: Made) -> None:
        candidate = self._ideas.priced(made.candidate)
        self._keep(candidate)
        if candidate.state == "done" and candidate.number and made.applied is not None:
            self._shelf.put(candidate.number, made.applied)
        if candidate.number and candidate.state != "cancelled":
            self._ideas.tell(candidate)

    def _take_climb(self, made: Made) -> None:
        before = self._book.archive[made.candidate.number]
        if made.candidate.state == "cancelled":
            self._give_back(before, made.candidate.rung)
            return
        after, stands = climbed(before, made.candidate, self._book.options.better)
        if stands and made.tensors is not None:
            self._shelf.put(after.number, made.applied, made.tensors, after.rung)
            if made.recipe is not None:
                self._store.put_recipe(after.number, made.recipe)
        with self._book.lock:
            self._book.climbs = max(0, self._book.climbs - 1)
        self._keep(after)

    def _keep(self, candidate: Candidate) -> None:
        # Into the store first: what a screen shows is kept.
        if candidate.number == 0 and candidate.state == "failed":
            self._give_back(candidate, "dense")  # the search may be started again
        else:
            self._store.put(candidate)
        with self._book.lock:
            self._book.archive.put(candidate)
        self.tell()

    def _give_back(self, candidate: Candidate, rung: Rung) -> None:
        self._store.put(dataclasses.replace(candidate, rung=rung, state="cancelled"))

    def _hear(self) -> None:
        if self._revision != self._book.revision:
            self._revision = self._book.revision
            bounds = self._book.bounds()
            self._store.set_budgets(tuple(Budget(axis=axis, limit=limit) for axis, limit in bounds.items()))
        for candidate in self._store.news():
            with self._book.lock:
                self._book.archive.put(candidate)
                if candidate.state == "cancelled":  # another process gave it up
                    self._book.waiting.append((candidate.plan, candidate.source))
            if candidate.number and candidate.state in ("done", "failed"):
                self._ideas.tell(candidate)

    def _next_first(self) -> Order | None:
        while True:
            with self._book.lock:
                found = self._book.waiting.popleft() if self._book.waiting else None
            if found is None:
                found = self._ideas.propose(self.gate.check)
            if found is None:
                return None
            order = self._claim(*found)
            if order is not None:
                self._say(f"Trying candidate {order.number}")
                return order

    def _claim(self, plan: Plan, source: str) -> Order | None:
        book = self._book
        known = book.archive.of(plan)
        if (
            known is not None
            and known.state not in ("planned", "cancelled")
            and not (known.number == 0 and known.state == "failed")
        ):
            return None
        rung: Rung = self._ideas.rungs[0] if len(plan) else "dense"
        blank = Candidate(
            number=book.archive.next_number if known is None else known.number,
            plan=plan,
            rung=rung,
            state="running",
            parent=0 if len(plan) else None,
            source=source,
        )
        number = self._store.begin(blank)
        if number is None:
            return None
        with book.lock:
            begun = book.begin(blank, number)
            main = book.metric if book.dense is not None else ""
        self.tell()
        return Order(number=number, plan=plan, rung=rung, seed=begun.seed, source=source, main=main)

    def _climb(self, crew: Crew, rung: Rung) -> None:
        chosen = self._ideas.worth(rung)
        with self._book.lock:
            self._book.climbs = len(chosen)
        left = iter(chosen)

        def following() -> Order | None:
            order = self._next_first()  # a plan that was added meanwhile
            return order if order is not None else next(filter(None, (self._up(known, rung) for known in left)), None)

        self._sweep(crew, following)

    def _up(self, candidate: Candidate, rung: Rung) -> Order | None:
        order = climb_order(candidate, rung, self._book.metric)
        if self._store.begin(dataclasses.replace(candidate, rung=rung, state="running")) is None:
            return None
        self._say(f"Training candidate {candidate.number}, {self._book.climbs} to go")
        return order

    def _held(self, begins: bool) -> None:  # noqa: FBT001  what `Gate.hold` calls
        self._book.say("Paused" if begins else "Goes on", "paused" if begins else "running")
        self.tell()

    def _say(self, message: str) -> None:
        if not self.gate.wished:  # what was wished last is more to the point than what goes on
            self._book.say(message)
        self.tell()
