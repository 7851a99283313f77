"""The factors of a narrowed convolution fitted to real inputs, so that its outputs come near to those that were.

All that is linear is found from the second moments ``G`` of the patches that the convolution meets: the outputs of the
original are ``W X``, those of the factors ``C P X``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["alternated", "composed", "refit_behind_relu", "refit_last"]

_SWEEPS = 5
_STEPS = 12  # of conjugate gradients for the first factor, which starts from where it was
_WEIGHTS = (0.01, 0.03, 0.1, 0.3, 1.0)  # of the auxiliary variable: Zhang et al. 2016 let it grow
_ROUNDS = 5  # at each
_RIDGE = 1e-9  # of the mean square

Triple = tuple[Tensor, Tensor, Tensor]
"""``(rank_in, in)``, ``(rank_out, rank_in, k)``, ``(out, rank_out)`` in double precision; the kernel is flat."""


def composed(first: Tensor, core: Tensor) -> Tensor:
    """Return what the first two factors do at once, ``(rank_out, in * k)``."""
    return torch.einsum("qpk,pi->qik", core, first).flatten(1)


def refit_last(weight: Tensor, factors: Triple, gram: Tensor) -> Triple:
    """Return the factors with the last one that leaves the least error: ``C = W G P^T (P G P^T)^-1``.

    Args:
        weight: ``(out, in * k)``.
        factors: to start from.
        gram: second moments of the patches, ``(in * k, in * k)``.
    """
    first, core, _ = factors
    inner = composed(first, core)
    met = gram @ inner.T
    return first, core, _solved(inner @ met, (weight @ met).T).T


def alternated(weight: Tensor, factors: Triple, gram: Tensor) -> Triple:
    """Return all three factors fitted, each in turn with the others as they are."""
    first, core, last = refit_last(weight, factors, gram)
    for _ in range(_SWEEPS):
        core = _core(weight, (first, core, last), gram)
        first = _first(weight, (first, core, last), gram)
        first, core, last = refit_last(weight, (first, core, last), gram)
    return first, core, last


def _core(weight: Tensor, factors: Triple, gram: Tensor) -> Tensor:
    first, core, last = factors
    places = core.shape[2]
    width = weight.shape[1]
    wide = gram.reshape(width, -1, places)
    half = torch.einsum("wik,pi->wpk", wide, first).flatten(1)  # G (F x I)^T
    inner = torch.einsum("ikw,pi->pkw", half.reshape(-1, places, half.shape[1]), first).flatten(0, 1)
    middle = _solved(last.T @ last, last.T @ (weight @ half))
    return _solved(inner, middle.T).T.reshape(core.shape)


def _first(weight: Tensor, factors: Triple, gram: Tensor) -> Tensor:
    first, core, last = factors
    places, into = core.shape[2], first.shape[1]
    both = torch.einsum("oq,qpk->opk", last, core).flatten(1)  # (out, p k)
    squares = both.T @ both

    def onto(errors: Tensor) -> Tensor:  # (p k, in k): of each place of the kernel the part that meets it
        return torch.einsum("pkik->pi", errors.reshape(first.shape[0], places, into, places))

    def normal(asked: Tensor) -> Tensor:
        spread = torch.einsum("xqk,qi->xik", squares.reshape(len(squares), -1, places), asked).flatten(1)
        return onto(spread @ gram)

    return _conjugate(normal, onto(both.T @ weight @ gram), first)


def _conjugate(normal: Callable[[Tensor], Tensor], target: Tensor, start: Tensor) -> Tensor:
    found, left = start, target - normal(start)
    way, size = left, float(left.square().sum())
    for _ in range(_STEPS):
        if size <= _RIDGE**2 * float(target.square().sum()):
            break
        moved = normal(way)
        step = size / max(float((way * moved).sum()), torch.finfo(torch.float64).tiny)
        found, left = found + step * way, left - step * moved
        before, size = size, float(left.square().sum())
        way = left + size / before * way
    return found


def refit_behind_relu(
    inner: Tensor, wanted: Tensor, start: tuple[Tensor, Tensor | None], norm: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor | None]:
    """Return the last factor and bias for which what a ReLU lets through comes nearest to what it let through before.

    Zhang et al. 2016 (arXiv:1505.06798), section 3.2: an auxiliary variable stands for the responses before the ReLU;
    it and the factor are found in turns, each exactly, while it is bound closer and closer to the responses.

    Args:
        inner: what the factors before answered, ``(rows, rank_out)``.
        wanted: what the layer answered, ``(rows, out)``.
        start: last factor ``(out, rank_out)`` and bias ``(out,)``; None where it has none.
        norm: scale and shift, ``(out,)`` each, of a batch norm between the layer and the ReLU.
    """
    scale, shift = norm if norm is not None else (torch.ones_like(wanted[0]), torch.zeros_like(wanted[0]))
    alive = scale != 0
    safe = torch.where(alive, scale, torch.ones_like(scale))
    through = (scale * wanted).add_(shift).clamp_(min=0)
    squares = through.square()
    last, bias = start
    rows = torch.cat([inner, inner.new_ones(len(inner), 1)], 1) if bias is not None else inner
    now = torch.cat([last, bias[:, None]], 1) if bias is not None else last
    gram = rows.T @ rows
    before = (rows @ now.T).mul_(scale).add_(shift)
    best, least = now, _missed(through, before)
    for weight in _WEIGHTS:
        for _ in range(_ROUNDS):
            asked = _nearest((through, squares), before, weight).sub_(shift).div_(safe)
            now = torch.where(alive[:, None], _solved(gram, rows.T @ asked).T, now)
            before = (rows @ now.T).mul_(scale).add_(shift)
        error = _missed(through, before)
        if error < least:
            best, least = now, error
    return (best[:, :-1], best[:, -1]) if bias is not None else (best, None)


def _missed(through: Tensor, before: Tensor) -> float:
    return float((through - before.clamp(min=0)).square_().sum())


def _nearest(through: tuple[Tensor, Tensor], before: Tensor, weight: float) -> Tensor:
    # For each entry the z that makes (through - relu(z))^2 + weight (z - before)^2 least: below zero, or above.
    # In place wherever a tensor is our own: these are the longest ones, and most of the time goes into writing them.
    asked, squares = through
    below = before.clamp(max=0)
    above = (weight * before).add_(asked).div_(weight + 1).clamp_(min=0)
    low = (below - before).square_().mul_(weight).add_(squares)
    high = (above - before).square_().mul_(weight).add_((asked - above).square_())
    return torch.where(low < high, below, above)


def _solved(gram: Tensor, met: Tensor) -> Tensor:
    # gram^-1 met of a matrix that may be singular: a component that no input reaches keeps out of it.
    ridge = _RIDGE * gram.diagonal().mean().clamp(min=torch.finfo(gram.dtype).tiny)
    whole = gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    factor, failed = torch.linalg.cholesky_ex(whole)
    found: Tensor = (
        torch.linalg.pinv(whole, hermitian=True) @ met if bool(failed) else torch.cholesky_solve(met, factor)
    )
    return found
