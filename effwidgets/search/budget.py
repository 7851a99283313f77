"""Budgets as people give them: a share of what there is now, an amount, or text with a prefix."""

from __future__ import annotations

import math

from effwidgets.errors import InputError
from effwidgets.units import bytes_text, count_text, number_of

__all__ = ["amount_text", "limit_of"]


def amount_text(axis: str, value: float) -> str:
    """Write an amount of a cost with its unit."""
    if axis.endswith("bytes"):
        return bytes_text(value)
    return f"{count_text(value)} {'MACs' if axis == 'macs' else 'parameters'}"


def limit_of(budget: float | str, axis: str, now: int) -> float:
    """Return a budget as an amount of ``axis``.

    Up to 1 it is a share of ``now`` (0.4 is 40%); above 1 it is an amount. Text is read by `units.number_of`
    ("40%", "1.2M").

    Raises:
        InputError: not a number, not above 0, or more than the model has already.
    """
    wanted = f"Give a share such as 0.4 or '40%', or an amount below {amount_text(axis, now)}, which it has now."
    if isinstance(budget, bool) or not isinstance(budget, int | float | str):
        raise InputError(f"The budget for {axis} is {type(budget).__name__}. {wanted}")
    value = number_of(budget) if isinstance(budget, str) else float(budget)
    if not math.isfinite(value) or value <= 0:
        raise InputError(f"A budget of {budget!r} for {axis} leaves nothing. {wanted}")
    share = value <= 1 or (isinstance(budget, str) and budget.strip().endswith("%"))
    limit = value * now if share else value
    if limit > now:
        raise InputError(f"A budget of {budget!r} for {axis} is more than the model has. {wanted}")
    return limit
