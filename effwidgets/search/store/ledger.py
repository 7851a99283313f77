"""Claims and results in an Optuna study: numbers are given and plans are taken in the order of its log.

A trial is one attempt: of a plan nobody had (it gives the plan the next number), of a plan that was given up, or of a
climb. A trial that found an earlier one of its plan, or at its rung, withdraws. So no plan is tried twice, also where
several processes write at once and only the storage decides whose line is first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from effwidgets.errors import EffError, StoreError
from effwidgets.records import Budget, Candidate, Plan, Rung
from effwidgets.search.store.base import Header, plan_key
from effwidgets.search.store.claims import Claim, height
from effwidgets.search.store.owners import Owner
from effwidgets.search.store.trials import (
    CANDIDATE,
    CLAIM,
    NOTE,
    NUMBER,
    PLAN,
    RUNG,
    candidate_in,
    constraints_of,
    outcome,
    template,
)

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

__all__ = ["Ledger", "Place"]

_WITHDRAWN = "withdrawn"


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


class Ledger:
    """Who has which plan, and what came of it.

    Args:
        place: where it stands.
        header: of the search.
        owner: of the claims made here.
    """

    def __init__(self, place: Place, header: Header, owner: Owner) -> None:
        self._place = place
        self._header = header
        self._me = str(owner)
        self._budgets: tuple[Budget, ...] = ()
        self._lock = threading.RLock()
        self._claims: dict[str, Claim] = {}
        self._order: list[Claim] = []
        self._seen = 0
        self._open: dict[int, tuple[Claim, str]] = {}  # running trials and whose they are, by trial
        self._mine: dict[int, int] = {}  # own running trials, by number
        self._records: dict[int, FrozenTrial] = {}  # the last trial with a result, by number
        self._news: dict[int, None] = {}
        self.lost = 0

    @contextmanager
    def _looking(self) -> Iterator[None]:
        with self._lock, self._guarded(), self._place.alone():
            self._look()
            yield

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except EffError:
            raise
        except Exception as error:
            raise StoreError(
                f"{self._place.where} could not be read or written: {type(error).__name__}: {error}. What was kept "
                "before is intact. Mend that, then start the search again."
            ) from error

    # --- reading
