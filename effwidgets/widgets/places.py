"""In which cell a widget was made, so that the next run of the cell can close it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Place", "here"]


@dataclass(frozen=True, slots=True)
class Place:
    """A run of a cell: its id where the front end tells it (JupyterLab does), the request, cells deleted since."""

    cell: str = ""
    request: str = ""
    deleted: tuple[str, ...] = ()

    def replaces(self, older: Place) -> bool:
        """Say whether what was made at ``older`` is off the page now: its cell ran again, or was deleted."""
        ran_again = bool(self.cell) and self.cell == older.cell and self.request != older.request
        return ran_again or (bool(older.cell) and older.cell in self.deleted)


def here() -> Place:
    """Return the place of the request being handled; an empty one outside of a kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return Place()
    parent: Mapping[str, Any] = kernel.get_parent() or {}
    metadata = parent.get("metadata") or {}
    return Place(
        str(metadata.get("cellId") or ""),
        str((parent.get("header") or {}).get("msg_id") or ""),
        tuple(map(str, metadata.get("deletedCells") or ())),
    )
