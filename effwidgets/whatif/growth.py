"""How a cost grows with a size: read from points by exact differences, by a line through logarithms where they fail.

A polynomial of degree d is claimed only where d + 2 points or more lie on it to the integer: one more than any
polynomial of that degree could be bent to. Divided differences in fractions, so that unequal steps do no harm
(Newton's interpolation; Abramowitz & Stegun 1964, 25.1-25.2).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Final, TypeAlias

from effwidgets.records import Cost, Profile
from effwidgets.records.growth import Growth, GrowthKind
from effwidgets.records.sweeps import BUDGETS, SweepPoint

__all__ = ["growth_of", "growths_of_layers", "growths_of_model"]

Points: TypeAlias = Sequence[tuple[int, int]]
_KINDS: Final[tuple[GrowthKind, ...]] = ("constant", "linear", "quadratic", "cubic", "quartic")
_FEWEST = 3  # points that a claim needs which does not hold over the whole range
_ADDITIVE: Final = ("macs", "backward_macs", "elementwise_ops", "moved_bytes", "saved_bytes")
_TOP = 8  # layers named for each quantity
_SMALLEST_SHARE = 0.001


def growth_of(quantity: str, points: Points, *, layer: str | None = None, share: float = 1.0) -> Growth:
    """Read how ``quantity`` grows from ``(size, value)`` points, the smallest size first.

    >>> growth_of("macs", [(n, 3 * n * n + 1024 * n) for n in (1, 2, 4, 8)])
    Growth(macs quadratic: 3·n² + 1,024·n)
    >>> growth_of("macs", [(1, 10), (10, 1000)]).exponent
    2.0
    """
    first = points[0][1] if points else 0
    last = points[-1][1] if points else 0
    coefficients, since = _exact(points)
    kind: GrowthKind = _KINDS[len(coefficients) - 1] if coefficients else "unknown"
    exponent = factor = deviation = None
    if not coefficients and len(points) > 1 and min(value for _, value in points) > 0:
        kind, (exponent, factor, deviation) = "power", _power(points)
    return Growth(
        quantity=quantity,
        layer=layer,
        kind=kind,
        coefficients=tuple((one.numerator, one.denominator) for one in coefficients),
        since=points[since][0] if points else 0,
        points=len(points) - since,
        exponent=exponent,
        factor=factor,
        deviation=deviation,
        first=first,
        last=last,
        share=share,
    )


def _exact(points: Points) -> tuple[list[Fraction], int]:
    """Return the polynomial through all points, else through the most points at the end that one goes through."""
    for since in range(max(1, len(points) - _FEWEST + 1)):
        found = _polynomial(points[since:])
        if found:
            return found, since
    return [], 0


def _polynomial(points: Points) -> list[Fraction]:
    differences = [Fraction(value) for _, value in points]
    newton: list[Fraction] = []
    for order in range(min(len(points) - 1, len(_KINDS))):
        newton.append(differences[0])
        differences = [
            (differences[i + 1] - differences[i]) / (points[i + order + 1][0] - points[i][0])
            for i in range(len(differences) - 1)
        ]
        if not any(differences):
            return _expanded(newton, [size for size, _ in points])
    return []


def _expanded(newton: Sequence[Fraction], sizes: Sequence[int]) -> list[Fraction]:
    # Horner's scheme from Newton's form to powers of n.
    found: list[Fraction] = []
    for value, size in zip(reversed(newton), reversed(sizes[: len(newton)]), strict=True):
        higher = [Fraction(), *found]
        found = [high - size * low for high, low in zip(higher, [*found, Fraction()], strict=True)]
        found[0] += value
    return found


def _power(points: Points) -> tuple[float, float, float]:
    logs = [(math.log(size), math.log(value)) for size, value in points]
    middle_x = sum(x for x, _ in logs) / len(logs)
    middle_y = sum(y for _, y in logs) / len(logs)
    spread = sum((x - middle_x) ** 2 for x, _ in logs)
    slope = sum((x - middle_x) * (y - middle_y) for x, y in logs) / spread
    start = middle_y - slope * middle_x
    apart = max(abs(math.expm1(y - start - slope * x)) for x, y in logs)
    return round(slope, 12), math.exp(start), apart


def growths_of_model(points: Iterable[SweepPoint]) -> tuple[Growth, ...]:
    """Return how each cost and peak of the model grows over the sizes at which it runs."""
    known = [point for point in points if point.cost is not None]
    found = []
    for quantity in BUDGETS:
        values = [(point.size, value) for point in known if (value := point.value(quantity)) is not None]
        if values:
            found.append(growth_of(quantity, values))
    return tuple(found)


def growths_of_layers(sizes: Sequence[int], profiles: Sequence[Profile]) -> tuple[Growth, ...]:
    """Return the layers that make the growth: by quantity, the largest shares of the model's change first."""
    if len(profiles) < 2:
        return ()
    own: list[dict[str, Cost]] = [{layer.name: layer.self_cost for layer in found.layers} for found in profiles]
    names = [name for name in own[0] if all(name in costs for costs in own)]
    found: list[Growth] = []
    for quantity in _ADDITIVE:
        whole = getattr(profiles[-1].cost, quantity) - getattr(profiles[0].cost, quantity)
        shares = {
            name: (getattr(own[-1][name], quantity) - getattr(own[0][name], quantity)) / whole
            for name in names
            if whole
        }
        top = sorted(shares, key=lambda name: -shares[name])[:_TOP]
        for name in (name for name in top if shares[name] >= _SMALLEST_SHARE):
            values = [(size, getattr(costs[name], quantity)) for size, costs in zip(sizes, own, strict=True)]
            found.append(growth_of(quantity, values, layer=name, share=shares[name]))
    return tuple(found)
