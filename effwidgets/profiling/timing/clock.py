"""How long one call takes, on a processor or on a GPU."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from effwidgets.profiling.dice import Dice
from effwidgets.profiling.failures import python_random_kept

__all__ = ["Clock", "same_random"]


class Clock:
    """Times calls whose work may run on other devices than the one that asks for it.

    On the processor it is the clock on the wall. Work on one CUDA device is timed by two events on its current stream:
    the device is waited for before, so that nothing older is counted, and after, so that all of it is. With several
    devices, or ones without events, each is waited for on both sides of the clock on the wall.

    Args:
        devices: on which the tensors of the work stand.

    >>> Clock([torch.device("cpu")]).time(torch.zeros, (8,)) > 0
    True
    """

    def __init__(self, devices: Iterable[torch.device]) -> None:
        self._waited = sorted({str(device) for device in devices if device.type not in ("cpu", "meta")})
        only = torch.device(self._waited[0]) if len(self._waited) == 1 else None
        self._events = only if only is not None and only.type == "cuda" else None
        self.cuda = sorted({torch.device(name).index or 0 for name in self._waited if name.startswith("cuda")})
        """Numbers of the CUDA devices."""

    @property
    def on_cpu(self) -> bool:
        """Whether all the work is done by the processor."""
        return not self._waited

    @property
    def by_events(self) -> bool:
        """Whether the device's own clock is read, not the one on the wall."""
        return self._events is not None

    def time(
        self, work: Callable[..., object], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> float:
        """Call ``work`` once; return its seconds. What it returns is thrown away after the time was taken."""
        kwargs = kwargs or {}
        if self._events is not None:
            return self._by_events(self._events, work, args, kwargs)
        self._wait()
        start = time.perf_counter()
        kept = work(*args, **kwargs)
        self._wait()
        seconds = time.perf_counter() - start
        del kept
        return seconds

    def _by_events(
        self, device: torch.device, work: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> float:
        stream = torch.cuda.current_stream(device)
        event: Callable[..., torch.cuda.Event] = torch.cuda.Event
        start, end = event(enable_timing=True), event(enable_timing=True)
        torch.cuda.synchronize(device)
        start.record(stream)
        kept = work(*args, **kwargs)
        end.record(stream)
        torch.cuda.synchronize(device)  # not the event alone: the work may have used streams of its own
        seconds: float = start.elapsed_time(end) / 1e3  # events count in milliseconds
        del kept
        return seconds

    def _wait(self) -> None:
        for name in self._waited:
            kind = torch.device(name).type
            module = getattr(torch, kind)
            if kind == "mps":
                module.synchronize()  # there is one, and it has no number
            else:
                module.synchronize(name)


@contextmanager
def same_random(clock: Clock) -> Iterator[None]:
    """Put the random states back afterwards: also in eval mode, as some forwards draw numbers whatever the mode."""
    # Each run draws the same numbers, so each takes the same way; what repeats draw, the run does not miss.
    if threading.current_thread() is threading.main_thread():
        with python_random_kept(), torch.random.fork_rng(devices=clock.cuda):
            yield
    else:
        # The states belong to the process: putting them back here would change what another thread draws meanwhile.
        # The price of this mode, some microseconds for each operation, is part of the time then.
        with Dice():
            yield
