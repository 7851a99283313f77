"""What a search is given: the score, the plans to try, calibration, fine-tuning, limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, get_args

from torch import nn

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.records import Plan
from effwidgets.search.fronts.pareto import Better

__all__ = ["Evaluate", "Finetune", "SearchOptions"]

Evaluate: TypeAlias = Callable[[nn.Module], "float | Mapping[str, float]"]
"""Scores a model: one number, or several by name, the main one first. Called in the search's own thread."""

Finetune: TypeAlias = Callable[[nn.Module, nn.Module], None]
"""Trains the first model in place; the second is a copy of the dense model, as a teacher."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """How to search.

    Attributes:
        score_name: what to call a score that ``evaluate`` returns as a plain number.
        better: in which direction the main score improves.
        plans: what to try, in this order; None for a ladder from near-dense to very small (`ladder`).
        calibration: real inputs for fitting and repair: a batch, a list of batches or a ``DataLoader``. None fits
            without data.
        finetune: trains each candidate before it is scored; None leaves it as repaired.
        box: the worst and the best score that the hypervolume is measured between. None: 0 and 1 for a score where
            higher is better and the dense model's lies between them; else from the worst of the first scores to the
            best possible (0 where lower is better) or best seen.
        keep: how many compressed models stay in memory; others are made again when they are applied.
        seed: written into each candidate (``Candidate.seed`` is seed + number), so that a later run of yours can name
            it. Nothing reads it: ``evaluate`` and ``finetune`` are given models only and seed themselves, and the
            search draws no random numbers and leaves torch's, numpy's and Python's state alone.
        time_limit_s: longest time for one call of ``evaluate`` or ``finetune``; takes effect at the next forward.
        workers: how many searches share this machine; each computes with cores // workers threads.
    """

    score_name: str = "score"
    better: Better = "higher"
    plans: tuple[Plan, ...] | None = None
    calibration: object = field(default=None, compare=False)
    finetune: Finetune | None = None
    box: tuple[float, float] | None = None
    keep: int = 8
    seed: int = 0
    time_limit_s: float | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        if self.better not in get_args(Better):
            raise UnknownNameError("direction of a score", self.better, get_args(Better))
        if self.plans is not None and not (
            isinstance(self.plans, tuple | list) and all(isinstance(plan, Plan) for plan in self.plans)
        ):
            raise InputError("plans holds something else than plans. Give a tuple of Plan(steps=...) records, or None.")
        if not isinstance(self.score_name, str) or not self.score_name:
            raise InputError(f"score_name is {self.score_name!r}; a name such as 'accuracy' was expected.")
        if self.finetune is not None and not callable(self.finetune):
            raise InputError(
                f"finetune is {type(self.finetune).__name__}; a function of (model, teacher) or None was expected."
            )
        _at_least("keep", self.keep, 0)
        _at_least("workers", self.workers, 1)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise InputError(f"seed is {self.seed!r}; a whole number was expected.")
        if self.time_limit_s is not None and not (isinstance(self.time_limit_s, int | float) and self.time_limit_s > 0):
            raise InputError(f"time_limit_s is {self.time_limit_s!r}; seconds above 0, or None, were expected.")
        if self.box is not None:
            _check_box(self.box, self.better)


def _at_least(name: str, value: int, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise InputError(f"{name} is {value!r}; a whole number from {low} on was expected.")


def _check_box(box: tuple[float, float], better: str) -> None:
    numbers = isinstance(box, tuple | list) and [number for number in box if isinstance(number, int | float)]
    if not numbers or len(numbers) != len(box) or len(numbers) != 2:
        raise InputError(f"box is {box!r}; a pair was expected: the worst score that counts and the best possible.")
    worst, best = box
    rising = worst < best if better == "higher" else worst > best
    if not (math.isfinite(worst) and math.isfinite(best) and rising):
        raise InputError(
            f"box is {box!r}; the worst score that counts and the best possible were expected, and {better} is better."
        )
