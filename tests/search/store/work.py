"""What the tests of the store keep, and a coordinator's loop that they run in processes of their own and kill."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import optuna.storages.journal  # noqa: F401  here, so that the server below has it and a kill hits our own work
import sqlalchemy  # noqa: F401

from effwidgets.records import Candidate, Cost, Memory, Plan, Score, Step, settings
from effwidgets.search.store.base import Header, ModelMark
from effwidgets.search.store.open import store_of

HEADER = Header(
    model=ModelMark(name="Net", structure="s", values="v"),
    call="c",
    metric="accuracy",
    better="higher",
    objectives=("macs",),
)
COST = Cost(**{field.name: 1000 for field in dataclasses.fields(Cost)})
MEMORY = Memory(
    param_bytes=4,
    inference_peak_bytes=8,
    inference_peak_at="fc",
    saved_bytes=0,
    training_peak_bytes=None,
    training_peak_at=None,
)


def plan(place: int) -> Plan:
    """The dense model for 0, else one step."""
    if place == 0:
        return Plan()
    return Plan(steps=(Step(transform="low_rank", layers=("fc",), settings=settings(rank=place, method="svd")),))


def blank(place: int, rung: str = "zero-shot") -> Candidate:
    rung = rung if place else "dense"
    return Candidate(number=-1, plan=plan(place), rung=rung, state="running", seed=place, source="ladder")


def done(place: int, number: int, rung: str = "zero-shot", score: float | None = None) -> Candidate:
    value = score_of(place) if score is None else score
    return dataclasses.replace(
        blank(place, rung),
        number=number,
        state="done",
        cost=COST,
        memory=MEMORY,
        scores=(Score(metric="accuracy", value=value),),
    )


def score_of(place: int) -> float:
    return 1 / (1 + place)


def place_of(candidate: Candidate) -> int:
    return int(candidate.plan.steps[0].setting("rank")) if len(candidate.plan) else 0


# Processes that are forked from a server which has everything imported: cheap to start, so that many can be killed.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.search.store.work"])


def say(diary: Path, text: str) -> None:
    """Write a line that survives a kill: one write to a file that is only appended to."""
    handle = os.open(diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{text}\n".encode())
    os.close(handle)


def try_all(where: str, diary: Path, count: int, seed: int) -> None:
    """Try the plans 0 to ``count`` - 1, in an order of its own, until somebody has finished each."""
    order = random.Random(seed)  # noqa: S311  moments, not secrets
    store = store_of(where)
    known = {place_of(candidate): candidate.state for candidate in store.open(HEADER)}
    while True:
        for candidate in store.news():
            known[place_of(candidate)] = candidate.state
        open_ones = [place for place in range(count) if known.get(place) != "done"]
        if not open_ones:
            break
        place = order.choice(open_ones)
        number = store.begin(blank(place))
        if number is None:
            known.setdefault(place, "running")
            time.sleep(0.002)
            continue
        say(diary, f"begin {place} {number}")
        time.sleep(order.random() * 0.004)
        store.put(done(place, number))
        known[place] = "done"
        say(diary, f"put {place} {number}")
    store.close()


def try_all_writing_halves(where: str, diary: Path, count: int, seed: int) -> None:
    """The same, killed in the middle of one of its first writes to the log."""
    real, order = os.write, random.Random(seed)  # noqa: S311  moments, not secrets
    left = order.randrange(3, 12)

    def half(handle: int, data: object) -> int:
        nonlocal left
        whole = bytes(data)  # type: ignore[call-overload]
        if b"op_code" in whole:
            left -= 1
            if left == 0:
                real(handle, whole[: order.randrange(1, len(whole))])
                os.kill(os.getpid(), signal.SIGKILL)
        return real(handle, whole)

    os.write = half  # type: ignore[assignment]
    try_all(where, diary, count, seed)


def diary_of(path: Path) -> list[tuple[str, int, int]]:
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [(what, int(place), int(number)) for what, place, number in lines]
