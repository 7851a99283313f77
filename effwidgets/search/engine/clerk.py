"""What a search notes: in the store first, then in its book, so that what a screen shows is kept."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from effwidgets.records import Budget, Candidate, Plan, Rung
from effwidgets.search.engine.book import Book
from effwidgets.search.engine.ideas import Ideas
from effwidgets.search.engine.orders import Order

if TYPE_CHECKING:
    from effwidgets.search.store.base import Store

__all__ = ["Clerk"]

_log = logging.getLogger(__name__)


class Clerk:
    """Claims plans, keeps results, and hears what other processes kept; all of it on the coordinator's thread.

    Args:
        book: what the search knows.
        ideas: hears of what others found.
        store: where results are kept.
        tell: hears of a change.
    """

    def __init__(self, book: Book, ideas: Ideas, store: Store, tell: Callable[[], None]) -> None:
        self._book = book
        self._ideas = ideas
        self._store = store
        self._tell = tell
        self._revision = -1  # of the budgets that the store was told

    def open(self) -> None:
        """Open the store, and take what is in it into the book.

        Raises:
            StoreError: see `Store.open`.
        """
        self._revision = -1
        found = self._store.open(self._ideas.header())
        with self._book.lock:
            for candidate in found:
                self._book.archive.put(candidate)
        for note in self._store.notes:
            _log.warning("The store of the search: %s", note)

    def claim(self, plan: Plan, source: str) -> Order | None:
        """Return the order to try a plan; None where it was tried, or somebody is at it."""
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
        most = book.options.trials
        # The dense model counts, and the user's own plans are tried whatever was asked for.
        number = self._store.begin(blank, None if most is None or source in ("dense", "user") else 1 + most)
        if number is None:
            self.hear()  # of who has it, or of how many there are
            return None
        with book.lock:
            begun = book.begin(blank, number)
            main = book.metric if book.dense is not None else ""
        self._tell()
        return Order(number=number, plan=plan, rung=rung, seed=begun.seed, source=source, main=main)

    def has_claimed(self, candidate: Candidate, rung: Rung) -> bool:
        """Claim the climb of a candidate; False where it was tried, or somebody is at it."""
        return self._store.begin(dataclasses.replace(candidate, rung=rung, state="running")) is not None

    def keep(self, candidate: Candidate) -> None:
        """Keep a result; the dense model's failure is given back, so that the search may be started again."""
        if candidate.number == 0 and candidate.state == "failed":
            self.give_back(candidate, "dense")
        else:
            self._store.put(candidate)
        with self._book.lock:
            self._book.archive.put(candidate)
        self._tell()

    def give_back(self, candidate: Candidate, rung: Rung) -> None:
        """Let others, or a later run, take a candidate to ``rung``."""
        self._store.put(dataclasses.replace(candidate, rung=rung, state="cancelled"))

    def hear(self) -> None:
        """Tell the store of budgets that changed, and take in what other processes kept."""
        if self._revision != self._book.revision and self._book.dense is not None:
            self._revision = self._book.revision
            bounds = self._book.bounds()
            self._store.set_budgets(tuple(Budget(axis=axis, limit=limit) for axis, limit in bounds.items()))
        for candidate in self._store.news():
            before = self._book.archive.get(candidate.number)
            with self._book.lock:
                self._book.archive.put(candidate)
                if candidate.state == "cancelled":  # another process gave it up
                    self._book.waiting.append((candidate.plan, candidate.source))
            over = ("done", "failed")  # told once: its climbs are news too
            if candidate.number and candidate.state in over and (before is None or before.state not in over):
                self._ideas.tell(candidate)
