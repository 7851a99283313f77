"""A file that grows point by point, so that a killed process loses at most the point that it was at."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Final

from effwidgets.errors import InputError, SearchError
from effwidgets.records import Sensitivity, SensitivityPoint
from effwidgets.records.files import read_file, write_file

__all__ = ["Journal", "read_sensitivity", "with_points"]

_HEAD: Final = '{"format": "effwidgets", "version": '


class Journal:
    """The first line is the record without points, each further line one point, as `to_json` writes them.

    A last line that is cut short, as a killed process or a full disk leaves it, is dropped when it is gone on with.

    Args:
        path: the file; it need not be there.

    Attributes:
        earlier: what it held; None where there was no file, or an empty one.

    Raises:
        InputError: it cannot be read, or is something else.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.earlier: Sensitivity | None = None
        self._whole = 0  # bytes up to the end of the last whole line; 0 where it is to be written anew
        if self.path.exists():
            self.earlier, self._whole = _read(self.path)

    def begin(self, head: Sensitivity) -> None:
        """Write the head and the points that ``head`` has already; a file that has them is cut to its whole lines.

        Places of the file that this run does not look at stay in it.

        Raises:
            InputError: it cannot be written.
        """
        if not self.path.parent.is_dir():
            raise InputError(f"{self.path} could not be written: there is no folder {self.path.parent}. Make it first.")
        known = self.earlier
        sites = {row.site for row in head.rows}
        if known is not None:
            head = replace(head, rows=(*head.rows, *(row for row in known.rows if row.site not in sites)))
        if known is not None and self._whole and _has(known, head):
            try:
                with self.path.open("r+b") as file:
                    file.seek(self._whole)
                    if not file.read().endswith(b"}\n"):  # else another process has gone on meanwhile
                        file.truncate(self._whole)
            except OSError as error:
                raise InputError(f"{self.path} could not be written: {error}.") from error
            return
        rows = tuple(replace(row, points=()) for row in head.rows)
        lines = [replace(head, rows=rows).to_json(), *(point.to_json() for point in head.points)]
        beside = self.path.with_name(f"{self.path.name}.new")
        write_file(beside, "".join(f"{line}\n" for line in lines))
        beside.replace(self.path)  # the old one stays whole until the new one is

    def add(self, point: SensitivityPoint) -> None:
        """Add one point; when this returns it is on the disk.

        Raises:
            SearchError: it cannot be written, as on a full disk; what was there before stays.
        """
        line = f"{point.to_json()}\n".encode()
        try:
            with self.path.open("ab", buffering=0) as file:
                _append(file, line)
        except OSError as error:
            raise SearchError(
                f"{self.path} could not be written: {error}. What it has so far is whole: make room, and the same call "
                "goes on from there."
            ) from error


def read_sensitivity(path: str | Path) -> Sensitivity:
    """Read a record: what `Sensitivity.to_json` wrote, or the file of a run that may have been killed.

    Raises:
        InputError: no such file, or it is something else.

    >>> read_sensitivity("nowhere.jsonl")
    Traceback (most recent call last):
        ...
    effwidgets.errors.InputError: nowhere.jsonl could not be read: ...
    """
    found, _ = _read(Path(path))
    if found is None:
        raise InputError(f"{path} is empty.")
    return found


def _read(path: Path) -> tuple[Sensitivity | None, int]:
    text = read_file(path)
    lines = text.split("\n")
    cut = lines.pop()  # what stands behind the last line end: nothing, or a line that was cut short
    if not lines or text.lstrip().startswith("{\n"):
        # One record, perhaps indented; or a head that was cut short, which is as good as nothing.
        if not text.strip() or (cut and not lines and not _whole(cut) and _is_head(cut)):
            return None, 0
        if not text.lstrip().startswith("{"):
            raise InputError(f"{path} is no JSON: it begins with {text[:40]!r}. Name another file.")
        return Sensitivity.from_json(text), 0
    if not _whole(lines[-1]) and len(lines) > 1:  # garbage with a line end: a disk that failed
        lines.pop()
    if not lines[0].startswith("{"):
        raise InputError(f"{path} is no JSON: it begins with {lines[0][:40]!r}. Name another file.")
    head = Sensitivity.from_json(lines[0])
    points: dict[object, SensitivityPoint] = {point.step: point for point in head.points}
    for number, line in enumerate(lines[1:], start=2):
        try:
            point = SensitivityPoint.from_json(line if _whole(line) else "{")
        except InputError as error:
            raise InputError(
                f"Line {number} of {path} is damaged: {error} Take it out, or name another file."
            ) from error
        points[point.step] = point  # measured again later: the later one holds
    whole = sum(len(line.encode()) + 1 for line in lines)
    found = with_points(head, points.values())
    return replace(found, complete=all(len(row.points) >= row.planned for row in found.rows)), whole


def _has(known: Sensitivity, head: Sensitivity) -> bool:
    sites = {row.site for row in head.rows} <= {row.site for row in known.rows}
    return sites and known.base == head.base and set(head.points) <= set(known.points)


def _append(file: FileIO, line: bytes) -> None:
    # All of it or nothing.
    start = file.seek(0, os.SEEK_END)
    try:
        rest = line
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    except OSError:
        file.truncate(start)
        raise


def _is_head(line: str) -> bool:
    # Else it is a file of somebody's that only has no line end, which is not to be written over.
    return line.startswith(_HEAD) or _HEAD.startswith(line)


def _whole(line: str) -> bool:
    return line.startswith("{") and line.endswith("}")


def with_points(head: Sensitivity, points: Iterable[SensitivityPoint]) -> Sensitivity:
    """Put points where they belong, from weak to strong; what belongs nowhere is left out."""
    found: dict[tuple[str, tuple[str, ...]], list[SensitivityPoint]] = {}
    for point in points:
        found.setdefault((point.step.transform, point.step.layers), []).append(point)
    rows = []
    for row in head.rows:
        points = sorted(found.get(row.site, ()), key=lambda point: -point.kept)
        rows.append(replace(row, points=tuple(points), planned=max(row.planned, len(points))))
    return replace(head, rows=tuple(rows))
