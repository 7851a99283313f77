"""Which of two points dominates, when what they stand on was measured with errors."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from effwidgets.errors import InputError
from effwidgets.search.fronts.pareto import Better, dominates

__all__ = ["Measured", "p_dominates", "p_less"]

_DEVIATIONS = 1.959963984540054  # standard deviations in the half-width of a 95% interval of a normal distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Where a point stands, with the half-width of a 95% interval of each number; 0 for one that is exact.

    Attributes:
        cost: better when lower.
        score: better in the direction that is said beside it.
        cost_error: of ``cost``, in its unit.
        score_error: of ``score``.
    """

    cost: float
    score: float
    cost_error: float = 0.0
    score_error: float = 0.0


def p_dominates(one: Measured, other: Measured, better: Better = "higher") -> float:
    """Return the probability that ``one`` dominates ``other``: is nowhere worse, and somewhere better.

    The errors are taken as normal and independent: ``P = Phi((c2 - c1) / sqrt(e1^2 + e2^2)) * Phi((s1 - s2) /
    sqrt(f1^2 + f2^2))``, where ``c`` are costs and ``s`` scores, turned so that higher is better, and ``e`` and ``f``
    their standard deviations: the half-widths over 1.96. A factor without an error is 1 where ``one`` is no worse,
    else 0. Two points that are exactly equal do not dominate each other.

    Raises:
        InputError: an error below 0, or a number that is not finite.

    >>> fast, slow = Measured(cost=1.0, score=0.9, cost_error=0.2), Measured(cost=1.2, score=0.9, cost_error=0.2)
    >>> round(p_dominates(fast, slow), 3), round(p_dominates(slow, fast), 3)
    (0.917, 0.083)
    """
    for point in (one, other):
        _check(point)
    sign = 1.0 if better == "higher" else -1.0
    exact = not any((one.cost_error, other.cost_error, one.score_error, other.score_error))
    if exact:
        return float(dominates((one.cost, one.score), (other.cost, other.score), better))
    cheaper = _above(other.cost - one.cost, one.cost_error, other.cost_error)
    as_good = _above(sign * (one.score - other.score), one.score_error, other.score_error)
    return cheaper * as_good


def p_less(these: Sequence[float], those: Sequence[float]) -> float:
    """Return the share of pairs, one of each row of repeats, in which that of ``these`` is smaller; ties count half.

    It is the statistic of Mann and Whitney 1947 over its largest value (doi:10.1214/aoms/1177730491), an estimate of
    ``P(X < Y) + P(X = Y) / 2`` that asks nothing of the shape of the errors. ``O((n + m) log m)``.

    Raises:
        InputError: a row is empty, or holds a NaN.

    >>> p_less([1.0, 1.1, 1.2], [1.15, 1.3, 1.4]), p_less([1.0], [1.0])
    (0.8888888888888888, 0.5)
    """
    if not len(these) or not len(those):
        raise InputError("A row of repeats is empty; at least one measurement of each was expected.")
    if any(map(math.isnan, (*these, *those))):
        raise InputError("A row of repeats holds a NaN; measured numbers were expected.")
    ranked = sorted(those)
    above = sum(2 * len(ranked) - bisect_left(ranked, value) - bisect_right(ranked, value) for value in these)
    return above / (2 * len(these) * len(ranked))


def _above(difference: float, *half_widths: float) -> float:
    spread = math.hypot(*half_widths) / _DEVIATIONS
    if spread == 0:
        return float(difference >= 0)
    return 0.5 * (1 + math.erf(difference / (spread * math.sqrt(2))))


def _check(point: Measured) -> None:
    numbers = (point.cost, point.score, point.cost_error, point.score_error)
    if not all(map(math.isfinite, numbers)):
        raise InputError(f"{point} holds a number that is not finite; where it stands was not measured.")
    if point.cost_error < 0 or point.score_error < 0:
        raise InputError(f"{point} has an error below 0; half-widths of intervals were expected.")
