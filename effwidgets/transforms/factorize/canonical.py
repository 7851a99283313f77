"""The algebra of two more factorizations of a kernel: into single lines (CP), and into depthwise and pointwise."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["cp_factors", "cp_product", "depthwise_factors", "depthwise_product"]

_STARTS = 3  # how many of which the best after a few sweeps goes on
_FIRST, _SWEEPS = 8, 60
_STILL = 1e-5  # of the error: what a sweep must gain for another one
_RIDGE = 1e-8  # of the largest: columns that come to cancel one another stay bounded (Lebedev et al. 2015, section 4)

Lines = tuple[Tensor, Tensor, Tensor, Tensor]
"""Of ``out``, ``in``, rows and columns: ``(size, rank)`` each; a kernel is the sum over the rank of their products."""


def _double(weight: Tensor) -> Tensor:
    return weight.detach().double()


def cp_factors(weight: Tensor, rank: int) -> Lines:
    """Split ``(out, in, kh, kw)`` into four: points, a column and a row for each channel, points.

    ``(rank, in, 1, 1)``, ``(rank, 1, kh, 1)``, ``(rank, 1, 1, kw)`` and ``(out, rank, 1, 1)``.

    Alternating least squares: Lebedev et al. 2015 (arXiv:1412.6553). There need not be a best one, and what is found
    depends on the start: one from the singular vectors of each place of the kernel, exact at
    ``kh kw min(in, out)``, others at random, always the same ones; the best goes on.
    """
    whole = _double(weight)
    own = torch.Generator(device="cpu").manual_seed(0)
    starts: list[Callable[[], Lines]] = [lambda: _placed(whole, rank)]
    starts += [lambda: _random(whole, rank, own)] * (_STARTS - 1)
    found = [_alternated(whole, start(), _FIRST) for start in starts]
    error, best = min(found, key=lambda pair: pair[0])
    if error > _RIDGE:
        _, best = _alternated(whole, best, _SWEEPS)
    out, into, rows, columns = _even(best)
    made = into.T[:, :, None, None], rows.T[:, None, :, None], columns.T[:, None, None, :], out[:, :, None, None]
    return tuple(part.contiguous().to(weight.dtype) for part in made)  # type: ignore[return-value]


def cp_product(into: Tensor, rows: Tensor, columns: Tensor, out: Tensor) -> Tensor:
    """Return the ``(out, in, kh, kw)`` weight that applies the four factors of `cp_factors` at once."""
    parts = into[:, :, 0, 0], rows[:, 0, :, 0], columns[:, 0, 0, :], out[:, :, 0, 0].T
    whole = torch.einsum("ri,rh,rw,ro->oihw", *(_double(part) for part in parts))
    return whole.to(into.dtype)


def _placed(whole: Tensor, rank: int) -> Lines:
    # The largest singular values of all places of the kernel, each with its vectors.
    out, into, high, wide = whole.shape
    slices = whole.permute(2, 3, 0, 1).reshape(high * wide, out, into)
    left, values, right = torch.linalg.svd(slices, full_matrices=False)
    order = values.flatten().argsort(descending=True, stable=True)[:rank]
    order = torch.cat([order, order.new_zeros(rank - len(order))])
    place, number = order // values.shape[1], order % values.shape[1]
    rows, columns = torch.eye(high).to(whole)[:, place // wide], torch.eye(wide).to(whole)[:, place % wide]
    scale = values[place, number]
    scale[values.numel() :] = 0
    return left[place, :, number].T * scale, right[place, number].T.contiguous(), rows, columns


def _random(whole: Tensor, rank: int, own: torch.Generator) -> Lines:
    made = (torch.randn(size, rank, generator=own, dtype=torch.float64).to(whole) for size in whole.shape)
    return tuple(part / part.norm(dim=0) for part in made)


def _alternated(whole: Tensor, lines: Lines, sweeps: int) -> tuple[float, Lines]:
    # Each factor in turn is the least-squares answer to the others; returns the squared relative error too, and the
    # best that was met: the ridge can make a sweep worse.
    parts, norm = list(lines), float(whole.square().sum())
    error = _error(whole, lines, norm)
    best = lines
    for _ in range(sweeps if error > _RIDGE else 0):
        for place in range(4):
            others = [part for number, part in enumerate(parts) if number != place]
            met = _met(whole, parts, place)
            gram = others[0].T @ others[0]
            for other in others[1:]:
                gram = gram * (other.T @ other)
            gram.diagonal().add_(_RIDGE * float(gram.diagonal().max()))
            parts[place] = torch.linalg.solve(gram, met.T).T
            if place < 3:
                parts[place] = parts[place] / parts[place].norm(dim=0).clamp(min=1e-30)
        now = _error(whole, (parts[0], parts[1], parts[2], parts[3]), norm)
        still = not now < error * (1 - _STILL)
        if now < error:
            error, best = now, (parts[0], parts[1], parts[2], parts[3])
        if still:
            break
    return error, best


def _met(whole: Tensor, parts: list[Tensor], place: int) -> Tensor:
    # The unfolding along one side times the products of the others, from the largest sides to the smallest.
    out, into, rows, columns = parts
    if place == 0:
        return torch.einsum("oihw,ir,hr,wr->or", whole, into, rows, columns)
    if place == 1:
        return torch.einsum("oihw,or,hr,wr->ir", whole, out, rows, columns)
    inner = torch.einsum("oihw,or,ir->hwr", whole, out, into)
    return torch.einsum("hwr,wr->hr", inner, columns) if place == 2 else torch.einsum("hwr,hr->wr", inner, rows)


def _error(whole: Tensor, lines: Lines, norm: float) -> float:
    out, into, rows, columns = lines
    near = torch.einsum("or,ir,hr,wr->oihw", out, into, rows, columns)
    return float((whole - near).square().sum()) / norm if norm else 0.0


def _even(lines: Lines) -> Lines:
    # All four share the scale of their product.
    sizes = [part.norm(dim=0).clamp(min=1e-30) for part in lines]
    whole = (sizes[0] * sizes[1] * sizes[2] * sizes[3]).pow(0.25)
    return tuple(part / size * whole for part, size in zip(lines, sizes, strict=True))


def depthwise_factors(weight: Tensor, multiplier: int) -> tuple[Tensor, Tensor]:
    """Split ``(out, in, *k)`` into ``(in * multiplier, 1, *k)``, depthwise, and ``(out, in * multiplier, 1, ...)``.

    The nearest of their kind, by a singular value decomposition for each input channel: Guo et al. 2018
    (arXiv:1808.05517). Exact at ``min(k * k, out)``.
    """
    out, into, *kernel = weight.shape
    ones = [1] * len(kernel)
    flat = _double(weight).flatten(2).transpose(0, 1)  # (in, out, k)
    left, values, right = torch.linalg.svd(flat, full_matrices=False)
    root = values[:, :multiplier].sqrt()
    depth = root[:, :, None] * right[:, :multiplier]
    point = (left[:, :, :multiplier] * root[:, None, :]).permute(1, 0, 2)
    made = depth.reshape(into * multiplier, 1, *kernel), point.reshape(out, into * multiplier, *ones)
    return made[0].to(weight.dtype), made[1].to(weight.dtype)


def depthwise_product(depth: Tensor, point: Tensor, into: int) -> Tensor:
    """Return the ``(out, into, *k)`` weight that applies both factors of `depthwise_factors` at once."""
    each = depth.shape[0] // into
    depths = _double(depth).reshape(into, each, -1)
    points = _double(point).reshape(point.shape[0], into, each)
    whole = torch.einsum("imk,oim->oik", depths, points)
    return whole.reshape(point.shape[0], into, *depth.shape[2:]).to(depth.dtype)
