"""A process for each contender, so that what one leaves behind (patches, hooks, kept models) meets no other.

The models are built once; a process that is forked off sees them as its own copy, and pays for what it writes only.
One process works at a time: the others wait for their turn.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

import torch

Task = Callable[[], int | None]

TURN_S = 0.03
"""What runs faster is run again within its turn, and the median is taken."""

LIMIT_S = 600.0
"""A turn that takes longer has hung: the slowest of all, a tracker of memory with a backward, took four minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came of one turn.

    Attributes:
        seconds: of the processor, for one run.
        value: what the task returned: MACs, or bytes.
        failure: class and first line of what was raised; empty when all went well.
    """

    seconds: float = 0.0
    value: int | None = None
    failure: str = ""


class Worker:
    """A process that makes tasks ready by number and runs them when asked.

    Args:
        makers: each makes one task ready, in the process, when its turn comes first.
        limit_s: how long one turn may take by the clock; then its process is ended, and the next turn gets a new one.
    """

    def __init__(self, makers: Sequence[Callable[[], Task]], *, limit_s: float = LIMIT_S) -> None:
        self._makers = makers
        self._limit_s = limit_s
        self._late: set[int] = set()
        self._start()

    def _start(self) -> None:
        # Forked, not started anew: the models are there already, and take no memory twice.
        context = multiprocessing.get_context("fork")
        self._ours, theirs = context.Pipe()
        gc.freeze()  # the collector of the child does not walk, and so copy, what the parent made
        self._process = context.Process(target=_serve, args=(theirs, self._makers), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(BrokenPipeError):  # it ended by itself
            self._ours.send(None)
            self._process.join(timeout=5)
        self._process.kill()

    def turn(self, number: int) -> Reply:
        """Have one task run, and wait for it; one that was too slow once is not asked again."""
        late = Reply(failure=f"timed out: no answer in {self._limit_s:g} s")
        if number in self._late:
            return late
        try:
            self._ours.send(number)
            if not self._ours.poll(self._limit_s):
                self._late.add(number)
                self._process.kill()
                self._process.join()
                self._ours.close()
                self._start()
                return late
            reply: Reply = self._ours.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return Reply(failure="died: its process ended")
        return reply


def _serve(pipe: Connection, makers: Sequence[Callable[[], Task]]) -> None:
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)  # peers print
    os.dup2(silence, 2)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    tasks: dict[int, Task] = {}
    while (number := pipe.recv()) is not None:
        try:
            if number not in tasks:
                tasks[number] = makers[number]()
            pipe.send(_timed(tasks[number]))
        except ImportError:
            pipe.send(Reply(failure="absent: not installed"))
        except Exception as error:  # noqa: BLE001  whatever a peer raises is its answer
            line = (str(error).strip() or "no message").splitlines()[0]
            pipe.send(Reply(failure=f"{type(error).__name__}: {line}"))


def _timed(task: Task) -> Reply:
    # Of the processor: with one thread the same as by the clock, but for what else the machine is doing.
    spent: list[float] = []
    while not spent or (sum(spent) < TURN_S and len(spent) < 50):
        start = time.process_time()
        value = task()
        spent.append(time.process_time() - start)
    return Reply(seconds=statistics.median(spent), value=value)
