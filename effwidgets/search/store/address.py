"""A search in a database that Optuna knows: for a team, on many machines."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from effwidgets.errors import InputError, StoreError, UnknownNameError
from effwidgets.records import Budget, Candidate, Rung
from effwidgets.search.store.base import Header
from effwidgets.search.store.heads import check_same, completed
from effwidgets.search.store.ledger import Ledger
from effwidgets.search.store.life import StudyLife
from effwidgets.search.store.owners import Owner
from effwidgets.search.store.place import Place
from effwidgets.search.store.studies import STUDY, kept_header, quiet, study_in
from effwidgets.search.store.tensors import Shelves

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage

__all__ = ["AddressStore"]

_TRIES = 6


class AddressStore:
    """Keeps claims and results in a database; what was trained in a folder that all machines reach.

    What stands behind a ``#`` is ours: the name of the study, where a database holds several searches, and the folder.

    Args:
        address: of Optuna's storage: ``"sqlite:///search.db"``, ``"postgresql://user@host/team"``,
            ``"postgresql://host/team#resnet"``, ``"postgresql://host/team#name=resnet&tensors=/shared/resnet"``.
        tensors: folder for trained states, instead of the one in the address. Without either a search that trains is
            refused; others need none, since a plan makes its model again.

    Raises:
        InputError: no address.

    >>> AddressStore("sqlite:///search.db#resnet").keeps_tensors
    False
    """

    def __init__(self, address: str, *, tensors: str | Path | None = None) -> None:
        if not isinstance(address, str) or "://" not in address:
            raise InputError(f"The address is {address!r}; one such as 'sqlite:///search.db' was expected.")
        self._url, _, ours = address.partition("#")
        asked = _asked(ours)
        self._name = asked.get("name", STUDY)
        folder = tensors if tensors is not None else asked.get("tensors")
        self._shelves = None if folder is None else Shelves(Path(folder).absolute())
        self._ledger: Ledger | None = None
        self._owner: Owner | None = None
        self._life: StudyLife | None = None
        self._database: RDBStorage | None = None

    @property
    def keeps_tensors(self) -> bool:
        """Whether there is a folder for trained states."""
        return self._shelves is not None

    @property
    def notes(self) -> tuple[str, ...]:
        """How many claims of processes that died were freed."""
        lost = 0 if self._ledger is None else self._ledger.lost
        what = "candidate was" if lost == 1 else "candidates were"
        return (f"{lost} {what} being tried by a process that ended; free again.",) if lost else ()

    @property
    def _where(self) -> str:
        # Without the password, which may stand between the colon and the at sign.
        scheme, _, rest = self._url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}#{self._name}"

    def open(self, header: Header) -> tuple[Candidate, ...]:
        """Begin or go on with a search; see `Store.open`.

        Raises:
            StoreError: the database cannot be reached, or keeps another search of that name.
        """
        self.close()
        storage = self._reached()
        try:
            with quiet():
                study = study_in(storage, self._name, completed(header))
            check_same(kept_header(storage, study, self._where), header, self._where)
        except StoreError:
            raise
        except Exception as error:
            raise self._unreached(error) from error
        self._owner = Owner.new()
        self._life = StudyLife(storage, study, self._owner)
        place = Place(
            storage=storage,
            study=study,
            where=self._where,
            alone=contextlib.nullcontext,
            together=contextlib.nullcontext,
            dead=self._life.is_dead,
        )
        try:
            self._life.begin()
        except Exception as error:
            self.close()
            raise StoreError(
                f"{self._where} could not be written: {type(error).__name__}: {error}. Look at the rights there; "
                "nothing was changed."
            ) from error
        self._ledger = Ledger(place, header, self._owner)
        return self._ledger.candidates()

    def _reached(self) -> BaseStorage:
        from optuna.storages import RDBStorage, get_storage

        # Seconds that a writer waits for another one's; SQLite's own 5 are few beside a slow disk.
        waiting = {"connect_args": {"timeout": 60}} if self._url.startswith("sqlite") else {"pool_pre_ping": True}
        for last in range(_TRIES):
            try:
                with quiet():
                    self._database = RDBStorage(self._url, engine_kwargs=waiting)
                    return get_storage(self._database)
            except Exception as error:
                # Two processes that make the tables at once: one of them fails, and finds them the next time.
                if last == _TRIES - 1 or not _is_databases(error):
                    raise self._unreached(error) from error
                time.sleep(0.1 * 2**last)
        raise AssertionError

    def _unreached(self, error: Exception) -> StoreError:
        return StoreError(
            f"{self._where} cannot be opened as a storage of Optuna: {type(error).__name__}: {error}. Look at the "
            "address, at the rights there, and at whether the driver of that database is installed."
        )

    def _book(self) -> Ledger:
        if self._ledger is None:
            raise StoreError(f"{self._where} is not open: call open(header) first.")
        return self._ledger

    def _folder(self, number: int) -> Shelves:
        if self._shelves is None:
            raise StoreError(
                f"Candidate {number} was trained, and a database keeps no tensors. Name a folder for them: "
                f"'{self._url}#name={self._name}&tensors=FOLDER', one that all machines reach."
            )
        return self._shelves

    def begin(self, candidate: Candidate, most: int | None = None) -> int | None:
        """Claim a plan at a rung; see `Store.begin`."""
        return self._book().begin(candidate, most)

    def put(self, candidate: Candidate) -> None:
        """Keep a result; see `Store.put`."""
        self._book().put(candidate)

    def put_tensors(self, number: int, rung: Rung, tensors: bytes) -> None:
        """Keep a trained state in the folder.

        Raises:
            StoreError: there is none, or it could not be written.
        """
        self._folder(number).put(number, rung, tensors)

    def put_recipe(self, number: int, recipe: str) -> None:
        """Keep a recipe in the folder, where there is one."""
        if self._shelves is not None:
            self._shelves.put_recipe(number, recipe)

    def tensors(self, number: int, rung: Rung | None = None) -> bytes | None:
        """Return the trained state of a rung, or of the highest; None without a folder."""
        return None if self._shelves is None else self._shelves.get(number, rung)

    def news(self) -> tuple[Candidate, ...]:
        """Return what other processes began, finished or gave up since this was asked last."""
        return self._book().news()

    def set_budgets(self, budgets: tuple[Budget, ...]) -> None:
        """Let results from now on say how far they are beyond these limits."""
        self._book().set_budgets(budgets)

    def close(self) -> None:
        """Give back what is claimed; may be called twice."""
        ledger, self._ledger = self._ledger, None
        try:
            if ledger is not None:
                ledger.close()
        finally:
            if self._life is not None:
                self._life.end()
            if self._owner is not None:
                self._owner.gone()
            self._life = self._owner = None
            database, self._database = self._database, None
            if database is not None:
                database.remove_session()
                database.engine.dispose()  # the connections of other threads too; a team's database has few to spare

    def __repr__(self) -> str:
        return f"AddressStore({self._where!r})"


def _asked(ours: str) -> dict[str, str]:
    if "=" not in ours:
        return {"name": ours} if ours else {}
    asked = {name: values[-1] for name, values in parse_qs(ours, keep_blank_values=True).items()}
    for name in asked:
        if name not in ("name", "tensors"):
            raise UnknownNameError("part of an address behind its #", name, ("name", "tensors"))
    return {name: value for name, value in asked.items() if value}


def _is_databases(error: Exception) -> bool:
    # The database refused, as opposed to a missing driver or an address that cannot be read.
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    return isinstance(error, IntegrityError | OperationalError | ProgrammingError | StorageInternalError)
