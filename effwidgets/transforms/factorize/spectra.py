"""What every rank of a factorization would lose, from one decomposition a layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from effwidgets.errors import UnknownNameError
from effwidgets.transforms.factorize.spectrum import squares_of

__all__ = ["SPECTRAL", "Spectra", "energy_rank", "spectra_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spectra:
    """The squared singular values behind each rank of a layer, from large to small; of all its groups together.

    Attributes:
        squares: for each rank of the technique, ``(full rank,)`` in double precision.
        shapes: rows and columns of the matrices that they belong to.
        total: their sum, the squared norm of the weight, or of the outputs where inputs were given.
        groups: how many matrices were added up, place by place.
    """

    squares: tuple[Tensor, ...]
    shapes: tuple[tuple[int, int], ...]
    total: float
    groups: int = 1

    def error(self, ranks: Sequence[int]) -> float:
        """Return the relative error at these ranks: exact for one rank, for two an upper bound (De Lathauwer 2000)."""
        if not self.total > 0:
            return 0.0
        lost = sum(float(values[rank:].sum()) for values, rank in zip(self.squares, ranks, strict=True))
        return min(1.0, math.sqrt(lost / self.total))


Unfold = Callable[[Tensor], tuple[Tensor, ...]]


def _flat(weight: Tensor) -> tuple[Tensor, ...]:
    return (weight.flatten(1),)


def _spatial(weight: Tensor) -> tuple[Tensor, ...]:
    out, into, high, wide = weight.shape
    return (weight.permute(1, 2, 0, 3).reshape(into * high, out * wide),)


def _sides(weight: Tensor) -> tuple[Tensor, ...]:
    return weight.transpose(0, 1).flatten(1), weight.flatten(1)


SPECTRAL: Mapping[str, Unfold] = {"low_rank": _flat, "spatial_svd": _spatial, "tucker2": _sides, "bottleneck": _sides}
"""The matrices whose singular values tell the error of a technique's ranks, in the order of the ranks."""


def spectra_of(
    transform: str, weight: Tensor, upto: Sequence[int], *, groups: int = 1, gram: Tensor | None = None
) -> Spectra:
    """Return the spectra of one layer.

    Args:
        transform: one of `SPECTRAL`.
        weight: ``(out, in / groups, *kernel)``.
        upto: the largest ranks that will be asked for.
        groups: of a convolution.
        gram: second moments of the inputs, ``(groups, d, d)``: then the errors are those of the outputs. For
            ``low_rank`` alone; the others are not nearest for their inputs.

    Raises:
        UnknownNameError: no such technique, or one whose ranks no singular values tell of.
    """
    if transform not in SPECTRAL:
        raise UnknownNameError("technique with ranks by rule", transform, tuple(SPECTRAL))
    whole = weight.detach()
    whole = whole if whole.dtype in (torch.float32, torch.float64) else whole.float()
    added: list[Tensor] = []
    shapes: tuple[tuple[int, int], ...] = ()
    for number, part in enumerate(whole.chunk(groups)):
        matrices = SPECTRAL[transform](part)
        shapes = tuple((int(matrix.shape[0]), int(matrix.shape[1])) for matrix in matrices)
        if gram is not None:
            flat = part.flatten(1).double()
            found = [torch.linalg.eigvalsh(flat @ gram[number].to(flat.device) @ flat.T).clamp(min=0).flip(0)]
            found = [values[: min(flat.shape)] for values in found]
        else:
            found = [squares_of(matrix, rank) for matrix, rank in zip(matrices, upto, strict=True)]
        added = [one + other for one, other in zip(added, found, strict=True)] if added else found
    return Spectra(squares=tuple(added), shapes=shapes, total=float(added[0].sum()), groups=groups)


def energy_rank(squares: Tensor, share: float) -> int:
    """Return the least rank that holds this share of the sum; 0 where there is nothing to hold."""
    whole = squares.cumsum(0)
    if not float(whole[-1]) > 0:
        return 0
    return min(int((whole < share * whole[-1] * (1 - 1e-12)).sum()) + 1, len(squares))
