"""The Optuna study that a search is kept in: found or made, with the header in it."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from effwidgets.errors import StoreError
from effwidgets.search.store.base import Header
from effwidgets.search.store.files import told
from effwidgets.search.store.heads import read_header, write_header

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

__all__ = ["STUDY", "header_in_log", "is_foreign", "kept_header", "quiet", "study_in"]

STUDY = "effwidgets"
"""The name of the study, where no other is asked for."""

_HEADER = "header"
_LOOKED_AT = 64  # lines of a log: the header is among the first three


def study_in(storage: BaseStorage, name: str, header: Header) -> int:
    """Return the study of that name; made, with its header, where it is missing.

    The first objective is the score; the costs follow, as the header names them.
    """
    from optuna.exceptions import DuplicatedStudyError
    from optuna.study import StudyDirection

    score = StudyDirection.MAXIMIZE if header.better == "higher" else StudyDirection.MINIMIZE
    try:
        study = storage.get_study_id_from_name(name)
    except KeyError:
        try:
            directions = [score, *(StudyDirection.MINIMIZE for _ in header.objectives)]
            study = storage.create_new_study(directions, name)
        except DuplicatedStudyError:  # another process was faster
            study = storage.get_study_id_from_name(name)
    if _HEADER not in storage.get_study_user_attrs(study):
        if storage.get_all_trials(study, deepcopy=False):
            raise StoreError(f"The study {name!r} was not made by effwidgets. Name another one, or another place.")
        names = [header.metric or "score", *header.objectives]
        storage.set_study_user_attr(study, _HEADER, write_header(header))
        storage.set_study_system_attr(study, "study:metric_names", names)  # what Optuna's dashboard labels axes with
    return study


def kept_header(storage: BaseStorage, study: int, where: str) -> Header:
    """Return the header that a study was made with.

    Raises:
        StoreError: a newer schema, or none.
    """
    return read_header(str(storage.get_study_user_attrs(study).get(_HEADER, "{}")), where)


def header_in_log(path: Path) -> str | None:
    """Return the header that a journal file holds, without opening it as a storage; None where it holds none.

    Raises:
        StoreError: the file cannot be read.
    """
    with told(f"{path} could not be read"), path.open("rb") as file:
        for _, line in zip(range(_LOOKED_AT), file, strict=False):
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                continue
            attribute = entry.get("user_attr") if isinstance(entry, dict) and "trial_id" not in entry else None
            if isinstance(attribute, dict) and _HEADER in attribute:
                return str(attribute[_HEADER])
    return None


def is_foreign(path: Path) -> bool:
    """Say whether a journal file holds another study than ours.

    Raises:
        StoreError: the file cannot be read.
    """
    with told(f"{path} could not be read"), path.open("rb") as file:
        for line in file:
            if b'"study_name"' not in line:
                continue
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(entry, dict) and entry.get("study_name") != STUDY:
                return True
    return False


class _Hush(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.thread != self._thread or record.levelno > logging.INFO


@contextmanager
def quiet() -> Iterator[None]:
    """Let Optuna's storages not tell this thread's user of each study that they make."""
    hush = _Hush()
    loggers = [logging.getLogger(f"optuna.storages.{room}") for room in ("journal._storage", "_rdb.storage")]
    for logger in loggers:
        logger.addFilter(hush)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(hush)
