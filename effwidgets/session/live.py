"""What a running search lays on the board: its Pareto view, and one line for the panel."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from effwidgets.records import StudyState
from effwidgets.session.publisher import PUBLISHER
from effwidgets.views import pareto as pareto_view

if TYPE_CHECKING:
    from effwidgets.search import Study

__all__ = ["follow"]


def follow(study: Study) -> None:
    """Publish every change of ``study`` under its origin, as the views "pareto" and "run"."""
    ref = weakref.ref(study)

    def pareto() -> Mapping[str, Any] | None:
        alive = ref()
        return None if alive is None else pareto_view.payload(alive.snapshot())

    def run() -> Mapping[str, Any] | None:
        alive = ref()
        return None if alive is None else run_line(alive.snapshot())

    def changed(state: StudyState) -> None:
        PUBLISHER.mark(state.origin, "pareto", pareto)
        PUBLISHER.mark(state.origin, "run", run)

    study.subscribe(changed)


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
