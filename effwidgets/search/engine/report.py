"""What a report of a search says beside its candidates: where it ran, what was asked, how to do it again."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import torch

from effwidgets.errors import InputError
from effwidgets.records import Candidate, Detail, Doubt, Score, SearchReport, StudyState, Volumes
from effwidgets.search.clocks.where import processor
from effwidgets.search.engine.options import SearchOptions
from effwidgets.search.engine.recipe import code_of

__all__ = ["Searched", "report_of"]

_LEAST = 0.01  # chances below that are not worth a reader's time
_FRONT = 60  # candidates of a front that are compared with all others
_VERSIONS = ("effwidgets", "torch", "numpy", "optuna")


class Searched(Protocol):
    """What a report asks a study for."""

    def snapshot(self) -> StudyState: ...  # noqa: D102
    def history(self, axis: str = ...) -> tuple[float, ...]: ...  # noqa: D102
    def contributions(self, axis: str = ...) -> tuple[Score, ...]: ...  # noqa: D102
    def best(self) -> Candidate: ...  # noqa: D102
    def p_dominates(self, a: int, b: int, *, axis: str = ...) -> float: ...  # noqa: D102


def report_of(study: Searched, options: SearchOptions) -> SearchReport:
    """Gather the report of a search as it stands; it may still be running."""
    state = study.snapshot()
    chosen = _chosen(study, state)
    return SearchReport(
        state=state,
        made=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        environment=tuple(_environment(options)),
        asked=tuple(_asked(options, state)),
        histories=tuple(
            Volumes(axis=front.axis, volumes=study.history(front.axis), contributions=study.contributions(front.axis))
            for front in state.fronts
        ),
        doubts=tuple(_doubts(study, state)),
        chosen=chosen,
        code=code_of(options, chosen[0] if chosen else None, safe_address(options.store)),
    )


def safe_address(store: str | Path | None) -> str | None:
    """Return where a search is kept, without the password that an address may hold.

    >>> safe_address("postgresql://me:secret@host/search"), safe_address("runs/a"), safe_address(None)
    ('postgresql://me:***@host/search', 'runs/a', None)
    """
    if store is None:
        return None
    text = str(store)
    parts = urlsplit(text)
    if "@" not in parts.netloc:
        return text
    user, _, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    return urlunsplit(parts._replace(netloc=f"{name}{':***' if colon else ''}@{host}", query=""))


def _environment(options: SearchOptions) -> Iterator[Detail]:
    for name in _VERSIONS:
        try:
            yield Detail(name=name, value=metadata.version(name))
        except metadata.PackageNotFoundError:
            continue
    yield Detail(name="Python", value=platform.python_version())
    yield Detail(name="System", value=f"{platform.system()} {platform.release()}, {platform.machine()}")
    cores = os.cpu_count() or 1
    yield Detail(name="Processor", value=f"{processor()}, {cores} core{'s' if cores != 1 else ''}")
    if torch.cuda.is_available():
        yield Detail(name="Accelerator", value=torch.cuda.get_device_name())
    threads = torch.get_num_threads()
    share = max(1, cores // options.workers)
    said = f"{threads} of this process" + (f"; {share} for each of {options.workers} workers" * (options.workers > 1))
    yield Detail(name="Threads", value=said)


def _asked(options: SearchOptions, state: StudyState) -> Iterator[Detail]:
    yield Detail(name="Score", value=f"{state.metric}, {options.better} is better")
    yield Detail(name="Saved beside it", value=", ".join(options.objectives))
    trials = "the seeds alone" if options.trials is None else f"{options.trials} beside the dense model"
    yield Detail(name="Trials", value=trials)
    yield Detail(name="Sampler", value=f"{options.sampler}, seed {options.seed}")
    yield Detail(name="Plans", value="those of the advice" if options.plans is None else f"{len(options.plans)} given")
    tuned = "none" if options.finetune is None else f"{_name_of(options.finetune)}, at most {options.finetuned} in full"
    yield Detail(name="Training", value=tuned)
    yield Detail(name="Ranked before training by", value=options.guide)
    yield Detail(name="Calibration data", value="none" if options.calibration is None else "given")
    if options.time_limit_s is not None:
        yield Detail(name="Time limit of a call", value=f"{options.time_limit_s:g} s")
    where = "in this process" if options.executor is None else _name_of(options.executor)
    yield Detail(name="Run", value=f"{where}, {options.workers} at once")
    yield Detail(name="Kept", value=safe_address(options.store) or "in memory")


def _name_of(thing: object) -> str:
    if isinstance(thing, str):
        return thing
    return str(getattr(thing, "__name__", None) or type(thing).__name__)


def _chosen(study: Searched, state: StudyState) -> tuple[int, ...]:
    # What was applied, the best that keeps the budgets, the knee along each objective.
    found = [state.applied]
    if state.budgets:
        with contextlib.suppress(InputError):  # no candidate keeps them
            found.append(study.best().number)
    found += [front.knee for front in state.fronts if front.axis in state.objectives]
    dense = {known.number for known in state.candidates if known.rung == "dense"}
    return tuple(number for number in dict.fromkeys(found) if number is not None and number not in dense)


def _doubts(study: Searched, state: StudyState) -> Iterator[Doubt]:
    known = {one.number: one for one in state.candidates if one.state == "done" and one.scores}
    for front in state.fronts:
        placed = [one.number for one in known.values() if _error(one, front.axis) is not None]
        for number in front.numbers[:_FRONT]:
            if number not in placed:
                continue
            rivals = [(study.p_dominates(other, number, axis=front.axis), other) for other in placed if other != number]
            chance, by = max(rivals, default=(0.0, number))
            if chance >= _LEAST:
                yield Doubt(axis=front.axis, number=number, by=by, chance=chance)


def _error(candidate: Candidate, axis: str) -> float | None:
    return next((one.error for one in candidate.measures if one.metric == axis), None)
