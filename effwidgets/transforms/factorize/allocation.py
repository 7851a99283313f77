"""One choice a layer so that the sum of the losses is least and the sum of the costs kept: by Lagrange multipliers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Choice", "allocated"]

_TURNS = 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """What can be chosen for one layer; the last is to leave it as it is.

    Attributes:
        ranks: of each.
        costs: of each, in double precision.
        losses: of each, relative squared errors.
    """

    ranks: tuple[tuple[int, ...], ...]
    costs: Tensor
    losses: Tensor


def allocated(choices: Sequence[Choice], budget: float) -> list[int] | None:
    """Return the place of what is chosen for each layer; None where even the cheapest cost more than ``budget``.

    For a price of cost each layer takes by itself what is least in loss plus price; the price is halved until the
    budget is just kept (Everett 1963). What is left of it goes, step by step, where it buys most.

    >>> import torch
    >>> steep = Choice(ranks=((1,), (2,)), costs=torch.tensor([1.0, 2.0]), losses=torch.tensor([0.9, 0.0]))
    >>> flat = Choice(ranks=((1,), (2,)), costs=torch.tensor([1.0, 2.0]), losses=torch.tensor([0.1, 0.0]))
    >>> allocated([steep, flat], 3.0)
    [1, 0]
    """
    if sum(float(choice.costs.min()) for choice in choices) > budget:
        return None

    def taken(price: float) -> list[int]:
        return [int((choice.losses + price * choice.costs).argmin()) for choice in choices]

    def spent(picked: Sequence[int]) -> float:
        return sum(float(choice.costs[number]) for choice, number in zip(choices, picked, strict=True))

    if spent(taken(0.0)) <= budget:
        return _filled(choices, taken(0.0), budget)
    low, high = 0.0, 1.0 / max(1.0, budget)
    while spent(taken(high)) > budget:
        low, high = high, 2 * high
        if high > 1e9:  # the cheapest of each: the budget leaves nothing else
            return _filled(choices, [int(choice.costs.argmin()) for choice in choices], budget)
    for _ in range(_TURNS):
        middle = (low + high) / 2
        low, high = (middle, high) if spent(taken(middle)) > budget else (low, middle)
    return _filled(choices, taken(high), budget)


def _filled(choices: Sequence[Choice], picked: list[int], budget: float) -> list[int]:
    picked = list(picked)
    left = budget - sum(float(choice.costs[number]) for choice, number in zip(choices, picked, strict=True))
    for number in sorted(range(len(choices)), key=lambda place: -float(choices[place].losses[picked[place]])):
        choice, now = choices[number], picked[number]
        more = choice.costs - choice.costs[now]
        better = (more <= left) & (choice.losses < choice.losses[now])
        if bool(better.any()):
            losses = choice.losses.clone()
            losses[~better] = float("inf")
            picked[number] = int(losses.argmin())
            left -= float(more[picked[number]])
    return picked
