"""Budgets as people give them: a share of what there is now, an amount, or text with a prefix."""

from __future__ import annotations

import math

from effwidgets.errors import InputError
from effwidgets.metrics.base import METRICS
from effwidgets.units import bytes_text, count_text, number_of

__all__ = ["amount_text", "limit_of"]


_UNITS = {"macs": "MACs", "params": "parameters"}


def amount_text(axis: str, value: float) -> str:
    """Write an amount of a cost with its unit."""
    if axis.endswith("bytes"):
        return bytes_text(value)
    if axis in _UNITS:
        return f"{count_text(value)} {_UNITS[axis]}"
    return count_text(value, METRICS[axis].unit) if axis in METRICS else count_text(value)


def limit_of(budget: float | str, axis: str, now: float) -> float:
    """Return a budget as an amount of ``axis``.

    Up to 1 it is a share of ``now`` (0.4 is 40%); above 1 it is an amount. Text is read by `units.number_of`
    ("40%", "1.2M", and "1.2 MB" for a cost that is counted in bytes).

    Raises:
        InputError: not a number, not above 0, or more than the model has already.
    """
    wanted = f"Give a share such as 0.4 or '40%', or an amount below {amount_text(axis, now)}, which it has now."
    if isinstance(budget, bool) or not isinstance(budget, int | float | str):
        raise InputError(f"The budget for {axis} is {type(budget).__name__}. {wanted}")
    in_bytes = isinstance(budget, str) and budget.strip().upper().endswith("B")
    if in_bytes and not amount_text(axis, now).endswith("B"):
        raise InputError(f"A budget of {budget!r} is an amount of bytes, and {axis} is not counted in bytes. {wanted}")
    value = number_of(budget) if isinstance(budget, str) else float(budget)
    if not math.isfinite(value) or value <= 0:
        raise InputError(f"A budget of {budget!r} for {axis} leaves nothing. {wanted}")
    share = (value <= 1 and not in_bytes) or (isinstance(budget, str) and budget.strip().endswith("%"))
    limit = value * now if share else value
    if now <= 0:
        raise InputError(f"The model takes no {axis} now, so a budget of {budget!r} has nothing to save.")
    if limit > now:
        raise InputError(f"A budget of {budget!r} for {axis} is more than the model has. {wanted}")
    return limit
