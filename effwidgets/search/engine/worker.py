"""The thread of a search: tries candidate after candidate, and says where it stands."""

from __future__ import annotations

import atexit
import dataclasses
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Literal, TypeAlias

from effwidgets.errors import Cancelled, InputError, ModelError, SearchError
from effwidgets.profiling.timing.alone import working
from effwidgets.records import Candidate, Plan
from effwidgets.search.engine.gate import Gate, own_threads
from effwidgets.search.engine.options import SearchOptions
from effwidgets.search.engine.runner import Runner, failure_text, marks_of, sentence, skipped_text
from effwidgets.search.engine.shelf import Shelf
from effwidgets.search.fronts.archive import Archive
from effwidgets.search.fronts.axes import AXES, cost_axes, measures_of
from effwidgets.search.selection.ladder import ladder

__all__ = ["Stage", "Worker"]

Stage: TypeAlias = Literal["idle", "running", "paused", "finished", "cancelled", "failed"]

_log = logging.getLogger(__name__)
_RUNNING: weakref.WeakSet[Worker] = weakref.WeakSet()
_LAST_WAIT_S = 5.0


@atexit.register
def _end_all() -> None:
    # A thread that the interpreter drops in the middle of a torch kernel takes the process down with an abort.
    for worker in list(_RUNNING):
        worker.gate.cancel()
    for worker in list(_RUNNING):
        if worker.thread is not None:
            worker.over.wait(_LAST_WAIT_S)
            worker.thread.join(_LAST_WAIT_S)


