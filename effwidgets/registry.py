"""A registry of named things that other packages can join by entry point."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from effwidgets.errors import InputError, UnknownNameError

__all__ = ["PluginWarning", "Registry"]

T = TypeVar("T")


class PluginWarning(UserWarning):
    """A plug-in announced by an entry point could not be loaded; it is left out."""


class Registry(Generic[T]):
    """Named things of one kind: ours and those that other packages announce.

    Entry points of ``group`` are loaded at the first use, not at import, and each at most once.
    One that raises is a `PluginWarning` and is left out; it never stops the rest.

    Args:
        kind: what is registered, as a noun; used in messages.
        group: the entry-point group to join, or None for a registry that is filled by hand only.
    """

    def __init__(self, kind: str, group: str | None = None) -> None:
        self._kind = kind
        self._group = group
        self._items: dict[str, T] = {}
        self._joined = group is None
        self._joining = False
        self._lock = threading.RLock()

    def add(self, name: str, item: T) -> T:
        """Register ``item`` under ``name`` and return it.

        Raises:
            InputError: the name is taken by something else.
        """
        if name in self._items and self._items[name] is not item:
            message = f"The {self._kind} {name!r} is registered already; choose another name or remove it first."
            raise InputError(message)
        self._items[name] = item
        return item

    def remove(self, name: str) -> None:
        """Forget ``name``; unknown names are answered with the known ones."""
        self[name]
        del self._items[name]

    def _join(self) -> None:
        if self._joined or self._group is None:
            return
        with self._lock:  # another thread waits until all are there
            if self._joined or self._joining:  # a plug-in that asks while it is loaded sees what came before it
                return
            self._joining = True
            try:
                for point in sorted(entry_points(group=self._group), key=lambda point: point.name):
                    self._load(point)
                self._joined = True
            finally:
                self._joining = False

    def _load(self, point: EntryPoint) -> None:
        if point.name in self._items:
            return
        try:
            item = point.load()
        except Exception as error:  # noqa: BLE001  a foreign package may raise anything
            message = f"The {self._kind} {point.name!r} ({point.value}) could not be loaded and is left out: {error!r}"
            warnings.warn(message, PluginWarning, stacklevel=4)
            return
        self._items[point.name] = item

    def __getitem__(self, name: str) -> T:
        self._join()
        try:
            return self._items[name]
        except KeyError:
            raise UnknownNameError(self._kind, name, sorted(self._items)) from None

    def __contains__(self, name: object) -> bool:
        self._join()
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        self._join()
        return iter(sorted(self._items))

    def __len__(self) -> int:
        self._join()
        return len(self._items)

    def items(self) -> tuple[tuple[str, T], ...]:
        """Return all names with what they stand for, sorted by name."""
        return tuple((name, self[name]) for name in self)

    def added(self) -> tuple[tuple[str, T], ...]:
        """Return what was added by hand in this process, sorted by name: another one does not find it by itself."""
        announced = entry_points(group=self._group).names if self._group is not None else set()
        return tuple((name, item) for name, item in self.items() if name not in announced)

    def __repr__(self) -> str:
        return f"Registry({self._kind!r}: {', '.join(self)})"
