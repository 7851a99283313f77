"""The algebra of the factorizations: a weight in, factors of the asked rank out, their product back.

Factors share the scale: each takes the square root of the singular values. Both then have gradients of one size;
factors of unlike scale were seen to ruin fine-tuning.
"""

from __future__ import annotations

import torch
from torch import Tensor

from effwidgets.transforms.factorize.spectrum import Spectrum, spectrum_of

__all__ = [
    "evened",
    "matrix_factors",
    "matrix_product",
    "spatial_factors",
    "spatial_product",
    "tucker_factors",
    "tucker_product",
]

_SWEEPS = 3  # HOOI gains in the first sweeps what it gains at all; on trained 3 x 3 layers the fourth changed < 1e-4


def _working(weight: Tensor) -> Tensor:
    # LAPACK knows no half precision; what it knows is taken as it is.
    return weight.detach() if weight.dtype in (torch.float32, torch.float64) else weight.detach().float()


def _split(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    # (m, n) into (m, rank) and (rank, n). Eckart and Young 1936: no other pair of this rank is closer.
    if matrix.shape[0] > matrix.shape[1]:
        second, first = _split(matrix.T, rank)
        return first.T, second.T
    left = spectrum_of(matrix).leading(rank)
    right = left.T @ matrix  # projected, whatever the spectrum: the rows are the singular values long
    root = torch.linalg.vector_norm(right, dim=1, dtype=torch.float64).sqrt().to(right.dtype)
    return left * root, right / torch.where(root > 0, root, torch.ones_like(root))[:, None]


def matrix_factors(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Split ``weight`` ``(out, in, *k)`` into ``(rank, in, *k)``, applied first, and ``(out, rank, 1, ...)``.

    Truncated singular value decomposition, as Denton et al. 2014 (arXiv:1404.0736) use it.
    """
    ones = [1] * (weight.dim() - 2)
    second, first = _split(_working(weight).flatten(1), rank)
    made = first.reshape(rank, *weight.shape[1:]), second.reshape(weight.shape[0], rank, *ones)
    return made[0].to(weight.dtype), made[1].to(weight.dtype)


def matrix_product(first: Tensor, second: Tensor) -> Tensor:
    """Return the weight that applies both factors of `matrix_factors` at once."""
    product = _working(second).flatten(1) @ _working(first).flatten(1)
    return product.reshape(second.shape[0], *first.shape[1:]).to(first.dtype)


def spatial_factors(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Split ``weight`` ``(out, in, kh, kw)`` into ``(rank, in, kh, 1)``, applied first, and ``(out, rank, 1, kw)``.

    Singular value decomposition of the matrix ``(in kh, out kw)``: Jaderberg et al. 2014 (arXiv:1405.3866), scheme 2,
    in the closed form of Tai et al. 2016 (arXiv:1511.06067).
    """
    out, into, high, wide = weight.shape
    matrix = _working(weight).permute(1, 2, 0, 3).reshape(into * high, out * wide)
    first, second = _split(matrix, rank)
    vertical = first.T.reshape(rank, into, high, 1)
    horizontal = second.reshape(rank, out, 1, wide).transpose(0, 1)
    return vertical.contiguous().to(weight.dtype), horizontal.contiguous().to(weight.dtype)


def spatial_product(vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Return the ``(out, in, kh, kw)`` weight that applies both factors of `spatial_factors` at once."""
    product = torch.einsum("rih,orw->oihw", _working(vertical)[..., 0], _working(horizontal)[:, :, 0, :])
    return product.to(vertical.dtype)


def tucker_factors(weight: Tensor, rank_in: int, rank_out: int) -> tuple[Tensor, Tensor, Tensor]:
    """Split ``(out, in, *k)`` into ``(rank_in, in, 1..)``, ``(rank_out, rank_in, *k)`` and ``(out, rank_out, 1..)``.

    Tucker-2 of Kim et al. 2016 (arXiv:1511.06530): higher-order singular value decomposition, then alternating sweeps
    (HOOI, De Lathauwer et al. 2000).
    """
    ones = [1] * (weight.dim() - 2)
    flat = _working(weight).flatten(2)  # (out, in, k)
    by_out, by_in = flat.transpose(1, 2).contiguous(), flat.permute(1, 2, 0).contiguous()  # (out, k, in), (in, k, out)
    left_in = spectrum_of(by_in.flatten(1)).leading(rank_in)
    for _ in range(_SWEEPS):
        left_out = Spectrum((by_out @ left_in).flatten(1)).leading(rank_out)
        narrow = by_in @ left_out  # (in, k, rank_out)
        left_in = Spectrum(narrow.flatten(1)).leading(rank_in)
    core = (left_in.T @ narrow.flatten(1)).reshape(rank_in, -1, rank_out).permute(2, 0, 1)
    first, core, last = _balanced(left_in.T, core, left_out)
    first, last = first.reshape(rank_in, -1, *ones), last.reshape(-1, rank_out, *ones)
    middle = core.reshape(rank_out, rank_in, *weight.shape[2:])
    return first.to(weight.dtype), middle.to(weight.dtype), last.to(weight.dtype)


def evened(first: Tensor, core: Tensor, last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return factors of the same product that share its scale.

    ``(rank_in, in)``, ``(rank_out, rank_in, k)`` and ``(out, rank_out)``: the outer ones are made orthogonal, the core
    takes what is left of them, and gives half of it back.
    """
    left, over = torch.linalg.qr(last)
    right, under = torch.linalg.qr(first.T)
    return _balanced(right.T, torch.einsum("xq,qpk,yp->xyk", over, core, under), left)


def _balanced(first: Tensor, core: Tensor, last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    # All scale lies in the core after HOOI; half of each component's goes to the outer factor that meets it.
    into = _root(core.norm(dim=(0, 2)))
    core = core / into[None, :, None]
    out = _root(core.norm(dim=(1, 2)))
    return first * into[:, None], core / out[:, None, None], last * out[None, :]


def _root(norms: Tensor) -> Tensor:
    # A component of no weight keeps its scale: a row of zeros in two factors would never learn.
    weightless = norms <= norms.max() * 1e-5
    return torch.where(weightless, torch.ones_like(norms), norms).sqrt()


def tucker_product(first: Tensor, middle: Tensor, last: Tensor) -> Tensor:
    """Return the ``(out, in, *k)`` weight that applies the three factors of `tucker_factors` at once."""
    flat = torch.einsum(
        "pi,qpk,oq->oik", _working(first).flatten(1), _working(middle).flatten(2), _working(last).flatten(1)
    )
    return flat.reshape(last.shape[0], first.shape[1], *middle.shape[2:]).to(first.dtype)
