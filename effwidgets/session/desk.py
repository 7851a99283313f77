"""The suggestion list as it is worked on: previews, what was applied, how far the work is."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from effwidgets.profiling import Call
from effwidgets.records import Desk, Outcome, Progress, Skip, Suggestions
from effwidgets.session.publisher import PUBLISHER
from effwidgets.transforms import Applied, hypothetical
from effwidgets.transforms.apply import LEFT_OUT
from effwidgets.views import suggestions as suggestions_view

__all__ = ["Workbench"]


class Workbench:
    """Holds the `Desk` of a session and lays each new state of it on the board."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._lock = threading.Lock()
        self._desk: Desk | None = None

    @property
    def desk(self) -> Desk | None:
        """The state now; None before the first list."""
        return self._desk

    def lay(self, suggestions: Suggestions, stack: Sequence[Applied]) -> None:
        """Put a new list on the desk; what was applied stays, found again in the new list by its steps."""
        with self._lock:
            self._desk = Desk(
                suggestions=suggestions,
                applied=_outcome(stack[-1], suggestions) if stack else None,
                undo=len(stack),
                progress=Progress(state="done"),
            )
        self.publish()

    def preview(self, model: nn.Module, call: Call, indices: tuple[int, ...]) -> None:
        """Profile what the chosen suggestions would make of the model, without building it."""
        desk = self._desk
        if desk is None:
            return
        outcome = None
        if indices:
            after = hypothetical(model, desk.suggestions.plan(*indices), call)
            left_out = [note for note in after.notes if note.startswith(LEFT_OUT)]
            undone = tuple(Skip(transform="", layers=(), reason=note) for note in left_out)
            outcome = Outcome(indices=indices, cost=after.cost, memory=after.memory, skipped=undone)
        self._change(preview=outcome)

    def applied(self, stack: Sequence[Applied]) -> None:
        """Show what holds now: the last of ``stack``, or the model as it came."""
        if self._desk is None:
            return
        last = stack[-1] if stack else None
        outcome = None if last is None else _outcome(last, self._desk.suggestions)
        mended = f", {last.repaired.seconds:.1f} s of it repair" if last and last.repaired else ""
        note = "" if last is None else f"Applied in {last.seconds:.1f} s{mended}."
        self._change(applied=outcome, undo=len(stack), progress=Progress(state="done", message=note))

    def progress(self, progress: Progress) -> None:
        """Say how far the work is."""
        if self._desk is not None:
            self._change(progress=progress)

    def _change(self, **changes: Any) -> None:
        with self._lock:
            if self._desk is not None:
                self._desk = dataclasses.replace(self._desk, **changes)
        self.publish()

    def publish(self) -> None:
        """Lay the desk as it stands on the board, soon."""
        PUBLISHER.mark(self._origin, "suggestions", self.payload)

    def payload(self) -> Mapping[str, Any] | None:
        """Return what the suggestion list is drawn from; None before the first list."""
        desk = self._desk
        return None if desk is None else suggestions_view.payload(desk)


def _outcome(applied: Applied, suggestions: Suggestions) -> Outcome:
    asked = set(applied.plan)
    return Outcome(
        indices=tuple(index for index, suggestion in enumerate(suggestions) if suggestion.step in asked),
        cost=applied.profile.cost,
        memory=applied.profile.memory,
        edits=applied.edits,
        skipped=applied.skipped,
    )
