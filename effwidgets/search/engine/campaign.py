"""A search from beginning to end: the dense model, the seeds, what a sampler proposes, then the climbs."""

from __future__ import annotations

import dataclasses
import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from effwidgets.errors import SearchError
from effwidgets.records import Candidate, Plan, Rung
from effwidgets.search.engine.book import Book
from effwidgets.search.engine.clerk import Clerk
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
        self._clerk = Clerk(book, ideas, store, tell)

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
        try:
            self._open()
            self._go(crew)
        finally:
            self._book.leave(order.number for order in self._out.values())
            self._store.close()

    def _open(self) -> None:
        if not self._store.keeps_tensors and self._book.options.finetune is not None:
            raise SearchError(
                "The store has no place for trained models. Name a folder behind the address: "
                "'...#name=NAME&tensors=FOLDER'."
            )
        self._clerk.open()

    def _go(self, crew: Crew) -> None:
        self._score_dense(crew)
        self._retry()
        if not self._book.laid:
            self._say("Laying out what to try")
            with own_threads(1):  # no worker computes yet
                plans = self._ideas.seeds(self.gate.check)
            with self._book.lock:
                self._book.lay(plans, "ladder")
                self._book.laid = True
        self._sweep(crew, self._next_first)
        self._ideas.time(self.gate.check, self._say, self._clerk.keep)
        for rung in self._ideas.rungs[1:]:
            self._climb(crew, rung)

    def _score_dense(self, crew: Crew) -> None:
        while self._book.dense is None:
            self.gate.check()
            order = self._clerk.claim(Plan(), "dense")
            if order is not None:
                self._say("Scoring the dense model")
                self._submit(crew, order)
                while self._out:
                    self._take(crew)
                self._check_dense()
            else:  # another process is at it
                self.gate.hold(self._held)
                time.sleep(_POLL_S)
                self._clerk.hear()

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
            self._price()
            while self._is_free(crew) and (order := following()) is not None:
                self._submit(crew, order)
            if self._out:
                self._take(crew)
            elif self.gate.wished:
                self.gate.hold(self._held)
            elif order is None:
                return

    def _is_free(self, crew: Crew) -> bool:
        # Who waits for a quiet moment to be timed holds the next orders back.
        late = self._out and self._ideas.late
        return not self.gate.wished and not late and len(self._out) < max(1, crew.slots)

    def _price(self) -> None:
        for known in () if self._out else self._ideas.unpriced():
            candidate = self._ideas.priced(known)
            if candidate is not known:
                self._clerk.keep(candidate)
            if candidate.number:
                self._ideas.tell(candidate)

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
        self._clerk.hear()

    def _stands(self, order: Order) -> bool:
        known = self._book.archive.get(order.number)
        return known is not None and known.state == "done"

    def _fail(self, order: Order, error: BaseException) -> None:
        known = self._book.archive[order.number]
        if known.state != "running":
            self._clerk.give_back(known, order.rung)
        elif isinstance(error, SearchError):  # workers that could not begin: no fault of the candidate's
            self._clerk.keep(dataclasses.replace(known, state="cancelled", note=str(error)))
        else:
            self._clerk.keep(dataclasses.replace(known, state="failed", note=what_failed(error)))

    def _take_first(self, made: Made) -> None:
        inside = self._book.options.executor in (None, "threads")  # these give way to a measurement
        candidate = self._ideas.priced(made.candidate, quiet=inside or not self._out)
        self._clerk.keep(candidate)
        if candidate.state == "done" and candidate.number and made.applied is not None:
            self._shelf.put(candidate.number, made.applied)
        if candidate.number and candidate.state != "cancelled" and candidate.number not in self._ideas.late:
            self._ideas.tell(candidate)

    def _take_climb(self, made: Made) -> None:
        before = self._book.archive[made.candidate.number]
        if made.candidate.state == "cancelled":
            self._clerk.give_back(before, made.candidate.rung)
            return
        after, stands = climbed(before, made.candidate, self._book.options.better)
        if stands and made.tensors is not None:
            self._shelf.put(after.number, made.applied, made.tensors, after.rung)
            if made.recipe is not None:
                self._store.put_recipe(after.number, made.recipe)
        with self._book.lock:
            self._book.climbs = max(0, self._book.climbs - 1)
        self._clerk.keep(after)

    def _next_first(self) -> Order | None:
        while True:
            with self._book.lock:
                found = self._book.waiting.popleft() if self._book.waiting else None
            if found is None:
                found = self._ideas.propose(self.gate.check)
            if found is None:
                return None
            order = self._clerk.claim(*found)
            if order is not None:
                self._say(f"Trying candidate {order.number}")
                return order

    def _climb(self, crew: Crew, rung: Rung) -> None:
        asked: set[int] = set()

        def following() -> Order | None:
            order = self._next_first()  # a plan that was added meanwhile
            while order is None and (chosen := self._ideas.worth(rung, asked)):  # what came of others counts
                asked.add(chosen[0].number)
                with self._book.lock:
                    self._book.climbs = len(chosen) + sum(map(self._stands, self._out.values()))
                order = self._up(chosen[0], rung)
            if order is None:
                with self._book.lock:
                    self._book.climbs = sum(map(self._stands, self._out.values()))
            return order

        self._sweep(crew, following)

    def _up(self, candidate: Candidate, rung: Rung) -> Order | None:
        order = climb_order(candidate, rung, self._book.metric)
        if not self._clerk.has_claimed(candidate, rung):
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
