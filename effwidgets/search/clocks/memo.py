"""What pieces of models took, kept on disk: one line of JSON a timing, in the user's cache folder.

A cache and no more: what cannot be read is measured again, what cannot be written is kept for this process alone.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Memo", "Timed", "cache_folder", "shared_memo"]

_FILE: Final = "pieces-1.jsonl"  # another layout gets another number, so that no reader has to guess
_MOST: Final = 20_000  # lines; of more the newer half stays


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One piece beside what would stand in its place, in seconds of one call.

    Attributes:
        before_s: the piece as it is, the median.
        after_s: ``before_s`` and the median of the differences, round by round.
        error_s: half-width of a 95% interval of the difference.
        repeats: rounds.
    """

    before_s: float
    after_s: float
    error_s: float
    repeats: int


def cache_folder() -> Path:
    """Return where measurements are kept.

    ``EFFWIDGETS_CACHE`` where it is set; else "effwidgets" in the user's cache folder: ``XDG_CACHE_HOME``, or where
    the system has it.
    """
    own = os.environ.get("EFFWIDGETS_CACHE")
    if own:
        return Path(own)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(base)) / "effwidgets"  # noqa: PTH111  expanduser of Path raises without a home


class Memo:
    """Timings by a key, in memory and in a file that several processes may use at once.

    A line is appended by one write, so that lines of two processes do not mix. Lines that cannot be read, whatever
    happened to them, are left out, and the file is written anew without them.

    Args:
        folder: where the file lies; it is made when there is something to write. None: memory alone.

    >>> memo = Memo(None)
    >>> memo.put("a", Timed(before_s=2.0, after_s=1.0, error_s=0.1, repeats=9))
    >>> memo.get("a").after_s, memo.get("b")
    (1.0, None)
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / _FILE
        self._found: dict[str, Timed] = {}
        self._read_bytes = -1

    def get(self, key: str) -> Timed | None:
        """Return what is known; also what another process has measured meanwhile."""
        if key not in self._found:
            self._read()
        return self._found.get(key)

    def put(self, key: str, timed: Timed) -> None:
        """Keep a timing, in the file too where it can be written."""
        self._found[key] = timed
        if self._path is None:
            return
        line = json.dumps([key, timed.before_s, timed.after_s, timed.error_s, timed.repeats]) + "\n"
        with contextlib.suppress(OSError):  # read-only, full, or not a folder
            self._path.parent.mkdir(parents=True, exist_ok=True)
            number = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(number, line.encode())
            finally:
                os.close(number)

    def _read(self) -> None:
        if self._path is None:
            return
        with contextlib.suppress(OSError):
            size = self._path.stat().st_size
            if size == self._read_bytes:
                return
            lines = self._path.read_bytes().split(b"\n")
            self._read_bytes = size
            read = [_timing(line) for line in lines if line]
            good = [found for found in read if found is not None]
            self._found = dict(good) | self._found
            if len(good) < len(read) or len(good) > _MOST:
                self._write(good[-_MOST // 2 :] if len(good) > _MOST else good)

    def _write(self, kept: list[tuple[str, Timed]]) -> None:
        # Beside it first, then in its place: nobody reads half of it. A line appended meanwhile is measured again.
        assert self._path is not None  # noqa: S101  `_read` looked
        number, name = tempfile.mkstemp(dir=self._path.parent, prefix=_FILE)
        with os.fdopen(number, "w", encoding="utf-8") as file:
            for key, timed in kept:
                row = [key, timed.before_s, timed.after_s, timed.error_s, timed.repeats]
                file.write(json.dumps(row) + "\n")
        Path(name).replace(self._path)
        self._read_bytes = self._path.stat().st_size


def _timing(line: bytes) -> tuple[str, Timed] | None:
    # None for a line that is not one of ours, whole.
    try:
        key, before_s, after_s, error_s, repeats = json.loads(line)
        values = [float(value) for value in (before_s, after_s, error_s)]
        if isinstance(key, str) and isinstance(repeats, int) and all(0 <= value < float("inf") for value in values):
            return key, Timed(before_s=values[0], after_s=values[1], error_s=values[2], repeats=repeats)
    except (ValueError, TypeError):
        pass
    return None


def shared_memo() -> Memo:
    """Return the memo of this process for the folder of the user."""
    return _memo(cache_folder())


@functools.cache
def _memo(folder: Path) -> Memo:
    return Memo(folder)
