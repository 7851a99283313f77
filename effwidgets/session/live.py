"""What a running search lays on the board: its Pareto view, and one line for the panel."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from effwidgets.records import StudyState
from effwidgets.session.publisher import PUBLISHER
from effwidgets.views import pareto as pareto_view
from effwidgets.widgets.board import BOARD

if TYPE_CHECKING:
    from effwidgets.search import Study

__all__ = ["follow", "forget", "publish", "run_line"]


def follow(study: Study) -> None:
    """Publish every change of ``study`` under its origin, as the views "pareto" and "run"."""
    ref = weakref.ref(study)

    def changed(_: StudyState) -> None:
        alive = ref()
        if alive is not None:
            publish(alive)

    study.subscribe(changed)


def publish(study: Study) -> None:
    """Lay the study as it stands on the board, soon."""
    ref = weakref.ref(study)

    def state() -> StudyState | None:
        alive = ref()
        return None if alive is None else alive.snapshot()

    def pareto() -> Mapping[str, Any] | None:
        now = state()
        return None if now is None else pareto_view.payload(now)

    def run() -> Mapping[str, Any] | None:
        now = state()
        return None if now is None else run_line(now)

    PUBLISHER.mark(study.origin, "pareto", pareto)
    PUBLISHER.mark(study.origin, "run", run)


def forget(origin: str) -> None:
    """Drop what is still to be sent, and what is remembered, of an origin that ended."""
    PUBLISHER.forget(origin)
    BOARD.forget(origin)


def run_line(state: StudyState) -> dict[str, Any]:
    """Return what the panel says of a search: title, state, how many of how many."""
    return {
        "origin": state.origin,
        "title": state.title,
        "state": state.state,
        "done": sum(candidate.state in ("done", "failed", "cancelled") for candidate in state.candidates),
        "planned": state.planned,
        "message": state.message,
    }
