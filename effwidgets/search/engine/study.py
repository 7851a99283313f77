"""A search: runs in a thread of its own, and keeps what it found."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from effwidgets.errors import InputError, SearchError
from effwidgets.records import Budget, Candidate, Plan, Score, SearchReport, StudyState
from effwidgets.search.crews.hire import crew_for
from effwidgets.search.engine.book import Book
from effwidgets.search.engine.campaign import Campaign
from effwidgets.search.engine.choice import best_within, chance_to_dominate
from effwidgets.search.engine.compare import Comparison, compare
from effwidgets.search.engine.coordinator import Coordinator
from effwidgets.search.engine.gate import own_threads
from effwidgets.search.engine.ideas import Ideas, Lay
from effwidgets.search.engine.listeners import Herald, Listener, Listeners
from effwidgets.search.engine.live import Live
from effwidgets.search.engine.options import SearchOptions
from effwidgets.search.engine.report import report_of
from effwidgets.search.engine.shelf import Shelf
from effwidgets.search.engine.table import table_of
from effwidgets.search.engine.workshop import Workshop
from effwidgets.transforms.plans import check_plan

if TYPE_CHECKING:
    from effwidgets.search.crews.crew import Crew
    from effwidgets.search.store.base import Store
    from effwidgets.transforms.apply import Applied
    from effwidgets.transforms.calibration import Calibration

__all__ = ["Study"]


class Study(Live):
    """A search over plans; `explore` makes one. Nothing runs before `start` or `run`.

    Candidate 0 is the dense model and is scored first. A candidate that cannot be made or scored is marked failed
    and the search goes on; when the dense model cannot be scored, the search fails. All methods may be called from
    any thread. `cancel` takes effect at the candidate's next forward; a thread in which ``evaluate`` hangs elsewhere
    is left behind after a while.

    Attributes:
        origin: name of the session that shows it; "" when none does.
        selection: numbers of the candidates selected in its live view.
        adopt: what is done to each `Applied` before `apply` returns it; a session sets it.
    """

    def __init__(  # noqa: PLR0913  `explore` calls it; the last two are for those who bring their own
        self,
        workshop: Workshop,
        options: SearchOptions,
        store: Store,
        *,
        title: str,
        origin: str = "",
        lay: Lay | None = None,
        crew: Callable[[], Crew] | None = None,
    ) -> None:
        self.origin = origin
        self.selection: tuple[int, ...] = ()
        self.adopt: Callable[[Applied], Applied] = lambda applied: applied
        self._title = title
        self._workshop = workshop
        self._options = options
        self._applied: list[int] = []
        self._changes = Listeners()
        self._ends = Listeners()
        self._herald = Herald(self._changes, self.snapshot)
        self._book = Book(options)
        self._shelf = Shelf(options.keep, store if options.store is not None else None, self._on_front)
        ideas = Ideas(self._book, workshop, self._model_of, lay, self._shelf)
        self._campaign = Campaign(self._book, ideas, store, self._shelf, self._herald.change)
        hire = crew or (lambda: crew_for(options.executor, workshop, options.workers))
        self._coordinator = Coordinator(self._book, self._campaign, hire, self._ended)

    @property
    def calibration(self) -> Calibration | None:
        """The real inputs that candidates are fitted and repaired on."""
        return self._workshop.calibration

    def start(self) -> Self:
        """Begin, go on with what a cancelled run left, or resume; returns at once."""
        self._coordinator.start(f"effwidgets-study-{self._title}")
        return self

    def run(self) -> Self:
        """Run to the end and return the study. Ctrl-C cancels: what is finished is kept.

        Raises:
            SearchError: the dense model could not be scored, or the store cannot be read or written.
        """
        self.start()
        try:
            self.wait()
        except KeyboardInterrupt:
            self.cancel()
            with contextlib.suppress(SearchError):
                self.wait()
            raise
        return self

    def pause(self) -> None:
        """Stand still when what is being tried now is finished."""
        self._coordinator.pause()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._coordinator.resume()

    def cancel(self) -> None:
        """Stop at the next forward of the candidate; what is finished is kept. `start` goes on with the rest."""
        self._coordinator.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run ends; False when that takes longer than ``timeout`` seconds.

        Raises:
            InputError: it was never started.
            SearchError: what the run ended by, see `run`.
        """
        coordinator = self._coordinator
        if coordinator.thread is None:
            raise InputError("This search was never started. Call run(), or start() and then wait().")
        if coordinator.thread is not threading.current_thread():
            coordinator.over.wait(timeout)
        if coordinator.error is not None:
            raise coordinator.error
        return not self._book.active

    def add(self, plan: Plan) -> int | None:
        """Let a plan of your own be tried next, in the running search or in the next run.

        Returns:
            the number of the candidate that was made of this plan already; None where it will be tried.

        Raises:
            UnknownNameError: the plan names a transformation or a layer that there is not.
        """
        check_plan(self._workshop.model, plan)
        with self._book.lock:
            known = self._book.archive.of(plan)
            if known is not None:
                return known.number
            self._book.waiting.appendleft((plan, "user"))
        self._campaign.wake()
        return None

    def set_budget(self, axis: str, limit: float | str | Budget | None) -> None:
        """Set, change or (None) lift the budget of a cost, also while the search runs: it guides what is tried next.

        Args:
            axis: the cost.
            limit: a share of the dense model's up to 1, an amount above, text such as "40%"; a `Budget` is an amount
                always.

        Raises:
            UnknownNameError: no such cost.
            InputError: a budget that leaves nothing, or is more than the model has.
        """
        with self._book.lock:
            self._book.limits.set(axis, limit, self._book.dense)
            self._book.revision += 1
        self._campaign.wake()
        self._herald.change()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with new states, at most ten times a second, on threads of the search.

        What comes too fast is told together; the last state of a run always is. Returns how to stop that.
        """
        return self._changes.add(listener)

    def on_finished(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with the last state of each run to come, however it ends; returns how to stop that.

        A run that was cancelled and started again before it stood still goes on as one with the next.
        """
        return self._ends.add(listener)

    def snapshot(self) -> StudyState:
        """Return the state of this moment, fronts included."""
        with self._book.lock:
            return self._book.snapshot(self._title, self.origin, self._applied[-1] if self._applied else None)

    def candidates(self) -> tuple[Candidate, ...]:
        """Return the candidates begun so far, by number."""
        with self._book.lock:
            return self._book.archive.begun()

    def to_pandas(self) -> Any:
        """Return the candidates begun so far as a ``pandas.DataFrame``, one row each, its number the index.

        Raises:
            InputError: pandas is not installed.
        """
        return table_of(self.candidates())

    def front(self, axis: str = "macs") -> tuple[Candidate, ...]:
        """Return the candidates that no other beats in score and ``axis``, from cheap to dear.

        Raises:
            UnknownNameError: no such axis; the message names those there are.
        """
        with self._book.lock:
            return self._book.archive.front(axis)

    def history(self, axis: str = "macs") -> tuple[float, ...]:
        """Return the hypervolume of score and ``axis`` after each result; () before there is a box to measure in."""
        with self._book.lock:
            return self._book.archive.volumes(axis)

    def contributions(self, axis: str = "macs") -> tuple[Score, ...]:
        """Return by technique the share of the hypervolume that would be lost without the candidates that use it."""
        with self._book.lock:
            return self._book.archive.contributions(axis)

    def best(self, budget: float | str | Mapping[str, float | str] | None = None, *, axis: str = "macs") -> Candidate:
        """Return the candidate with the best score within a budget or several, the cheapest of equals.

        Args:
            budget: a share of the dense model's cost up to 1, an amount above, or text such as "40%"; several as a dict
                by cost (``{"macs": 0.5, "param_bytes": "2 MB"}``). None: the budgets of the search, if it has any.
            axis: the cost that a single budget is for, and by which equals are told apart.

        Raises:
            InputError: nothing is scored yet, the budget leaves nothing, or no candidate keeps it; the message says
                what can be reached.
        """
        with self._book.lock:
            return best_within(self._book, budget, axis)

    def compare(self, a: int, b: int) -> Comparison:
        """Return how candidate ``b`` differs from candidate ``a``: cost, scores, and layer by layer."""
        with self._book.lock:
            return compare(self._book.archive[a], self._book.archive[b])

    def p_dominates(self, a: int, b: int, *, axis: str = "macs") -> float:
        """Return the probability that candidate ``a`` dominates ``b`` in score and ``axis``, from the errors measured.

        For what is exact, such as MACs and a score without an error, it is 0 or 1.

        Raises:
            InputError: one of them has no score, or no number for ``axis``.
        """
        with self._book.lock:
            archive = self._book.archive
            return chance_to_dominate(self._book, archive[a], archive[b], axis)

    def apply(self, number: int) -> Applied:
        """Return a candidate's model, trained if it was, as a copy of the caller's own.

        A model that is no longer in memory is made again from its plan and scores the same.

        Raises:
            UnknownNameError: no candidate of that number.
            InputError: the candidate has no score.
        """
        applied = self._take(number)
        self._applied.append(number)
        self._herald.change()
        return self.adopt(applied)

    def unapply(self) -> None:
        """Take back that a candidate was applied last: the one before it holds again."""
        if self._applied:
            self._applied.pop()
            self._herald.change()

    def save(self, number: int, path: str | Path) -> Path:
        """Write a candidate as a recipe: a folder with JSON and safetensors, which `effwidgets.load` reads."""
        from effwidgets.transforms.recipes.recipe import save

        save(self._take(number), path)
        return Path(path)

    def _report_(self) -> SearchReport:
        return report_of(self, self._options)

    def _take(self, number: int) -> Applied:
        with self._book.lock:
            candidate = self._book.archive[number]
        if candidate.state != "done":
            why = f" ({candidate.note})" if candidate.note else ""
            raise InputError(f"Candidate {number} is {candidate.state}{why}; only one that is done can be applied.")
        with own_threads(self._options.workers):
            return self._model_of(candidate)

    def _model_of(self, candidate: Candidate) -> Applied:
        return self._shelf.take(candidate, lambda: self._workshop.build(candidate.plan))

    def _on_front(self) -> tuple[int, ...]:
        with self._book.lock:
            return tuple(known.number for known in self._book.archive.front(self._options.objectives[0]))

    def _ended(self) -> None:
        state = self._herald.tell()
        if len(self._ends):
            self._ends.tell(state or self.snapshot())
