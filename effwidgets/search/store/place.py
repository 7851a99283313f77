"""Where a ledger stands: a study in a storage, and what that storage can promise."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from effwidgets.search.store.owners import Owner

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

__all__ = ["Place"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A study in a storage.

    Attributes:
        storage: Optuna's.
        study: number of the study in it.
        where: how to call it in a message.
        alone: taken around each look and writing: nobody else writes then, where the place can promise that.
        together: taken around writings that belong together.
        dead: whether the process behind a claim has ended.
    """

    storage: BaseStorage
    study: int
    where: str
    alone: Callable[[], AbstractContextManager[object]]
    together: Callable[[], AbstractContextManager[object]]
    dead: Callable[[Owner], bool]
