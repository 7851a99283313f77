"""The arena of a search: models are made, counted and judged on validation data; some are handed in and trained.

What is measured at the end is the share of a box that the models dominate: the score from a stated floor to 1, the cost
from 0 to the dense model's. The cost is MACs, or the measured time of one forward.
"""

from __future__ import annotations

import copy
import math
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import torch
from torch import nn

from benchmarks._tasks import Marks, Task
from effwidgets.profiling.profile import ProfileOptions, profile

__all__ = ["AXES", "BANDS", "EVALUATIONS", "HANDED_IN", "Arena", "Axis", "Made", "latencies", "pick", "picked", "share"]

Axis: TypeAlias = Literal["macs", "latency_s"]
AXES: Final[tuple[Axis, ...]] = ("macs", "latency_s")

EVALUATIONS: Final = 160
HANDED_IN: Final = 10
BANDS: Final = (0.015, 0.03, 0.05, 0.08, 0.12, 0.18, 0.26, 0.38, 0.55, 0.75, 0.98)
"""Ends of the ten bands of cost of which each gives a model, as shares of the dense cost; the last end is open."""

_COUNT: Final = ProfileOptions(groups=False, backward=False)
_ROUNDS: Final = 41
_ENOUGH_S: Final = 0.0015  # of one sample


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    """A model that was made and judged on validation data; its cost as a share of the dense model's."""

    model: nn.Module
    label: str
    macs: float
    marks: Marks


@dataclass(slots=True, kw_only=True, eq=False)
class Arena:
    """One dense model of a task, and what was made of it, at most `EVALUATIONS` models."""

    task: Task
    seed: int
    dense: nn.Module
    made: list[Made] = field(default_factory=list)
    most: int = EVALUATIONS
    spent: int = 0
    dense_macs: int = 0

    @property
    def left(self) -> int:
        return self.most - self.spent

    def copy(self) -> nn.Module:
        return copy.deepcopy(self.dense)

    def macs(self, model: nn.Module) -> float:
        """Return the MACs as a share of the dense model's."""
        if not self.dense_macs:
            self.dense_macs = profile(self.dense, self.task.inputs, options=_COUNT).cost.macs
        return profile(model, self.task.inputs, options=_COUNT).cost.macs / self.dense_macs

    def look(self, model: nn.Module) -> Marks:
        """Judge a model on validation data; it counts as an evaluation."""
        assert self.left > 0, "more evaluations than allowed"
        self.spent += 1
        return self.task.marks(model, "validation")

    def enter(self, model: nn.Module, label: str) -> Made:
        """Judge a model, and keep it to be picked from."""
        found = Made(model=model, label=label, macs=self.macs(model), marks=self.look(model))
        self.made.append(found)
        return found

    def restored(self, model: nn.Module) -> nn.Module:
        """Estimate the statistics of all batch norms anew, on the calibration data, in place; return the model."""
        norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]
        if norms:
            momenta = [norm.momentum for norm in norms]
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # the plain mean of all batches
            model.train()
            with torch.no_grad():
                for batch in self.task.calibration():
                    model(batch)
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
        return model.eval()

    def tuned(self, model: nn.Module, number: int) -> nn.Module:
        """Return a copy after three epochs with the dense model as its teacher."""
        work = copy.deepcopy(model)
        train = self.task.finetune().with_seed(1000 * self.seed + number)
        train(work, copy.deepcopy(self.dense))
        return work.eval()


def share(points: Sequence[tuple[float, float]], floor: float) -> float:
    """Return the share of the box that points of (share of the dense cost, score) dominate.

    >>> share([(0.5, 0.75)], floor=0.5), share([(1.2, 1.0), (0.2, 0.4)], floor=0.5)
    (0.25, 0.0)
    """
    area, reached = 0.0, floor
    for cost, score in sorted(points, key=lambda point: (point[0], -point[1])):
        if cost < 1 and score > reached:
            area += (min(score, 1.0) - reached) * (1 - cost)
            reached = min(score, 1.0)
    return area / (1 - floor)


def pick(costs: Sequence[float], losses: Sequence[float], count: int = HANDED_IN) -> list[int]:
    """Return which models to hand in: of each band of cost the one with the least loss on validation data.

    Where bands are empty, those fill up that are farthest in cost, by ratio, from all that were chosen.
    """
    chosen: list[int] = []
    for low, high in zip((0.0, *BANDS[:-2]), (*BANDS[:-2], 1.0), strict=True):
        inside = [place for place, cost in enumerate(costs) if low <= cost < high]
        if inside:
            chosen.append(min(inside, key=lambda place: losses[place]))
    rest = [place for place, cost in enumerate(costs) if place not in chosen and cost < 1]
    while rest and len(chosen) < count:
        # The one farthest in cost, by ratio, from all that are chosen.
        far = max(rest, key=lambda place: min(abs(_log(costs[place]) - _log(costs[other])) for other in chosen))
        rest.remove(far)
        chosen.append(far)
    return sorted(chosen[:count], key=lambda place: costs[place])


def _log(cost: float) -> float:
    return math.log(max(cost, 1e-4))


def picked(costs: Sequence[float], scores: Sequence[float], losses: Sequence[float]) -> list[int]:
    """Return the places of the models that a user would keep by their validation data: nobody is cheaper and better.

    Better is a higher score, or the same score with a smaller loss.
    """
    order = sorted(range(len(costs)), key=lambda place: (costs[place], -scores[place], losses[place]))
    kept: list[int] = []
    for place in order:
        if not kept or (scores[place], -losses[place]) > (scores[kept[-1]], -losses[kept[-1]]):
            kept.append(place)
    return kept


def latencies(models: Mapping[int, nn.Module], inputs: torch.Tensor, rounds: int = _ROUNDS) -> dict[int, float]:
    """Return the median seconds of one forward of each model, timed in turns in an order drawn anew each round.

    Each is called untimed first. With one thread it is the time of the processor, which others disturb least.
    """
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    found: dict[int, list[float]] = {number: [] for number in models}
    drawn, order = random.Random(0), list(models)  # noqa: S311  the order of measurements, not a secret
    with torch.inference_mode():
        repeats = {number: _repeats(model, inputs, clock) for number, model in models.items()}
        for _ in range(rounds):
            drawn.shuffle(order)
            for number in order:
                found[number].append(_sample(models[number], inputs, repeats[number], clock))
    return {number: statistics.median(times) for number, times in found.items()}


def _repeats(model: nn.Module, inputs: torch.Tensor, clock: Callable[[], float]) -> int:
    _sample(model, inputs, 2, clock)
    return max(1, round(_ENOUGH_S / max(_sample(model, inputs, 2, clock), 1e-6)))


def _sample(model: nn.Module, inputs: torch.Tensor, repeats: int, clock: Callable[[], float]) -> float:
    model(inputs)  # untimed: what the others left in the caches
    start = clock()
    for _ in range(repeats):
        model(inputs)
    return (clock() - start) / repeats
