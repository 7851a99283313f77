"""Signs of life, for processes on other machines: nobody can look there, so those that live say so now and then."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from effwidgets.search.store.owners import Owner, is_dead

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

__all__ = ["Beat", "FileLife", "StudyLife"]

_log = logging.getLogger(__name__)
_EVERY_S = 30.0
_SILENT_S = 600.0
_STUDY_EVERY_S = 120.0
_STUDY_SILENT_S = 3600.0


class Beat:
    """A daemon thread that calls ``sign`` every ``every_s`` seconds."""

    def __init__(self, sign: Callable[[], None], every_s: float) -> None:
        self._sign = sign
        self._every_s = every_s
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._go, name="effwidgets-store", daemon=True)
        self._thread.start()

    def _go(self) -> None:
        while not self._over.wait(self._every_s):
            try:
                self._sign()
            except Exception:  # noqa: BLE001  a sign that is missed is made up for by the next
                _log.debug("A sign of life could not be given.", exc_info=True)

    def end(self) -> None:
        """Stop; a sign that is being given is waited for."""
        self._over.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(5.0)


class FileLife:
    """Signs of life as files, compared by the clock of the file system alone.

    A process of this machine is looked for. One of another machine counts as dead when it was silent for ten minutes;
    those that live touch their file twice a minute.
    """

    def __init__(self, folder: Path, owner: Owner) -> None:
        self._folder = folder
        self._own = folder / owner.token
        self._beat = Beat(self._touch, _EVERY_S)

    def begin(self) -> None:
        """Begin to give signs."""
        self._touch()
        self._beat.begin()

    def end(self) -> None:
        """Stop, and take the own file away."""
        self._beat.end()
        with contextlib.suppress(OSError):
            self._own.unlink(missing_ok=True)

    def _touch(self) -> None:
        with contextlib.suppress(OSError):  # a full disk costs a sign, not the search
            self._folder.mkdir(exist_ok=True)
            self._own.touch()

    def is_dead(self, owner: Owner) -> bool:
        """Say whether the process behind a claim has ended, or must be taken for it."""
        seen = is_dead(owner)
        if seen is not None:
            return seen
        self._touch()
        try:
            now = self._own.stat().st_mtime
        except OSError:
            return False  # without a clock nobody is taken for dead
        try:
            return now - (self._folder / owner.token).stat().st_mtime > _SILENT_S
        except OSError:
            return True  # it closed its store, or never opened it to the end


class StudyLife:
    """Signs of life as attributes of a study, by the clocks of the machines: an hour of silence counts as death."""

    def __init__(self, storage: BaseStorage, study: int, owner: Owner) -> None:
        self._storage = storage
        self._study = study
        self._name = _name(owner)
        self._beat = Beat(self._sign, _STUDY_EVERY_S)

    def begin(self) -> None:
        """Begin to give signs, the first before anything is claimed."""
        self._sign()
        self._beat.begin()

    def end(self) -> None:
        """Stop."""
        self._beat.end()

    def _sign(self) -> None:
        moment = datetime.now(tz=UTC).isoformat(timespec="seconds")
        self._storage.set_study_user_attr(self._study, self._name, moment)

    def is_dead(self, owner: Owner) -> bool:
        """Say whether the process behind a claim has ended, or must be taken for it."""
        seen = is_dead(owner)
        if seen is not None:
            return seen
        said = self._storage.get_study_user_attrs(self._study).get(_name(owner))
        try:
            return time.time() - datetime.fromisoformat(str(said)).timestamp() > _STUDY_SILENT_S
        except ValueError:
            return True


def _name(owner: Owner) -> str:
    return f"alive {owner.token}"
