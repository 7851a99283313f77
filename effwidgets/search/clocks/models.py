"""How long whole candidates take, timed side by side."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

import torch
from torch import nn

from effwidgets.errors import EffError, InputError, ModelError
from effwidgets.profiling.calls import Call, Inputs, as_call, map_tensors, run, tensors_in
from effwidgets.profiling.shadow import copy_tree
from effwidgets.profiling.timing.alone import alone
from effwidgets.profiling.timing.clock import Clock
from effwidgets.profiling.timing.stopwatch import paired, times_of
from effwidgets.records import Record, Score
from effwidgets.search.tuning.chance import Chance

__all__ = ["Times", "clock_models", "time_models"]

_NOTCH: Final = 1.57  # McGill, Tukey and Larsen 1978, doi:10.2307/2683468
_EACH_S: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Times(Record):
    """Seconds of one forward of several models, all timed in the same rounds.

    Attributes:
        numbers: which models.
        samples: their times, by model, then by round: the same place is the same round in each.
        device: where.
        threads: with how many threads torch computed.
        undisturbed: whether other work of ours stood still meanwhile.
    """

    numbers: tuple[int, ...]
    samples: tuple[tuple[float, ...], ...]
    device: str
    threads: int
    undisturbed: bool = True

    def of(self, number: int) -> tuple[float, ...]:
        """Return the times of one model, by round."""
        return self.samples[self.numbers.index(number)]

    def score(self, number: int) -> Score:
        """Return the median and the half-width of its interval of about 95%, see `stopwatch.paired`."""
        times = self.of(number)
        low, middle, high = statistics.quantiles(times, n=4)
        return Score(metric="latency_s", value=middle, error=_NOTCH * (high - low) / math.sqrt(len(times)))

    def scores(self) -> dict[int, Score]:
        """Return `score` of each model by its number."""
        return {number: self.score(number) for number in self.numbers}

    def change(self, number: int, against: int = 0) -> tuple[float, float]:
        """Return by how many seconds one takes longer than another, and how far that may be off.

        From the differences within each round, which what the machine does meanwhile hardly touches.
        """
        return paired(self.of(number), self.of(against))

    def __repr__(self) -> str:
        rounds = len(self.samples[0]) if self.samples else 0
        return f"Times({len(self.numbers)} models, {rounds} rounds, {self.device}, {self.threads} threads)"


def time_models(
    models: Mapping[int, nn.Module],
    call: Inputs,
    *,
    seconds: float | None = None,
    seed: int = 0,
    check: Callable[[], None] | None = None,
) -> dict[int, Score]:
    """Return the median time of one forward of each model, with its error, as the score "latency_s".

    Put the dense model among them: times of different measurements on a busy machine do not compare. See
    `clock_models` for the arguments, and for the times themselves.

    >>> found = time_models({0: nn.Linear(64, 64), 4: nn.Linear(64, 8)}, torch.zeros(1, 64), seconds=0.01)
    >>> sorted(found), found[4].metric
    ([0, 4], 'latency_s')
    """
    return clock_models(models, call, seconds=seconds, seed=seed, check=check).scores()


def clock_models(
    models: Mapping[int, nn.Module],
    call: Inputs,
    *,
    seconds: float | None = None,
    seed: int = 0,
    check: Callable[[], None] | None = None,
) -> Times:
    """Time whole models side by side: each once a round, in an order drawn anew each round, the first round untimed.

    In a fixed order, ratios were seen to be off by two. Each runs in evaluation mode on a copy that shares the
    parameters and has buffers of its own; other work of ours gives way. A GPU is waited for and its own clock is read.

    Args:
        models: by number, the dense one among them.
        call: of each.
        seconds: about how long it takes, but nine rounds at least; None for 0.3 s a model.
        seed: of the order.
        check: called before each round; what it raises ends it.

    Raises:
        InputError: no model, or one on meta.
        ModelError: a forward raised; the message names the model's number.
    """
    if not models:
        raise InputError("There is no model to time; give them by number, such as {0: dense, 3: candidate}.")
    given = as_call(call)
    devices = {number: _device(number, model, given) for number, model in models.items()}
    clock = Clock(devices.values())
    with torch.inference_mode(mode=False), torch.no_grad(), alone() as undisturbed:
        works = {number: _Work(number, model, given) for number, model in models.items()}
        budget = _EACH_S * len(works) if seconds is None else seconds
        # The mode costs some microseconds for each operation, so it is there only where it is needed.
        with Chance() if any([work.draws() for work in works.values()]) else nullcontext():  # noqa: C419  all of them run
            found = times_of(works, clock, seconds=budget, seed=seed, check=check)
    return Times(
        numbers=tuple(found),
        samples=tuple(tuple(times) for times in found.values()),
        device=str(next(iter(devices.values()))),
        threads=torch.get_num_threads(),
        undisturbed=undisturbed,
    )


class _Work:
    """One model, ready to be called again and again."""

    def __init__(self, number: int, model: nn.Module, call: Call) -> None:
        self._number = number
        self._twin = copy_tree(
            model, lambda tensor: tensor if isinstance(tensor, nn.Parameter) else tensor.detach().clone()
        ).eval()
        self._call = map_tensors(call, lambda tensor: tensor.detach().clone())

    def draws(self) -> bool:
        """Run once, untimed; say whether the forward draws random numbers."""
        with Chance() as dice:
            self()
        drawn: int = dice.drawn
        return drawn > 0

    def __call__(self) -> object:
        try:
            return run(self._twin, self._call)
        except EffError:
            raise
        except Exception as error:  # the model's own forward
            text = str(error).strip().partition("\n")[0] or "no message"
            raise ModelError(
                f"Model {self._number} ({type(self._twin).__name__}) failed while it was timed: "
                f"{type(error).__name__}: {text[:300]}. Call it with the same inputs yourself."
            ) from error


def _device(number: int, model: nn.Module, call: Call) -> torch.device:
    tensors = (*tensors_in(call), *model.parameters(), *model.buffers())
    if any(tensor.device.type == "meta" for tensor in tensors):
        raise InputError(f"Model {number} stands on meta and has no numbers to run with, so it takes no time.")
    return next((tensor.device for tensor in tensors if tensor.device.type != "cpu"), torch.device("cpu"))
