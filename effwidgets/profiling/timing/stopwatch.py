"""Layers of several sizes timed side by side, so that what the machine does meanwhile falls on all of them alike."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import torch

from effwidgets.profiling.timing.clock import Clock

__all__ = ["paired", "times_of"]

_FEWEST: Final = 9  # rounds, however long they take
_MOST: Final = 60
_ENOUGH_S: Final = 0.001  # of one sample: a thousand times what the clock resolves
_NOTCH: Final = 1.57


def times_of(
    works: Mapping[int, Callable[[], object]],
    clock: Clock,
    *,
    seconds: float,
    seed: int = 0,
    check: Callable[[], None] | None = None,
) -> dict[int, list[float]]:
    """Time each of ``works`` once a round, in an order that is drawn anew each round; return their seconds.

    The first round warms up and is thrown away. On one thread of the processor it is the time in which the processor
    worked for this thread, which others on the machine disturb least; else that of ``clock``.

    Args:
        works: what to time, by a number; each sample repeats one until it is long enough to be read.
        clock: of the devices that they work on.
        seconds: about how long all of it takes; at least nine rounds are taken whatever it takes.
        seed: of the order.
        check: called before each round; what it raises ends the measurement.

    >>> found = times_of({1: lambda: torch.zeros(8), 2: lambda: torch.zeros(9)}, Clock([]), seconds=0.01)
    >>> len(found[1]) == len(found[2]) >= 9
    True
    """
    order, drawn = list(works), random.Random(seed)  # noqa: S311  the order of measurements, not a secret
    repeats = {number: _repeats(work, clock) for number, work in works.items()}
    found: dict[int, list[float]] = {number: [] for number in works}
    start = time.perf_counter()
    for done in range(_MOST + 1):
        if done > _FEWEST and time.perf_counter() - start > seconds:
            break
        if check is not None:
            check()
        drawn.shuffle(order)
        for number in order:
            sample = _sample(works[number], repeats[number], clock)
            if done:
                found[number].append(sample)
    return found


def paired(times: Sequence[float], against: Sequence[float]) -> tuple[float, float]:
    """Return the median of the differences of two rows of times, taken in the same rounds, and how far it may be off.

    The second is ``1.57 IQR / sqrt(n)``: the notch of McGill, Tukey and Larsen 1978, doi:10.2307/2683468, within which
    the true median lies with about 95%.

    >>> paired([2.0, 3.0, 4.0, 3.0], [1.0, 2.0, 3.0, 2.0])
    (1.0, 0.0)
    """
    apart = [one - other for one, other in zip(times, against, strict=True)]
    low, middle, high = statistics.quantiles(apart, n=4)
    return middle, _NOTCH * (high - low) / math.sqrt(len(apart))


def _repeats(work: Callable[[], object], clock: Clock) -> int:
    work()
    once = min(_sample(work, 1, clock) for _ in range(2))
    return max(1, math.ceil(_ENOUGH_S / max(once, 1e-7)))


def _sample(work: Callable[[], object], repeats: int, clock: Clock) -> float:
    def run() -> None:
        for _ in range(repeats):
            work()

    if clock.on_cpu and torch.get_num_threads() == 1:
        start = time.thread_time()
        run()
        return (time.thread_time() - start) / repeats
    return clock.time(run) / repeats
