"""A search in a folder: a log that Optuna reads, recipes as JSON, tensors as safetensors; no pickle."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from effwidgets.errors import EffError, StoreError
from effwidgets.records import Budget, Candidate, Rung
from effwidgets.search.store.base import Header
from effwidgets.search.store.files import ASIDE, told, write_whole
from effwidgets.search.store.heads import check_same, completed, read_header, write_header
from effwidgets.search.store.ledger import Ledger
from effwidgets.search.store.life import FileLife
from effwidgets.search.store.lock import FolderLock
from effwidgets.search.store.owners import Owner
from effwidgets.search.store.place import Place
from effwidgets.search.store.studies import STUDY, header_in_log, is_foreign, kept_header, quiet, study_in
from effwidgets.search.store.tensors import Shelves

if TYPE_CHECKING:
    from effwidgets.search.store.journal import Journal

__all__ = ["FolderStore"]

_HEAD, _LOG, _LOCK, _ALIVE = "study.json", "study.log", ".lock", ".alive"
_STALE_S = 3600.0


class FolderStore:
    """Keeps a search in a folder of this machine, or of one that several machines share.

    ``study.json`` says what it is a search of. ``study.log`` is Optuna's journal, one trial for each candidate and
    each climb: ``optuna-dashboard study.log`` shows it. ``candidates/<number>/`` holds what was trained, as a recipe
    that `effwidgets.load` reads. Several processes may work on one folder at once.

    Args:
        folder: made where it is missing.

    >>> from effwidgets.search.store.base import Store
    >>> isinstance(FolderStore("search"), Store)
    True
    """

    keeps_tensors = True

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder).absolute()
        self._shelves = Shelves(self._folder / "candidates")
        self._lock = FolderLock(self._folder / _LOCK)
        self._ledger: Ledger | None = None
        self._journal: Journal | None = None
        self._owner: Owner | None = None
        self._life: FileLife | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was repaired on opening, and how many claims of dead processes were freed."""
        repaired = () if self._journal is None else tuple(self._journal.notes)
        lost = 0 if self._ledger is None else self._ledger.lost
        what = "candidate was" if lost == 1 else "candidates were"
        return (*repaired, f"{lost} {what} being tried by a process that ended; free again.") if lost else repaired

    def open(self, header: Header) -> tuple[Candidate, ...]:
        """Begin or go on with a search; see `Store.open`.

        Raises:
            StoreError: the folder cannot be used, holds something else or another search, a newer schema, or a log
                that is damaged elsewhere than at its end. Nothing is changed then.
        """
        self.close()
        self._check_kept(header)
        with told(f"{self._folder} could not be made"):
            self._folder.mkdir(parents=True, exist_ok=True)
        try:
            with self._lock:
                return self._opened(completed(header))
        except BaseException:
            self.close()
            raise

    def _check_kept(self, header: Header) -> None:
        # Reads alone, so that what is refused is left as it was.
        head, log = self._folder / _HEAD, self._folder / _LOG
        with told(f"{self._folder} could not be read"):
            if self._folder.exists() and not self._folder.is_dir():
                raise StoreError(f"{self._folder} is a file; the name of a folder was expected.")
            there = sorted(item.name for item in self._folder.iterdir()) if self._folder.is_dir() else []
            text = head.read_text(encoding="utf-8") if _HEAD in there else None
        kept = header_in_log(log) if _LOG in there else None
        if text is not None and (kept is None or _sound(text, str(head))):
            kept = text
        strange = [name for name in there if not name.startswith(".")]
        if kept is None and strange and strange != [_LOG]:
            raise StoreError(
                f"{self._folder} is not empty ({strange[0]} is in it) and keeps no search. Name an empty folder or a "
                "new one."
            )
        if _LOG in there and is_foreign(log):
            raise StoreError(f"{log} is a log of something else than a search of effwidgets. Name another folder.")
        if _HEAD in there and (_LOG not in there or not log.stat().st_size):
            state = "empty" if _LOG in there else "missing"
            raise StoreError(
                f"{log} is {state}, and {_HEAD} beside it says that a search was kept there. Nothing was changed. "
                "Put the log back, or begin in another folder."
            )
        if kept is not None:
            check_same(read_header(kept, str(self._folder)), header, str(self._folder))

    def _opened(self, header: Header) -> tuple[Candidate, ...]:
        from optuna.storages import JournalStorage

        from effwidgets.search.store.journal import Journal, read_refused

        self._sweep()
        self._journal = Journal(self._folder / _LOG, self._lock)
        self._journal.repair()
        self._owner = Owner.new()
        self._life = FileLife(self._folder / _ALIVE, self._owner)
        try:
            with quiet():
                storage = JournalStorage(self._journal)
                study = study_in(storage, STUDY, header)
            known = kept_header(storage, study, str(self._folder))
        except EffError:
            raise
        except Exception as error:
            raise read_refused(self._folder / _LOG, error) from error
        check_same(known, header, str(self._folder))
        if not _sound(self._head_text(), _HEAD):
            write_whole(self._folder / _HEAD, write_header(known).encode())
        place = Place(
            storage=storage,
            study=study,
            where=str(self._folder),
            alone=lambda: self._lock,
            together=self._journal.one_append,
            dead=self._life.is_dead,
        )
        self._ledger = Ledger(place, header, self._owner)
        found = self._ledger.candidates()
        self._life.begin()
        return found

    def _head_text(self) -> str:
        try:
            return (self._folder / _HEAD).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return ""

    def _sweep(self) -> None:
        # What processes that died were writing aside.
        now = time.time()
        for path in [*self._folder.glob(f"{ASIDE}*"), *self._folder.glob(f"candidates/*/{ASIDE}*")]:
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime > _STALE_S:
                    path.unlink()

    def _book(self) -> Ledger:
        if self._ledger is None:
            raise StoreError(f"{self._folder} is not open: call open(header) first.")
        return self._ledger

    def begin(self, candidate: Candidate, most: int | None = None) -> int | None:
        """Claim a plan at a rung; see `Store.begin`."""
        return self._book().begin(candidate, most)

    def put(self, candidate: Candidate) -> None:
        """Keep a result; see `Store.put`."""
        self._book().put(candidate)

    def put_tensors(self, number: int, rung: Rung, tensors: bytes) -> None:
        """Keep a trained state in ``candidates/<number>/``."""
        self._shelves.put(number, rung, tensors)

    def put_recipe(self, number: int, recipe: str) -> None:
        """Keep a recipe in ``candidates/<number>/``."""
        self._shelves.put_recipe(number, recipe)

    def tensors(self, number: int, rung: Rung | None = None) -> bytes | None:
        """Return the trained state of a rung, or of the highest."""
        return self._shelves.get(number, rung)

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
            self._lock.close()

    def __repr__(self) -> str:
        return f"FolderStore({str(self._folder)!r})"


def _sound(text: str, where: str) -> bool:
    # A newer schema is sound: what it says is what it is refused for.
    try:
        read_header(text, where)
    except StoreError as error:
        return "newer" in str(error)
    return True
