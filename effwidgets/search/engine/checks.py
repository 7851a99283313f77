"""Whether the options of a search make sense."""

from __future__ import annotations

import math
from collections.abc import Mapping

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.search.fronts.axes import SHORT, known_costs
from effwidgets.search.selection.budget import check_budget

__all__ = ["at_least", "check_box", "check_budgets", "check_cost", "check_objectives"]


def at_least(name: str, value: object, low: int) -> None:
    """Raise an `InputError` unless ``value`` is a whole number from ``low`` on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise InputError(f"{name} is {value!r}; a whole number from {low} on was expected.")


def check_box(box: object, better: str) -> None:
    """Raise an `InputError` unless ``box`` is a worst and a best score in the direction that is ``better``."""
    numbers = isinstance(box, tuple | list) and [number for number in box if isinstance(number, int | float)]
    if not isinstance(box, tuple | list) or not numbers or len(numbers) != len(box) or len(numbers) != 2:
        raise InputError(f"box is {box!r}; a pair was expected: the worst score that counts and the best possible.")
    worst, best = box
    rising = worst < best if better == "higher" else worst > best
    if not (math.isfinite(worst) and math.isfinite(best) and rising):
        raise InputError(
            f"box is {box!r}; the worst score that counts and the best possible were expected, and {better} is better."
        )


def check_objectives(objectives: object) -> None:
    """Raise an `InputError` unless these are one or two different costs that can be searched along."""
    if (
        not isinstance(objectives, tuple | list)
        or not 1 <= len(objectives) <= 2
        or len(set(objectives)) < len(objectives)
    ):
        raise InputError(f"objectives is {objectives!r}; one or two different costs were expected, such as ('macs',).")
    for name in objectives:
        check_cost(name)


def check_budgets(budgets: object) -> None:
    """Raise an `InputError` unless each budget names a cost and an amount."""
    if not isinstance(budgets, Mapping):
        raise InputError(f"budgets is {type(budgets).__name__}; a dict was expected, such as {{'macs': 0.5}}.")
    for name, budget in budgets.items():
        check_cost(name)
        check_budget(budget, name)


def check_cost(name: object) -> None:
    """Answer a cost that nobody knows with the known ones."""
    known = known_costs()
    if name not in known:
        raise UnknownNameError("cost to search along", name, (*known, *SHORT))
