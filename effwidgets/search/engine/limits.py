"""The budgets of a search: what was asked for, and what that is in the unit of each cost."""

from __future__ import annotations

import contextlib

from effwidgets.errors import InputError
from effwidgets.records import Budget, Candidate
from effwidgets.search.engine.checks import check_cost
from effwidgets.search.fronts.axes import full_name, place_on
from effwidgets.search.selection.budget import check_budget, limit_of

__all__ = ["Limits"]


class Limits:
    """Budgets by cost; a share of the dense model's can be told only once that was scored."""

    def __init__(self) -> None:
        self._asked: dict[str, float | str | Budget] = {}

    def set(self, axis: str, limit: float | str | Budget | None, dense: Candidate | None) -> None:
        """Set, change or (None) lift the budget of a cost.

        Args:
            axis: the cost.
            limit: a share of the dense model's up to 1, an amount above, text such as "40%"; or a `Budget`, whose
                limit is an amount always.
            dense: the dense model, once it was scored; what makes no sense is refused then.

        Raises:
            UnknownNameError: no such cost.
            InputError: no amount, or none that leaves something.
        """
        axis = full_name(axis)
        check_cost(axis)
        if limit is None:
            self._asked.pop(axis, None)
            return
        if not isinstance(limit, Budget):
            check_budget(limit, axis)
            now = None if dense is None else place_on(axis, dense)
            limit_of(limit, axis, now) if now is not None else None
        elif not limit.limit > 0:
            raise InputError(f"A budget of {limit.limit!r} for {axis} leaves nothing.")
        self._asked[axis] = limit

    def resolve(self, dense: Candidate | None) -> dict[str, float]:
        """Return the limits in the unit of each cost; those that cannot be told yet are left out."""
        found: dict[str, float] = {}
        for axis, limit in self._asked.items():
            if isinstance(limit, Budget):
                found[axis] = limit.limit
                continue
            now = None if dense is None else place_on(axis, dense)
            if now is not None:
                with contextlib.suppress(InputError):  # a latency that was measured after the budget was set
                    found[axis] = limit_of(limit, axis, now)
        return found

    @property
    def axes(self) -> tuple[str, ...]:
        """The costs that have a budget."""
        return tuple(self._asked)
