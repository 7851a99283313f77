"""Optuna's journal file, written so that a kill or a full disk costs at most the line that was being written."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend

from effwidgets.errors import StoreError
from effwidgets.search.store.files import told
from effwidgets.search.store.lock import FolderLock
from effwidgets.search.store.log import cut, damage_of

__all__ = ["Journal", "read_refused"]

_log = logging.getLogger(__name__)


class Journal(JournalFileBackend):
    """The file ``study.log``: readable by Optuna and its dashboard, safe for several writers.

    Args:
        path: the file.
        lock: taken around each writing, instead of Optuna's own; readers take it too, since what could not be
            written in full is taken back.
    """

    def __init__(self, path: Path, lock: FolderLock) -> None:
        self._path = path
        self._own_lock = lock
        self._together: list[dict[str, Any]] | None = None
        self.notes: list[str] = []
        with told(f"{path} could not be written"):
            super().__init__(str(path))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries, each on a line.

        Raises:
            StoreError: they could not be written; the log is as it was before.
        """
        if self._together is not None:
            self._together += logs
            return
        lines = "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in logs).encode()
        with self._own_lock, told(f"{self._path} could not be written"):
            handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            try:
                self._write(handle, lines)
            finally:
                os.close(handle)

    def _write(self, handle: int, lines: bytes) -> None:
        size = os.fstat(handle).st_size
        # Somebody was killed while it wrote: what follows its half line would be lost with it.
        if size and os.lseek(handle, size - 1, os.SEEK_SET) >= 0 and os.read(handle, 1) != b"\n":
            self.repair()
            size = os.fstat(handle).st_size
        try:
            rest = memoryview(lines)
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
        except BaseException:
            with contextlib.suppress(OSError):  # what is left then is a torn end, which the next one cuts off
                os.ftruncate(handle, size)
            raise

    def repair(self) -> None:
        """Cut a torn end off; say so in `notes`.

        Raises:
            StoreError: the damage is in the middle.
        """
        with self._own_lock:
            damage = damage_of(self._path)
            if damage is not None:
                note = cut(self._path, damage)
                _log.warning(note)
                self.notes.append(note)

    @contextmanager
    def one_append(self) -> Iterator[None]:
        """Collect what the body appends and write it at once, for the price of one; nothing when the body raises.

        What the body reads of the storage is as it was before.
        """
        if self._together is not None:
            yield
            return
        self._together = []
        try:
            yield
            logs = self._together
        finally:
            self._together = None
        if logs:
            self.append_logs(logs)


def read_refused(path: Path, error: Exception) -> StoreError:
    """Return what to say of a log that Optuna cannot read although each line is sound."""
    return StoreError(
        f"{path} cannot be read by the Optuna that is installed ({type(error).__name__}: {error}). Nothing was "
        "changed. Install the Optuna that wrote it, or begin in another folder."
    )
