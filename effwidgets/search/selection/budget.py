"""Budgets as people give them: a share of what there is now, an amount, or text with a prefix."""

from __future__ import annotations

import math
import re
from typing import Final

from effwidgets.errors import InputError
from effwidgets.metrics.base import METRICS
from effwidgets.units import bytes_text, count_text, number_of, seconds_text

__all__ = ["amount_text", "check_budget", "limit_of"]

_UNITS: Final = {"macs": "MACs", "params": "parameters"}
_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}
_TIME: Final = re.compile(rf"\s*([\d.]+)\s*({'|'.join(_SECONDS)})\s*")


def amount_text(axis: str, value: float) -> str:
    """Write an amount of a cost with its unit."""
    if axis.endswith("bytes"):
        return bytes_text(value)
    if axis.endswith("_s"):
        return seconds_text(value)
    if axis in _UNITS:
        return f"{count_text(value)} {_UNITS[axis]}"
    return count_text(value, METRICS[axis].unit) if axis in METRICS else count_text(value)


def limit_of(budget: float | str, axis: str, now: float) -> float:
    """Return a budget as an amount of ``axis``.

    Up to 1 it is a share of ``now`` (0.4 is 40%); above 1 it is an amount. Text is read by `units.number_of`
    ("40%", "1.2M", "1.2 MB" for a cost that is counted in bytes, "3 ms" for a time).

    Raises:
        InputError: not a number, not above 0, or more than the model has already.
    """
    wanted = f"Give a share such as 0.4 or '40%', or an amount below {amount_text(axis, now)}, which it has now."
    value, is_amount = _number(budget, axis, wanted)
    share = (value <= 1 and not is_amount) or (isinstance(budget, str) and budget.strip().endswith("%"))
    limit = value * now if share else value
    if now <= 0:
        raise InputError(f"The model takes no {axis} now, so a budget of {budget!r} has nothing to save.")
    if limit > now:
        raise InputError(f"A budget of {budget!r} for {axis} is more than the model has. {wanted}")
    return limit


def check_budget(budget: object, axis: str) -> None:
    """Raise an `InputError` unless this is a budget that `limit_of` would read, whatever the model takes now.

    >>> check_budget("40 percent", "macs")
    Traceback (most recent call last):
        ...
    effwidgets.errors.InputError: A budget of '40 percent' for macs is no number. Give a share such as 0.4 or '40%', ...
    """
    _number(budget, axis, "Give a share such as 0.4 or '40%', or an amount.")


def _number(budget: object, axis: str, wanted: str) -> tuple[float, bool]:
    # The number, and whether its unit makes it an amount however small it is.
    if isinstance(budget, bool) or not isinstance(budget, int | float | str):
        raise InputError(f"The budget for {axis} is {type(budget).__name__}. {wanted}")
    value, is_amount = _read(budget, axis, wanted) if isinstance(budget, str) else (float(budget), False)
    if not math.isfinite(value) or value <= 0:
        raise InputError(f"A budget of {budget!r} for {axis} leaves nothing. {wanted}")
    return value, is_amount


def _read(text: str, axis: str, wanted: str) -> tuple[float, bool]:
    time = _TIME.fullmatch(text)
    in_bytes = text.strip().upper().endswith("B")
    if in_bytes and not axis.endswith("bytes"):
        raise InputError(f"A budget of {text!r} is an amount of bytes, and {axis} is not counted in bytes. {wanted}")
    if time is not None and not axis.endswith("_s"):
        raise InputError(f"A budget of {text!r} is a time, and {axis} is none. {wanted}")
    try:
        value = number_of(text) if time is None else float(time[1]) * _SECONDS[time[2]]
    except (InputError, ValueError) as error:
        raise InputError(f"A budget of {text!r} for {axis} is no number. {wanted}") from error
    return value, in_bytes or time is not None
