"""The leading directions of a matrix, from the eigenvectors of its Gram matrix: a fraction of the work of an SVD."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

__all__ = ["Spectrum", "remembered", "spectrum_of", "squares_of"]

_BLOCK = 128  # columns of a Gram matrix made at once; only blocks on and below the diagonal are
_CLEAR = 1e4  # how far the tail must stand above what single precision could lose: then the error moves by < 0.005%


_WIDE, _FEW = 512, 4  # of a matrix so large a quarter of the directions is found by iteration, in half the time or less
_DEGREE = 3


class Spectrum:
    """The left singular vectors of a matrix ``(m, n)``.

    The Gram matrix squares the singular values, and with them the rounding: in double precision those of a matrix of
    single precision survive that to its last digit. Single precision, at a third of the time, is taken where what is
    cut off is large beside what it could lose. A matrix of double precision, and one with fewer columns than rows, is
    left to the singular value decomposition.

    Where they are asked for ``once``, few directions of a large matrix come from a filtered iteration of a subspace:
    what they leave out was at most 0.5% longer than the least there is, and that for white noise, whose spectrum has no
    gap at all.
    """

    def __init__(self, matrix: Tensor, *, once: bool = True) -> None:
        self._once = once
        largest = matrix.abs().amax()
        # Directions know no scale, and the squares of what is far from 1 may leave the range of the dtype.
        self._matrix = matrix / torch.where(largest > 0, largest, torch.ones_like(largest))
        self._found: dict[torch.dtype, tuple[Tensor, Tensor]] = {}

    def leading(self, rank: int) -> Tensor:
        """Return the first ``rank`` left singular vectors ``(m, rank)``; a basis filled up where there are fewer."""
        rows, columns = self._matrix.shape
        if self._matrix.dtype is torch.float64 or columns < rows:
            left: Tensor = torch.linalg.svd(self._matrix, full_matrices=rank > columns)[0]
            return left[:, :rank]
        if self._once and rows >= _WIDE and rank * _FEW <= rows:
            found = _iterated(_lower_gram(self._matrix), rank)
            if found is not None:
                return found
        single = rank < rows and _clear(self._eigen(torch.float32)[0], rank)
        _, vectors = self._eigen(torch.float32 if single else torch.float64)
        return vectors[:, rows - rank :].flip(1).to(self._matrix.dtype)

    def like(self, other: Spectrum) -> bool:
        """Say whether the directions are the same: the matrices are, bit for bit, but for their scale."""
        one, two = self._matrix, other._matrix
        return one.dtype == two.dtype and one.device == two.device and torch.equal(one, two)

    def _eigen(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        # Eigenvalues from small to large, and their vectors as columns.
        if dtype not in self._found:
            self._found[dtype] = _eigh(_lower_gram(self._matrix.to(dtype)))
        return self._found[dtype]


def squares_of(matrix: Tensor, upto: int) -> Tensor:
    """Return the squared singular values of ``matrix``, from large to small, in double precision.

    Those behind place ``upto`` are exact in their sum only: that is what is lost by cutting there, or before. From the
    Gram matrix of the shorter side, in single precision where what lies behind ``upto`` is large beside what that could
    lose, so that one decomposition tells the error of every rank at a tenth of the work.
    """
    short = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    largest = short.abs().amax()
    scaled = short / torch.where(largest > 0, largest, torch.ones_like(largest))
    values = torch.linalg.eigvalsh(_lower_gram(scaled))
    if scaled.dtype is not torch.float64 and not (0 < upto < len(values) and _clear(values, upto)):
        values = torch.linalg.eigvalsh(_lower_gram(scaled.double()))
    found: Tensor = values.double().clamp(min=0).flip(0) * largest.double().square()
    return found


def _eigh(lower: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(lower)
    return values, vectors


def _lower_gram(matrix: Tensor) -> Tensor:
    # What stands above the diagonal blocks is not read by eigh, and stays zero.
    rows = matrix.shape[0]
    gram = matrix.new_zeros(rows, rows)
    for start in range(0, rows, _BLOCK):
        part = slice(start, start + _BLOCK)
        gram[start:, part] = matrix[start:] @ matrix[part].T
    return gram


def _iterated(lower: Tensor, rank: int) -> Tensor | None:
    # Randomised subspace iteration (Halko, Martinsson and Tropp 2011), sharpened by a Chebyshev polynomial, which is
    # small on what is not wanted (Zhou et al. 2006). None where single precision could not tell the directions.
    gram = lower.tril() + lower.tril(-1).T
    rows = len(gram)
    own = torch.Generator(device="cpu").manual_seed(0)
    start = torch.randn(rows, min(rows, rank + max(16, rank // 8)), generator=own, dtype=gram.dtype)
    basis = _orthogonal(gram @ start.to(gram.device))
    moved = gram @ basis
    edge = torch.linalg.eigvalsh(basis.T @ moved)[0].clamp(min=torch.finfo(gram.dtype).tiny)
    before, now = basis, moved * (2 / edge) - basis
    for _ in range(_DEGREE - 1):
        before, now = now, (gram @ now) * (4 / edge) - 2 * now - before
    if not bool(now.isfinite().all()):
        return None
    basis = _orthogonal(now)
    values, vectors = torch.linalg.eigh(basis.T @ (gram @ basis))
    tail = gram.diagonal().sum() - values[-rank:].sum()
    loss = torch.finfo(gram.dtype).eps * rank**0.5 * gram.norm()
    return (basis @ vectors[:, -rank:]).flip(1) if bool(tail > _CLEAR * loss) else None


def _orthogonal(columns: Tensor) -> Tensor:
    # Twice by Cholesky is as good as QR (Yamamoto et al. 2015) and a third of its time; where it fails, QR.
    for _ in range(2):
        factor, failed = torch.linalg.cholesky_ex(columns.T @ columns)
        if bool(failed):
            columns, _ = torch.linalg.qr(columns)
            break
        columns = torch.linalg.solve_triangular(factor.T, columns, upper=True, left=False)
    return columns


def _clear(values: Tensor, rank: int) -> bool:
    # An error E of the Gram matrix loses at most sqrt(rank) |E| of the squared norm that ``rank`` directions keep (Ky
    # Fan 1949); |E| is some roundings of the norm of the Gram matrix. The squared norm cut off is the sum of the rest.
    tail = values[: len(values) - rank].clamp(min=0).sum()
    loss = torch.finfo(values.dtype).eps * rank**0.5 * values.norm()
    return bool(tail > _CLEAR * loss)


_last: ContextVar[list[Spectrum] | None] = ContextVar("effwidgets_last_spectrum", default=None)


@contextmanager
def remembered() -> Iterator[None]:
    """While this lasts, in this thread, a matrix asked for again and again is decomposed once.

    One matrix is kept, the last, and found again by its numbers, so nothing that changed is taken for what it was.
    """
    token = _last.set([])
    try:
        yield
    finally:
        _last.reset(token)


def spectrum_of(matrix: Tensor) -> Spectrum:
    """Return the spectrum of ``matrix``: inside of `remembered` the last one, when it is of the same matrix."""
    held = _last.get()
    new = Spectrum(matrix, once=held is None)
    if held is None:
        return new
    if not (held and held[0].like(new)):
        held[:] = [new]
    return held[0]
