"""The thread of a search: it hands out orders, takes what comes back, and says where it stands."""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from effwidgets.errors import Cancelled, EffError, SearchError
from effwidgets.search.engine.book import Book, Stage
from effwidgets.search.engine.campaign import Campaign
from effwidgets.search.engine.gate import Gate
from effwidgets.search.engine.workshop import sentence
from effwidgets.transforms.sound import what_failed

if TYPE_CHECKING:
    from effwidgets.search.crews.crew import Crew

__all__ = ["Coordinator"]

_log = logging.getLogger(__name__)
_RUNNING: weakref.WeakSet[Coordinator] = weakref.WeakSet()
_LAST_WAIT_S = 5.0


@atexit.register
def _end_all() -> None:
    # A thread that the interpreter drops in the middle of a torch kernel takes the process down with an abort.
    for coordinator in list(_RUNNING):
        coordinator.cancel()
    for coordinator in list(_RUNNING):
        if coordinator.thread is not None:
            coordinator.over.wait(_LAST_WAIT_S)
            coordinator.thread.join(_LAST_WAIT_S)


class Coordinator:
    """Runs a campaign in one daemon thread, again after it was cancelled.

    Args:
        book: what the search knows.
        campaign: what it does from beginning to end, with a crew.
        crew: hires workers for one run.
        ended: is called at the end of each run, unless it was started again meanwhile.
    """

    def __init__(self, book: Book, campaign: Campaign, crew: Callable[[], Crew], ended: Callable[[], None]) -> None:
        self.gate: Gate = campaign.gate
        self.error: SearchError | None = None
        self.thread: threading.Thread | None = None
        # Waited for instead of the thread: a join that Ctrl-C interrupts takes the thread for dead (CPython 3.11).
        self.over = threading.Event()
        self._book = book
        self._campaign = campaign
        self._hire = crew
        self._crew: Crew | None = None
        self._ended = ended
        self._again = False  # whether to begin anew when the run that was cancelled ends

    def start(self, name: str) -> None:
        """Begin, go on with what a cancelled run left, or resume; returns at once."""
        book = self._book
        with book.lock:
            if book.active:
                self._again = self.gate.cancelled
                self.gate.resume()
                return
            self._open()
            self.over = threading.Event()
            self.thread = threading.Thread(target=self._work, args=(self.over,), name=name, daemon=True)
            self.thread.start()
            _RUNNING.add(self)
        self._campaign.tell()

    def pause(self) -> None:
        """Hand out nothing more for now."""
        self._wish(self.gate.pause, "Pauses when what is being tried is finished")

    def resume(self) -> None:
        """Go on after a pause."""
        self._wish(self.gate.resume, "Goes on")

    def cancel(self) -> None:
        """Stop for good, at the next forwards."""
        crew = self._crew  # before the wish: behind it may be that of a run that was started since
        self._again = False
        self._wish(self.gate.cancel, "Stops at the next forward")
        if crew is not None:
            crew.stop()

    def _wish(self, ask: Callable[[], None], message: str) -> None:
        with self._book.lock:
            ask()
            if self._book.active:
                self._book.message = message
        self._campaign.wake()
        self._campaign.tell()

    def _work(self, over: threading.Event) -> None:
        try:
            while self._run():
                self._campaign.tell()
            self._ended()
        finally:
            over.set()

    def _open(self) -> None:
        # Called with the lock held.
        self.gate.open()
        self.error, self._again = None, False
        self._book.stage, self._book.message = "running", "Starts"

    def _run(self) -> bool:
        # Whether to run again.
        stage: Stage = "finished"
        message = ""
        try:
            self._search()
        except Cancelled:
            stage, message = "cancelled", "Cancelled; what was finished is kept"
        except SearchError as error:
            stage, message, self.error = "failed", str(error), error
        except EffError as error:  # the workers cannot be sent the model, a plan names a layer that there is not
            self.error = SearchError(str(error))
            self.error.__cause__ = error
            stage, message = "failed", str(error)
        except BaseException as error:  # noqa: BLE001  what a plug-in raises outside of a candidate must reach wait()
            _log.exception("A search stopped.")
            self.error = SearchError(f"The search stopped: {sentence(what_failed(error))} What it finished is kept.")
            self.error.__cause__ = error
            stage, message = "failed", str(self.error)
        book = self._book
        with book.lock:
            failed = sum(known.state == "failed" for known in book.archive.begun())
            done = f"{len(book.archive.done())} scored{f', {failed} failed' if failed else ''}"
            if stage == "finished" and len(book.archive.begun()) == 1:
                done = "Only the dense model was scored: nothing was found to try; suggest() says at each place why"
            book.stage, book.message, book.climbs = stage, message or done, 0
            again = self._again
            if again:
                paused = self.gate.paused  # wished since
                self._open()
                if paused:
                    self.gate.pause()
        return again

    def _search(self) -> None:
        crew = self._crew = self._hire()
        try:
            self._campaign.run(crew)
        finally:
            self._crew = None
            crew.close()
