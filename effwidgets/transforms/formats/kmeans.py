"""A few values that stand for many numbers: k-means on a line."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["cluster", "in_order", "nearest"]

_ROUNDS = 200


def cluster(numbers: Tensor, count: int) -> Tensor:
    """Return at most ``count`` values, ascending, in double precision, near which ``numbers`` lie.

    Lloyd's algorithm (Lloyd 1982) on the sorted numbers, where a cluster is a run and its mean a difference of sums. It
    starts from evenly spread values (the best start in Han et al. 2016, arXiv:1510.00149, section 3.2), and from
    values as dense as the cube root of the numbers' density, which is best for many of them (Panter and Dite 1951);
    the better end of the two is returned. Nothing is drawn by chance.

    >>> cluster(torch.tensor([0.0, 0.5, 5.0, 6.0]), 2).tolist()
    [0.25, 5.5]
    """
    line = in_order(numbers)
    if int((line[1:] != line[:-1]).count_nonzero()) < count:
        distinct: Tensor = torch.unique_consecutive(line).double()
        return distinct
    sums = torch.cat((torch.zeros(1, dtype=torch.float64), line.cumsum(0, dtype=torch.float64)))
    ends = [_lloyd(line, sums, start) for start in (_even(line, count), _dense(line, count))]
    best: Tensor = min(ends, key=lambda end: end[0])[1]
    return best


def nearest(numbers: Tensor, values: Tensor) -> Tensor:
    """Return the index of the nearest of ascending ``values`` for each number; halfway the lower one. In uint8.

    >>> nearest(torch.tensor([0.0, 0.9, 7.0]), torch.tensor([0.0, 1.0, 2.0])).tolist()
    [0, 1, 2]
    """
    borders = ((values[1:] + values[:-1]) / 2).to(numbers.device, numbers.dtype)
    return torch.bucketize(numbers.detach(), borders, out_int32=True).to(torch.uint8)


def in_order(numbers: Tensor) -> Tensor:
    """Return all numbers, ascending, on the CPU, in float64 or float32.

    Many times quicker than a sort that also tells where each one stood.

    >>> in_order(torch.tensor([[2.0, 1.0], [3.0, 0.0]])).tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    flat = numbers.detach().flatten().cpu()
    return torch.from_numpy(np.sort((flat if flat.dtype is torch.float64 else flat.float()).numpy()))


def _even(line: Tensor, count: int) -> Tensor:
    return torch.linspace(float(line[0]), float(line[-1]), count, dtype=torch.float64)


def _dense(line: Tensor, count: int) -> Tensor:
    # Density in equal bins; its cube root, summed up, is cut into equal parts.
    bins = 16 * count
    low, high = float(line[0]), float(line[-1])
    edges = torch.linspace(low, high, bins + 1, dtype=torch.float64)
    held = torch.diff(torch.searchsorted(line, edges.to(line.dtype), right=True))
    grown = torch.cat((edges.new_zeros(1), held.double().pow(1 / 3).cumsum(0)))
    wanted = (torch.arange(count, dtype=torch.float64) + 0.5) / count * grown[-1]
    place = torch.searchsorted(grown, wanted).clamp(1, bins)
    before, after = grown[place - 1], grown[place]
    inside = torch.where(after > before, (wanted - before) / (after - before), 0.5)
    return edges[place - 1] + inside * (edges[1] - edges[0])


def _lloyd(line: Tensor, sums: Tensor, values: Tensor) -> tuple[float, Tensor]:
    # The error without the part that is the same for all clusterings, and the values.
    cuts = torch.empty(0)
    for _ in range(_ROUNDS):
        borders = (values[1:] + values[:-1]) / 2
        inner = torch.searchsorted(line, borders.to(line.dtype), right=True)
        new = torch.cat((inner.new_zeros(1), inner, inner.new_tensor([line.numel()])))
        if cuts.numel() and torch.equal(new, cuts):
            break
        cuts = new
        sizes, totals = torch.diff(cuts), torch.diff(sums[cuts])
        values = torch.where(sizes > 0, totals / sizes.clamp_min(1), values)
    sizes, totals = torch.diff(cuts), torch.diff(sums[cuts])
    return float(-(totals.square() / sizes.clamp_min(1)).sum()), values
