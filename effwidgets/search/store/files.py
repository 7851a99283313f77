"""Files that are whole or not there: written aside, flushed to the disk, then moved into place."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from effwidgets.errors import StoreError

__all__ = ["ASIDE", "flush_folder", "told", "write_whole"]

ASIDE = ".aside-"
"""How the names of files begin that are being written."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn an error of the file system into one that says what to do.

    Raises:
        StoreError: the body raised an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            advice = "The disk is full. Everything before it is intact: make room and start the search again."
        elif isinstance(error, PermissionError) or error.errno == errno.EROFS:
            advice = "It may not be written there: name a folder of your own, or ask for the right to."
        else:
            advice = "Everything before it is intact: mend that, or name another place, and start the search again."
        raise StoreError(f"{what}: {error.strerror or error}. {advice}") from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is the old one or the new one, whenever the machine stops.

    Raises:
        StoreError: it could not be written; what stood there is as it was.
    """
    aside = path.with_name(f"{ASIDE}{os.getpid()}-{uuid.uuid4().hex[:8]}-{path.name}")
    with told(f"{path} could not be written"):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with aside.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise
        flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Make the names in a folder last, where the system can."""
    with contextlib.suppress(OSError):  # not every file system lets a folder be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