class Worker:
    """Works through the archive in one daemon thread.

    ``archive``, ``stage`` and ``message`` are read and changed under ``lock``; ``tell`` is called outside of it,
    after each change, on the thread that made it.

    Args:
        runner: makes and scores one candidate.
        options: the search's.
        tell: hears of each change; True when a run has ended.
    """

    def __init__(self, runner: Runner, options: SearchOptions, tell: Callable[[bool], None]) -> None:
        self.lock = threading.RLock()
        self.gate = Gate()
        self.archive = Archive(options.better, options.box, cost_axes())
        self.shelf = Shelf(options.keep)
        self.stage: Stage = "idle"
        self.message = ""
        self.error: SearchError | None = None
        self.thread: threading.Thread | None = None
        # Waited for instead of the thread: a join that Ctrl-C interrupts takes the thread for dead (CPython 3.11).
        self.over = threading.Event()
        self.laid = False
        self._runner = runner
        self._options = options
        self._tell = tell
        self._lay((Plan(),))
        if options.plans is not None:
            self._lay(options.plans)
            self.laid = True

    @property
    def active(self) -> bool:
        """Whether a run has begun and not ended."""
        return self.stage in ("running", "paused")

    @property
    def metric(self) -> str:
        """Name of the main score."""
        scores = self.archive[0].scores
        return scores[0].metric if scores else self._options.score_name

    def start(self, name: str) -> None:
        """Begin, go on with what a cancelled run left, or resume; returns at once."""
        with self.lock:
            if self.active:
                self.gate.resume()
                return
            self.gate.open()
            self.error = None
            self.stage, self.message = "running", "Starts"
            self.over = threading.Event()
            self.thread = threading.Thread(target=self._work, args=(self.over,), name=name, daemon=True)
            self.thread.start()
            _RUNNING.add(self)
        self._tell(False)  # noqa: FBT003

    def wish(self, ask: Callable[[], None], message: str) -> None:
        """Pass on a wish to the gate, and say what it will do."""
        with self.lock:
            ask()
            if self.active:
                self.message = message
        self._tell(False)  # noqa: FBT003

    def seconds_left(self) -> float | None:
        """Estimate from the mean of the compressed candidates so far; None before the first, and when not running."""
        everything = [self.archive[number] for number in range(1, len(self.archive))]
        spent = [known.seconds for known in everything if known.state == "done"]
        if not self.active or not self.laid or not spent:
            return None
        left = sum(known.state in ("planned", "running", "cancelled") for known in everything)
        return left * sum(spent) / len(spent)

    def _work(self, over: threading.Event) -> None:
        try:
            self._run()
        finally:
            over.set()

    def _run(self) -> None:
        stage: Stage = "finished"
        message = ""
        try:
            with own_threads(self._options.workers):
                self._try_all()
        except Cancelled:
            stage, message = "cancelled", "Cancelled; what was finished is kept"
        except SearchError as error:
            stage, message, self.error = "failed", str(error), error
        except BaseException as error:  # noqa: BLE001  what a plug-in raises outside of a candidate must reach wait()
            _log.exception("A search stopped.")
            self.error = SearchError(f"The search stopped: {sentence(failure_text(error))} What it finished is kept.")
            self.error.__cause__ = error
            stage, message = "failed", str(self.error)
        with self.lock:
            failed = sum(known.state == "failed" for known in self.archive.begun())
            done = f"{len(self.archive.done())} scored{f', {failed} failed' if failed else ''}"
            self.stage, self.message = stage, message or done
        self._tell(True)  # noqa: FBT003

    def _try_all(self) -> None:
        if self.archive[0].state != "done":
            with working():
                self._try(0)
        if not self.laid:
            self._say("running", "Laying out what to try")
            runner = self._runner
            plans = ladder(runner.model, runner.call, calibration=runner.calibration, check=self.gate.check)
            with self.lock:
                self._lay(plans)
                self.laid = True
        for number in self.archive.waiting():
            self.gate.hold(self._held)
            with working():  # a measurement of time elsewhere is waited for, and waits for this
                self._try(number)

    def _lay(self, plans: tuple[Plan, ...]) -> None:
        first = len(self.archive)
        self.archive.plan((plan, self._options.seed + first + place) for place, plan in enumerate(plans))

    def _try(self, number: int) -> None:
        planned = self.archive[number]
        rung = "dense" if number == 0 else self._runner.rung
        self._say("running", f"Trying candidate {number}" if number else "Scoring the dense model")
        blank = Candidate(number=number, plan=planned.plan, rung=rung, state="running", seed=planned.seed)
        self._put(blank)
        began = time.monotonic()
        try:
            done = self._measure(blank)
            self._put(dataclasses.replace(done, state="done", seconds=time.monotonic() - began))
        except Cancelled:
            self._drop(number, "cancelled", "Cancelled before it was scored", began)
            raise
        except BaseException as error:
            self._drop(number, "failed", failure_text(error), began)
            if not isinstance(error, Exception):  # sys.exit() or an interrupt: no candidate is left as if it ran
                raise
            if number == 0:
                # What is wrong with the model or the data says itself what to do.
                advice = "Call evaluate(model) yourself until it returns a finite number, then"
                advice = "Then" if isinstance(error, InputError | ModelError) else advice
                raise SearchError(
                    f"The dense model could not be scored. {sentence(failure_text(error))} "
                    f"{advice} start the search again."
                ) from error

    def _measure(self, blank: Candidate) -> Candidate:
        number = blank.number
        applied = self._runner.build(blank, self.gate.check)
        measures, unmeasured = measures_of(applied.profile)
        built = dataclasses.replace(
            blank,
            edits=applied.edits,
            cost=applied.profile.cost,
            memory=applied.profile.memory,
            parent=0 if number else None,
            note=" ".join(filter(None, (skipped_text(applied), unmeasured))),
            measures=measures,
        )
        self._put(built)
        trained = number != 0 and self._runner.finetune(applied, self.gate)
        before = marks_of(applied.model)
        scores = self._runner.score(applied, self.gate, self.metric if number else None)
        changed = marks_of(applied.model) != before
        if changed and trained:
            built = dataclasses.replace(built, note=f"{built.note} evaluate changed the model; it is kept so.".strip())
        # One that evaluate wrote into is not what was scored; its plan makes it again.
        if number and (trained or not changed):
            with self.lock:
                dear = [known.number for known in self.archive.front(AXES[0])]
            self.shelf.put(number, applied, trained=trained, dear=dear)
        return dataclasses.replace(built, scores=scores)

    def _drop(self, number: int, state: Literal["cancelled", "failed"], note: str, began: float) -> None:
        known = self.archive[number]
        self._put(dataclasses.replace(known, state=state, note=note, seconds=time.monotonic() - began))

    def _put(self, candidate: Candidate) -> None:
        with self.lock:
            self.archive.put(candidate)
        self._tell(False)  # noqa: FBT003

    def _held(self, begins: bool) -> None:  # noqa: FBT001  what `Gate.hold` calls
        self._say("paused" if begins else "running", "Paused" if begins else "Goes on")

    def _say(self, stage: Stage, message: str) -> None:
        with self.lock:
            self.stage = stage
            # What was wished last is more to the point than what goes on.
            self.message = self.message if stage == "running" and self.gate.wished else message
        self._tell(False)  # noqa: FBT003
