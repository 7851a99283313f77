"""From what the user wrote to the place that it means."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from effwidgets.errors import InputError
from effwidgets.search.store.address import AddressStore
from effwidgets.search.store.base import Store
from effwidgets.search.store.folder import FolderStore
from effwidgets.search.store.memory import MemoryStore

__all__ = ["Where", "store_of"]

Where: TypeAlias = str | Path | Store | None
"""Nothing: in memory. A folder. The address of an Optuna storage. A store that was made already."""


def store_of(where: Where) -> Store:
    """Return the store that ``where`` means; nothing is written before it is opened.

    Args:
        where: None keeps the search in memory; a path is a folder; text with ``://`` is the address of an Optuna
            storage (see `AddressStore`).

    Raises:
        InputError: something else.

    >>> store_of("runs/resnet")  # doctest: +ELLIPSIS
    FolderStore('...resnet')
    """
    if where is None:
        return MemoryStore()
    if isinstance(where, str) and "://" in where:
        return AddressStore(where)
    if isinstance(where, str | Path) and str(where) not in ("", "."):
        return FolderStore(where)
    if isinstance(where, Store):
        return where
    raise InputError(
        f"store is {where!r}; None for memory, the name of a folder, or the address of an Optuna storage "
        "('postgresql://host/team') was expected."
    )
