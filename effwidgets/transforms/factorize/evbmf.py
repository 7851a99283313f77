"""The rank of a matrix in noise, without a setting: empirical variational Bayesian matrix factorization.

Nakajima, Sugiyama, Babacan and Tomioka 2013 (Journal of Machine Learning Research 14), Theorem 2 and Corollary 3: the
global solution in closed form. Only the variance of the noise is looked for, by a search along one line.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["evbmf_rank", "weakened"]

_GRID = 200  # the objective may have several valleys: the lowest point of a grid, then its own valley
_GOLDEN = (math.sqrt(5) - 1) / 2
_TURNS = 60


def evbmf_rank(squares: Tensor, rows: int, columns: int) -> int:
    """Return how many singular values stand out of the noise; 0 where none does.

    Args:
        squares: all squared singular values of the matrix, ``(min(rows, columns),)``, in any order.
        rows: of the matrix.
        columns: of the matrix.

    >>> import torch
    >>> evbmf_rank(torch.linalg.svdvals(torch.eye(8)).square(), 8, 8)
    0
    """
    short, long = min(rows, columns), max(rows, columns)
    found = squares.double().clamp(min=0).sort(descending=True).values
    whole = float(found.sum())
    if not whole > 0 or not math.isfinite(whole):
        return 0
    found = found / whole * (short * long)  # the mean square of an entry is 1 then
    alpha = short / long
    edge = _edge(alpha)
    variance = _variance(found, short, long)
    return int((found > long * variance * edge).sum())


def weakened(rank: int, full: int, weakening: float) -> int:
    """Return a rank part of the way from ``rank`` to ``full``: Gusak et al. 2019 (arXiv:1903.09973).

    Values of trained layers lie far below any rank that keeps their outputs, so it is weakened, and refined step by
    step. A rank of 0 says that nothing was found, and stays 0.

    >>> weakened(10, 50, 0.25), weakened(0, 50, 0.25)
    (20, 0)
    """
    return min(full, round(rank + weakening * (full - rank))) if rank else 0


def _edge(alpha: float) -> float:
    # The squared singular value, in units of the noise, from which on a component is kept: equation 24; 2.5129 is the
    # answer of its equation 19 for wide matrices, and fits all.
    tau = 2.5129 * math.sqrt(alpha)
    return (1 + tau) * (1 + alpha / tau)


def _variance(squares: Tensor, short: int, long: int) -> float:
    alpha = short / long
    edge = _edge(alpha)
    most = min(math.ceil(short / (1 + alpha)) - 1, short - 1)  # no more components than these can be told from noise
    upper = float(squares.sum()) / (short * long)
    lower = max(float(squares[most]) / (long * edge), float(squares[most:].mean()) / long)
    lower = min(max(lower, upper * 1e-12), upper)
    points = torch.logspace(math.log10(lower), math.log10(upper), _GRID, dtype=torch.float64)
    values = [_objective(squares, float(point), (short, long)) for point in points]
    at = min(range(_GRID), key=values.__getitem__)
    left, right = float(points[max(at - 1, 0)]), float(points[min(at + 1, _GRID - 1)])
    for _ in range(_TURNS):
        one, two = right - _GOLDEN * (right - left), left + _GOLDEN * (right - left)
        if _objective(squares, one, (short, long)) <= _objective(squares, two, (short, long)):
            right = two
        else:
            left = one
    return (left + right) / 2


def _objective(squares: Tensor, variance: float, sizes: tuple[int, int]) -> float:
    # The free energy as a function of the noise alone, up to a constant: equation 26.
    short, long = sizes
    alpha, scaled = short / long, squares / (long * variance)
    signal = scaled[scaled > _edge(alpha)]
    noise = scaled[scaled <= _edge(alpha)].clamp(min=1e-300)
    kept = signal - (1 + alpha)
    tau = 0.5 * (kept + (kept.square() - 4 * alpha).clamp(min=0).sqrt())
    value = (noise - noise.log()).sum() + (signal - tau).sum()
    value = value + ((tau + 1) / signal).log().sum() + alpha * (tau / alpha + 1).log().sum()
    return float(value)
