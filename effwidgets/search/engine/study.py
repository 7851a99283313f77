"""A search: tries plans one after the other in a thread of its own, and keeps what it found."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from torch import nn

from effwidgets.errors import InputError, SearchError
from effwidgets.profiling.calls import Inputs, as_call
from effwidgets.records import Candidate, Json, Shown, StudyState, show
from effwidgets.search.engine.compare import Comparison, compare
from effwidgets.search.engine.gate import own_threads
from effwidgets.search.engine.listeners import Listener, Listeners
from effwidgets.search.engine.options import Evaluate, SearchOptions
from effwidgets.search.engine.runner import Runner
from effwidgets.search.engine.worker import Worker
from effwidgets.search.fronts.axes import place_on
from effwidgets.search.selection.budget import amount_text, limit_of

if TYPE_CHECKING:
    from effwidgets.transforms.apply import Applied
    from effwidgets.transforms.calibration import Calibration

__all__ = ["Study", "explore"]


def explore(
    model: nn.Module,
    inputs: Inputs,
    *,
    evaluate: Evaluate,
    options: SearchOptions | None = None,
    origin: str = "",
) -> Study:
    """Prepare a search; nothing runs before `Study.start` or `Study.run`.

    The study works on a copy of ``model`` made here, so you may go on training yours.

    Args:
        model: the dense model.
        inputs: what it is called with, as for `profile`.
        evaluate: scores a model in evaluation mode: a number, or a dict of numbers of which the first is the main one.
            It is called on the study's thread; one that raises or returns no finite number fails that candidate only.
        options: plans, calibration, fine-tuning, limits.
        origin: name of the session that shows it.

    Raises:
        InputError: no module, one that cannot be copied, or an ``evaluate`` that cannot be called.

    Example:
        >>> import torch
        >>> from effwidgets.records import Plan, Step, settings
        >>> model = torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4)).eval()
        >>> x = torch.eye(16)
        >>> target = model(x).argmax(1)
        >>> def agreement(candidate):
        ...     return (candidate(x).argmax(1) == target).double().mean().item()
        >>> step = Step(transform="low_rank", layers=("0",), settings=settings(rank=4))
        >>> study = explore(model, x, evaluate=agreement, options=SearchOptions(plans=(Plan(steps=(step,)),)))
        >>> [candidate.cost.macs for candidate in study.run().candidates()]
        [5120, 3072]
    """
    chosen = options or SearchOptions()
    if not isinstance(chosen, SearchOptions):
        raise InputError(f"options is {type(chosen).__name__}; SearchOptions(calibration=..., ...) was expected.")
    runner = Runner(model, as_call(inputs), evaluate, chosen)
    return Study(runner, chosen, title=type(model).__name__, origin=origin)


class Study(Shown):
    """A search over plans; `explore` makes one. Nothing runs before `start` or `run`.

    Candidate 0 is the dense model and is scored first. A candidate that cannot be made or scored is marked failed
    and the search goes on; when the dense model cannot be scored, the search fails. All methods may be called from
    any thread. `cancel` takes effect at the candidate's next forward; an ``evaluate`` that hangs elsewhere, or never
    calls the model itself, is not stopped before it returns.

    Attributes:
        origin: name of the session that shows it; "" when none does.
        selection: numbers of the candidates selected in its live view.
        adopt: what is done to each `Applied` before `apply` returns it; a session sets it.
    """

    def __init__(self, runner: Runner, options: SearchOptions, *, title: str, origin: str = "") -> None:
        self.origin = origin
        self.selection: tuple[int, ...] = ()
        self.adopt: Callable[[Applied], Applied] = lambda applied: applied
        self._title = title
        self._runner = runner
        self._options = options
        self._applied: list[int] = []
        self._changes = Listeners()
        self._ends = Listeners()
        self._worker = Worker(runner, options, self._tell)

    @property
    def calibration(self) -> Calibration | None:
        """The real inputs that candidates are fitted and repaired on."""
        return self._runner.calibration

    def start(self) -> Self:
        """Begin, go on with what a cancelled run left, or resume; returns at once."""
        self._worker.start(f"effwidgets-study-{self._title}")
        return self

    def run(self) -> Self:
        """Run to the end and return the study. Ctrl-C cancels: what is finished is kept.

        Raises:
            SearchError: the dense model could not be scored.
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
        """Stand still when the candidate now being tried is finished."""
        self._worker.wish(self._worker.gate.pause, "Pauses when this candidate is finished")

    def resume(self) -> None:
        """Go on after `pause`."""
        self._worker.wish(self._worker.gate.resume, "Goes on")

    def cancel(self) -> None:
        """Stop at the next forward of the candidate; what is finished is kept. `start` goes on with the rest."""
        self._worker.wish(self._worker.gate.cancel, "Stops at the next forward")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run ends; False when that takes longer than ``timeout`` seconds.

        Raises:
            InputError: it was never started.
            SearchError: the dense model could not be scored.
        """
        worker = self._worker
        if worker.thread is None:
            raise InputError("This search was never started. Call run(), or start() and then wait().")
        if worker.thread is not threading.current_thread():
            worker.over.wait(timeout)
        if worker.error is not None:
            raise worker.error
        return not worker.active

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with each new state, on the thread that changed it; returns how to stop that."""
        return self._changes.add(listener)

    def on_finished(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with the last state of each run to come, however it ends; returns how to stop that."""
        return self._ends.add(listener)

    def snapshot(self) -> StudyState:
        """Return the state of this moment, fronts included."""
        worker = self._worker
        with worker.lock:
            return StudyState(
                title=self._title,
                metric=worker.metric,
                better=self._options.better,
                state=worker.stage,
                candidates=worker.archive.begun(),
                planned=len(worker.archive) if worker.laid else 0,
                message=worker.message,
                seconds_left=worker.seconds_left(),
                fronts=worker.archive.fronts(),
                applied=self._applied[-1] if self._applied else None,
                origin=self.origin,
            )

    def candidates(self) -> tuple[Candidate, ...]:
        """Return the candidates begun so far, by number."""
        with self._worker.lock:
            return self._worker.archive.begun()

    def front(self, axis: str = "macs") -> tuple[Candidate, ...]:
        """Return the candidates that no other beats in score and ``axis``, from cheap to dear.

        Raises:
            UnknownNameError: no such axis; the message names those there are.
        """
        with self._worker.lock:
            return self._worker.archive.front(axis)

    def best(self, budget: float | str | None = None, *, axis: str = "macs") -> Candidate:
        """Return the candidate with the best score within a budget, the cheapest of equals.

        Args:
            budget: a share of the dense model's cost up to 1, an amount above, or text such as "40%"; None for any.
            axis: the cost that the budget is for.

        Raises:
            InputError: nothing is scored yet, the budget leaves nothing, or no candidate keeps it; the message says
                what can be reached.
        """
        archive = self._worker.archive
        with self._worker.lock:
            reached = archive.front(axis)
            costs = [archive.point(known, axis)[0] for known in reached]
            dense = place_on(axis, archive[0])
        if not reached:
            what = f"both a score and a number for {axis}" if self.candidates() else "a score"
            raise InputError(f"No candidate has {what} yet. Run the search first.")
        if budget is None or dense is None:
            return reached[-1]
        limit = limit_of(budget, axis, dense)
        within = [known for known, cost in zip(reached, costs, strict=True) if cost <= limit]
        if not within:
            raise InputError(
                f"No candidate keeps {axis} within {amount_text(axis, limit)}. The smallest on the front, candidate "
                f"{reached[0].number}, needs {amount_text(axis, costs[0])}."
            )
        return within[-1]

    def compare(self, a: int, b: int) -> Comparison:
        """Return how candidate ``b`` differs from candidate ``a``: cost, scores, and layer by layer."""
        with self._worker.lock:
            return compare(self._worker.archive[a], self._worker.archive[b])

    def apply(self, number: int) -> Applied:
        """Return a candidate's model, trained if it was, as a copy of the caller's own.

        A model that is no longer in memory is made again from its plan and scores the same.

        Raises:
            UnknownNameError: no candidate of that number.
            InputError: the candidate has no score.
        """
        applied = self._take(number)
        self._applied.append(number)
        self._tell()
        return self.adopt(applied)

    def unapply(self) -> None:
        """Take back that a candidate was applied last: the one before it holds again."""
        if self._applied:
            self._applied.pop()
            self._tell()

    def save(self, number: int, path: str | Path) -> Path:
        """Write a candidate as a recipe: a folder with JSON and safetensors, which `effwidgets.load` reads."""
        from effwidgets.transforms.recipes.recipe import save

        save(self._take(number), path)
        return Path(path)

    def _take(self, number: int) -> Applied:
        with self._worker.lock:
            candidate = self._worker.archive[number]
        if candidate.state != "done":
            why = f" ({candidate.note})" if candidate.note else ""
            raise InputError(f"Candidate {number} is {candidate.state}{why}; only one that is done can be applied.")
        with own_threads(self._options.workers):
            return self._worker.shelf.take(number, lambda: self._runner.build(candidate))

    def _tell(self, ended: bool = False) -> None:  # noqa: FBT001, FBT002  what the worker calls
        if len(self._changes) or (ended and len(self._ends)):
            state = self.snapshot()
            self._changes.tell(state)
            if ended:
                self._ends.tell(state)

    def _ipython_display_(self) -> None:
        state = self.snapshot()
        show(state, None if _ended(state) else self._when_ended)

    def _when_ended(self, listener: Listener) -> None:
        # The run may end while its view is being made; then nobody would call.
        stop = self.on_finished(listener)
        state = self.snapshot()
        if _ended(state):
            stop()
            listener(state)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Json:
        return self.snapshot()._repr_mimebundle_(include, exclude)

    def view(self) -> Any:
        """Return a live view of the search, a widget; see `StudyState.view`."""
        return self.snapshot().view()

    def to_plotly(self, view: str | None = None, *, by: str | None = None) -> Any:
        """Return a plotly figure of the search as it stands; see `StudyState.to_plotly`."""
        return self.snapshot().to_plotly(view, by=by)

    def __repr__(self) -> str:
        return repr(self.snapshot()).replace("StudyState(", "Study(", 1)


def _ended(state: StudyState) -> bool:
    return state.state in ("finished", "cancelled", "failed")
