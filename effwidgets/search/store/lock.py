"""One process at a time in a folder; a lock that ends with the process that holds it, however that ends."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from effwidgets.errors import StoreError
from effwidgets.search.store.files import told

__all__ = ["FolderLock"]

_LONGEST_WAIT_S = 120.0


class FolderLock:
    """A lock that one thread may take several times, on a file that stays.

    The lock of Optuna's own journal is a link that a killed process leaves behind: the next one waits 30 s for it.
    This one is the system's (``flock``): it is gone when the process is.

    Args:
        path: the file; made where it is missing.

    Raises:
        StoreError: on taking it: the file cannot be made, the file system has no locks, or somebody held it too long.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inside = threading.RLock()
        self._depth = 0
        self._handle: int | None = None

    def __enter__(self) -> Self:
        self._inside.acquire()
        try:
            if self._depth == 0:
                self._take()
            self._depth += 1
        except BaseException:
            self._inside.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0 and self._handle is not None:
            _unlock(self._handle)
        self._inside.release()

    def _take(self) -> None:
        with told(f"{self._path} could not be locked"):
            if self._handle is None:
                self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            until, pause = time.monotonic() + _LONGEST_WAIT_S, 0.0005
            while not _lock(self._handle):
                if time.monotonic() > until:
                    raise StoreError(
                        f"{self._path} was locked for {_LONGEST_WAIT_S:g} s by another process. It stands still: end "
                        "it, then start the search again."
                    )
                time.sleep(pause)
                pause = min(2 * pause, 0.02)

    def close(self) -> None:
        """Let the file go."""
        with self._inside:
            if self._handle is not None and self._depth == 0:
                os.close(self._handle)
                self._handle = None


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> bool:
        os.lseek(handle, 0, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def _unlock(handle: int) -> None:
        os.lseek(handle, 0, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
