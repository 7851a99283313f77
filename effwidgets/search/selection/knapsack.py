"""One choice from each of many menus, for the least loss under several budgets: a knapsack with multiple choices.

Dynamic programming over the menus, one after the other, on the partial choices that no other beats in loss and in
every cost (Nemhauser and Ullmann 1969; Kellerer, Pferschy and Pisinger 2004, chapter 11). It is exact as long as no
more than ``most`` of them are held. Above that, the costs are laid into cells and each cell keeps its best: then a
choice may be missed by about the width of a cell, but what is held still does not depend on a budget. So budgets are
asked afterwards, and a larger budget can never give a larger loss, nor a smaller one a larger cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from effwidgets.errors import InputError

__all__ = ["Menu", "Picks", "frontier"]

Numbers: TypeAlias = NDArray[np.float64]

_BLOCK = 256
_SLACK = 1e-9  # relative: sums in another order differ by rounding


@dataclass(frozen=True, slots=True, eq=False)
class Menu:
    """What can be chosen at one place.

    Attributes:
        losses: of each choice, ``(choices,)``.
        costs: of each choice, ``(choices, costs)``.
    """

    losses: Numbers
    costs: Numbers


@dataclass(frozen=True, slots=True, eq=False)
class Picks:
    """Choices that no other beats, by loss; where losses are equal, by the sum of the costs.

    Attributes:
        losses: ``(picks,)``, rising.
        costs: ``(picks, costs)``.
        choices: for each menu the number of the choice, ``(picks, menus)``.
    """

    losses: Numbers
    costs: Numbers
    choices: NDArray[np.int64]

    def within(self, limits: Sequence[float]) -> int | None:
        """Return the place of the one with the least loss of which no cost is above its limit; None where none is."""
        bounds = np.asarray(limits, dtype=np.float64)
        fits = np.flatnonzero((self.costs <= bounds + _SLACK * np.abs(bounds)).all(1))
        return int(fits[0]) if len(fits) else None


def frontier(menus: Sequence[Menu], *, most: int = 2048) -> Picks:
    """Return the choices, one from each menu, that no other beats in the sums of loss and costs.

    Args:
        menus: at least one, all with the same costs; losses and costs may have any sign.
        most: how many partial choices are held at most; exact where that is enough.

    Raises:
        InputError: no menu, an empty one, or numbers that are not finite.

    >>> menu = Menu(np.array([0.0, 1.0, 3.0]), np.array([[4.0], [2.0], [1.0]]))
    >>> found = frontier([menu, menu])
    >>> found.losses.tolist(), found.choices[found.within([4.0])].tolist()
    ([0.0, 1.0, 2.0, 4.0, 6.0], [1, 1])
    """
    if not menus:
        raise InputError("There is nothing to choose among: no menu was given.")
    for number, menu in enumerate(menus):
        good = len(menu.losses) == len(menu.costs) > 0
        if not good or not (np.isfinite(menu.losses).all() and np.isfinite(menu.costs).all()):
            raise InputError(f"Menu {number} is empty, or holds losses or costs that are not finite.")
    losses, costs = np.zeros(1), np.zeros((1, menus[0].costs.shape[1]))
    choices = np.zeros((1, 0), dtype=np.int64)
    for menu in menus:
        parents, taken = (place.ravel() for place in np.indices((len(losses), len(menu.losses))))
        losses, costs = losses[parents] + menu.losses[taken], costs[parents] + menu.costs[taken]
        kept = _thinned(losses, costs, most)
        choices = np.column_stack([choices[parents[kept]], taken[kept]])
        losses, costs = losses[kept], costs[kept]
    return Picks(losses=losses, costs=costs, choices=choices)


def _order(losses: Numbers, costs: Numbers) -> NDArray[np.int64]:
    # By loss, then by the sum of the costs, then by each cost: one beaten by another comes after it.
    found: NDArray[np.int64] = np.lexsort((*costs.T[::-1], costs.sum(1), losses))
    return found


def _thinned(losses: Numbers, costs: Numbers, most: int) -> NDArray[np.int64]:
    order = _order(losses, costs)
    if len(order) > 4 * most:  # the comparison of all with all would take too long
        order = order[_best_of_cells(costs[order], 4 * most)]
    order = order[_unbeaten(costs[order])]
    return order if len(order) <= most else order[_best_of_cells(costs[order], most)]


def _unbeaten(costs: Numbers) -> NDArray[np.int64]:
    # In the order of `_order`, one is beaten where an earlier one costs no more anywhere.
    if costs.shape[1] == 1:
        best = np.minimum.accumulate(costs[:, 0])
        return np.flatnonzero(np.r_[True, costs[1:, 0] < best[:-1]])
    held = np.empty((0, costs.shape[1]))
    kept: list[int] = []
    for first in range(0, len(costs), _BLOCK):
        block = costs[first : first + _BLOCK]
        beaten = np.any((held[None] <= block[:, None]).all(axis=2), axis=1)
        inside = (block[None] <= block[:, None]).all(axis=2) & np.tri(len(block), k=-1, dtype=bool)
        alive = ~(beaten | np.any(inside, axis=1))
        kept += (first + np.flatnonzero(alive)).tolist()
        held = np.concatenate([held, block[alive]])
    return np.asarray(kept, dtype=np.int64)


def _best_of_cells(costs: Numbers, most: int) -> NDArray[np.int64]:
    # The first, which is the one of least loss, of each cell; and the cheapest of each cost.
    low, high = costs.min(0), costs.max(0)
    side = max(1, int(most ** (1 / costs.shape[1])))
    cells = ((costs - low) / np.where(high > low, high - low, 1.0) * side).astype(np.int64).clip(max=side - 1)
    _, first = np.unique(cells, axis=0, return_index=True)
    return np.unique(np.r_[first, costs.argmin(0)])
