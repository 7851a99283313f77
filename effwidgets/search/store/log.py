"""A log of lines, read as bytes: where it is damaged, and how to cut a damaged end off without losing it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from effwidgets.errors import StoreError
from effwidgets.search.store.files import told, write_whole

__all__ = ["Damage", "cut", "damage_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """The first place where a log cannot be read.

    Attributes:
        line: number of the line, from 1.
        start: bytes before it.
        size: bytes of the whole log.
        last: whether no line after it can be read, so that cutting it off loses nothing else.
    """

    line: int
    start: int
    size: int
    last: bool


def damage_of(path: Path) -> Damage | None:
    """Look at every line of a log; None when all can be read.

    A line is one entry: a JSON object with an ``op_code``, ended by a line feed. Lines after a damaged one are
    looked at too.

    Raises:
        StoreError: the file cannot be read.
    """
    first: tuple[int, int] | None = None
    start, last = 0, True
    with told(f"{path} could not be read"), path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if _is_entry(line):
                last = last and first is None
            elif first is None:
                first = number, start
            start += len(line)
    return None if first is None else Damage(line=first[0], start=first[1], size=start, last=last)


def _is_entry(line: bytes) -> bool:
    if not line.endswith(b"\n"):
        return False
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(entry, dict) and isinstance(entry.get("op_code"), int)


def cut(path: Path, damage: Damage) -> str:
    """Cut a damaged end off, keep a copy of it beside the log, and say so in a sentence.

    Raises:
        StoreError: lines after the damaged one can be read, so it is no torn end; or the disk refused.
    """
    if not damage.last:
        raise StoreError(
            f"{path} is damaged in line {damage.line}, and lines after it can be read: this is no end torn by a stop "
            "of the machine. Nothing was changed. Put a copy of the file back, or begin in another folder."
        )
    with told(f"{path} could not be repaired"):
        with path.open("rb") as file:
            file.seek(damage.start)
            torn = file.read()
        moment = datetime.now(tz=UTC).strftime("%Y%m%dT%H%M%S%f")
        kept = path.with_name(f"{path.name}.torn-{moment}")
        write_whole(kept, torn)
        os.truncate(path, damage.start)
    return (
        f"The end of {path} was torn, as when a process is killed while it writes: {len(torn)} bytes from line "
        f"{damage.line} on were cut off and are kept in {kept.name}. Every line before it is intact."
    )
