"""Who wants to hear of a search."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

from effwidgets.records import StudyState

__all__ = ["Listener", "Listeners"]

Listener: TypeAlias = Callable[[StudyState], None]

_log = logging.getLogger(__name__)


class Listeners:
    """Functions that are called with a state; one that raises is logged and does not stop the others."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()

    def add(self, listener: Listener) -> Callable[[], None]:
        """Add a function; returns how to take it out again."""
        self._listeners = (*self._listeners, listener)

        def stop() -> None:
            self._listeners = tuple(held for held in self._listeners if held is not listener)

        return stop

    def __len__(self) -> int:
        return len(self._listeners)

    def tell(self, state: StudyState) -> None:
        """Call them all, on this thread."""
        for listener in self._listeners:
            try:
                listener(state)
            except Exception:  # noqa: BLE001  a screen that fails must not stop the search
                _log.exception("A listener of the search of %s failed.", state.title)
