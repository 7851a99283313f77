"""How something that goes on shows itself: a live view now, the static picture when it has ended."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from effwidgets.records import Json, SearchReport, Shown, StudyState, show, write_page
from effwidgets.search.engine.listeners import Listener

__all__ = ["Live"]


class Live(Shown):
    """A search as a notebook shows it: by the state of the moment."""

    @abstractmethod
    def snapshot(self) -> StudyState:
        """Return the state of this moment."""

    @abstractmethod
    def on_finished(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with the last state; returns how to stop that."""

    @abstractmethod
    def _report_(self) -> SearchReport:
        """Return what the report of the search says."""

    def report(self, path: str | Path) -> Path:
        """Write the search as one HTML file that needs no network: fronts, candidates, recipes, how to do it again.

        Works while it runs, too: the file then holds what there is.

        Returns:
            The path written.

        Raises:
            InputError: the file cannot be written.
        """
        return write_page(self, path)

    def _ipython_display_(self) -> None:
        state = self.snapshot()
        show(state, None if _is_over(state) else self._when_ended)

    def _when_ended(self, listener: Listener) -> None:
        # The run may end while its view is being made; then nobody would call.
        stop = self.on_finished(listener)
        state = self.snapshot()
        if _is_over(state):
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


def _is_over(state: StudyState) -> bool:
    return state.state in ("finished", "cancelled", "failed")
