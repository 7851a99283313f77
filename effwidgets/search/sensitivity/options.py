"""What a measurement of sensitivity is given: the places, the settings, the data, the score, where to keep it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.records import Sensitivity, SensitivityProgress
from effwidgets.search.sensitivity.gauge import Gauged

if TYPE_CHECKING:
    from effwidgets.search.engine.options import Evaluate

__all__ = ["Better", "SensitivityOptions"]

Better: TypeAlias = Literal["higher", "lower"]

_MOST_LEVELS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityOptions:
    """How to measure sensitivity.

    Attributes:
        families: kinds of techniques to try ("factorize", "prune"); None for all.
        transforms: techniques by name, also those that are left out unless asked for; None for all that are advised.
        layers: only places that change one of these layers; None for all.
        levels: settings at each place, evenly spread below the largest one that pays.
        shares: the settings instead, as shares of the largest one that pays: ``(0.9, 0.5, 0.25)``.
        calibration: real inputs, no labels: a batch, a list of batches or a ``DataLoader``. None: the inputs
            themselves; then nothing is repaired.
        samples: so many samples of them are used at most; None: what 10 G MACs of a forward allow, from 32 to 512.
        held_out: share of these that nothing is fitted to: the divergence is measured on them.
        repair: bring the model back after each step as `apply` does.
        gauge: "kl" or "squares", see `Sensitivity.divergence`; "auto" looks at the outputs (`Gauge`).
        evaluate: scores a model too: a number, or numbers by name, the main one first; on a copy of its own.
        score_name: what a plain number is called.
        better: in which direction the main score improves.
        time_limit_s: longest time for one call of ``evaluate``; takes effect at the next forward.
        path: a file that each point is added to; the same call goes on where a killed one ended.
        resume: an earlier, partial record or its file: what it has is not measured again.
        retry: measure points again that failed earlier.
        progress: called with a `SensitivityProgress` before each point and at the end.
    """

    families: tuple[str, ...] | None = None
    transforms: tuple[str, ...] | None = None
    layers: tuple[str, ...] | None = None
    levels: int = 4
    shares: tuple[float, ...] | None = None
    calibration: object = field(default=None, compare=False)
    samples: int | None = None
    held_out: float = 0.25
    repair: bool = True
    gauge: Gauged = "auto"
    evaluate: Evaluate | None = None
    score_name: str = "score"
    better: Better = "higher"
    time_limit_s: float | None = None
    path: str | Path | None = None
    resume: Sensitivity | str | Path | None = None
    retry: bool = False
    progress: Callable[[SensitivityProgress], None] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in ("families", "transforms", "layers"):
            _check_names(name, getattr(self, name))
        _check_amounts(self)
        if self.shares is not None:
            _check_shares(self.shares)
        for word, value, known in (("gauge", self.gauge, Gauged), ("direction of a score", self.better, Better)):
            if value not in get_args(known):
                raise UnknownNameError(word, value, get_args(known))
        for name in ("evaluate", "progress"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise InputError(f"{name} is {type(getattr(self, name)).__name__}; a function or None was expected.")
        if not isinstance(self.resume, Sensitivity | str | Path | None):
            raise InputError(
                f"resume is {type(self.resume).__name__}; a Sensitivity or the name of its file was expected."
            )


def _check_amounts(options: SensitivityOptions) -> None:
    for name, low, high in (("levels", 1, _MOST_LEVELS), ("samples", 1, None)):
        value: object = getattr(options, name)
        if name == "samples" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < low or (high and value > high):
            until = f" to {high}" if high else " on"
            raise InputError(f"{name} is {value!r}; a whole number from {low}{until} was expected.")
    if not isinstance(options.held_out, int | float) or not 0 < options.held_out < 1:
        raise InputError(f"held_out is {options.held_out!r}; a share between 0 and 1 was expected.")
    limit: object = options.time_limit_s
    if limit is not None and not (isinstance(limit, int | float) and limit > 0):
        raise InputError(f"time_limit_s is {limit!r}; seconds above 0, or None, were expected.")


def _check_names(name: str, value: object) -> None:
    if value is not None and not (isinstance(value, tuple | list) and value and all(isinstance(x, str) for x in value)):
        raise InputError(f"{name} is {value!r}; a tuple of names, or None for all, was expected.")


def _check_shares(shares: object) -> None:
    listed = isinstance(shares, tuple | list) and bool(shares)
    if not listed or not all(isinstance(one, int | float) and 0 < one <= 1 for one in shares):  # type: ignore[attr-defined]
        raise InputError(f"shares is {shares!r}; numbers above 0 up to 1 were expected, such as (0.9, 0.5, 0.25).")
