"""Fit what a linear layer makes to what it should make, from sums over rows: ridge least squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

__all__ = ["RIDGES", "Change", "Equations", "Sums", "best_change"]

RIDGES: Final = (1e-1, 1e-2, 1e-3, 1e-4, 1e-6)
"""How strongly new weights are held to those that stand, in parts of the mean square of an input."""

_CHUNK: Final = 2**23  # numbers in a block of rows: 64 MB in double precision


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Change:
    """What is added to a layer: ``weight (groups, out, width)``, as in `weight_matrix`, and ``bias (groups, out)``."""

    weight: Tensor
    bias: Tensor


class Sums:
    """Sums over rows ``X`` of the inputs and what is missing there at the outputs, ``E``.

    Args:
        groups: of the layer.
        width: of the rows of one group.
        out: outputs of one group.
        like: a tensor on the device where the sums lie.
    """

    def __init__(self, groups: int, width: int, out: int, like: Tensor) -> None:
        # The last entry of each row is a one, for the bias.
        self.gram = torch.zeros((groups, width + 1, width + 1), dtype=torch.float64, device=like.device)
        self.cross = torch.zeros((groups, width + 1, out), dtype=torch.float64, device=like.device)
        self.squares = torch.zeros((groups, out), dtype=torch.float64, device=like.device)
        self.aimed = 0.0
        self.rows = 0

    def add(self, rows: Tensor, missing: Tensor, aimed: float) -> None:
        """Add rows ``(rows, groups, width)``, what is missing ``(rows, groups, out)``, and the squares aimed at."""
        size = max(1, _CHUNK // self.gram[:, 0].numel())
        for some, lack in zip(torch.split(rows, size), torch.split(missing, size), strict=True):
            one = torch.cat([some, some.new_ones((*some.shape[:2], 1))], -1).transpose(0, 1)
            self.gram.baddbmm_(one.transpose(1, 2), one)
            self.cross.baddbmm_(one.transpose(1, 2), lack.transpose(0, 1))
            self.squares += lack.square().sum(0)
            self.rows += len(some)
        self.aimed += aimed

    def __add__(self, other: Sums) -> Sums:
        """Return the sums over the rows of both."""
        groups, width, out = self.cross.shape
        both = Sums(groups, width - 1, out, self.gram)
        for name in ("gram", "cross", "squares", "aimed", "rows"):
            setattr(both, name, getattr(self, name) + getattr(other, name))
        return both

    def left(self, change: Change | None, scale: Tensor) -> float:
        """Return the squares that would be missing after a change; ``scale (groups, out)`` weighs the outputs."""
        missing = self.squares
        if change is not None:
            both = torch.cat([change.weight, change.bias[..., None]], -1).transpose(1, 2)
            missing = missing - 2 * (both * self.cross).sum(1) + (both * (self.gram @ both)).sum(1)
        return float((missing.clamp(min=0) * scale.square()).sum())


class Equations:
    """The normal equations of some sums, to be solved with several ridges.

    ``min |E - X dW^T - db|^2 + ridge * mean(X^2) * rows * |dW|^2`` (He et al. 2017, arXiv:1707.06168, equation 3, with
    a ridge around the weights that stand rather than around zero: what needs no change gets none). In double precision
    by Cholesky; where that fails, by the pseudo-inverse.

    Args:
        sums: over the rows.
        bias: whether a bias may be fitted too.
    """

    def __init__(self, sums: Sums, *, bias: bool) -> None:
        gram, cross = sums.gram[:, :-1, :-1], sums.cross[:, :-1]
        self._mean, self._lack = sums.gram[:, :-1, -1:] / sums.rows, sums.cross[:, -1:] / sums.rows
        self._bias = bias
        if bias:
            gram = torch.baddbmm(gram, self._mean, self._mean.transpose(1, 2), alpha=-sums.rows)
            cross = torch.baddbmm(cross, self._mean, self._lack, alpha=-sums.rows)
        self._gram, self._cross = gram, cross
        self._size = gram.diagonal(dim1=1, dim2=2).mean(1, keepdim=True).clamp(min=1e-300)

    def solve(self, ridge: float) -> Change:
        """Return the change that leaves the fewest squares missing.

        Args:
            ridge: relative to the mean square of an input entry.
        """
        held = self._gram.clone()
        held.diagonal(dim1=1, dim2=2).add_(ridge * self._size)
        factor, failed = torch.linalg.cholesky_ex(held)
        if bool(failed.any()):
            weight = torch.linalg.pinv(held, hermitian=True) @ self._cross
        else:
            weight = torch.cholesky_solve(self._cross, factor)
        bias = self._lack - self._mean.transpose(1, 2) @ weight if self._bias else torch.zeros_like(self._lack)
        return Change(weight=weight.transpose(1, 2), bias=bias[:, 0])


def best_change(seen: Sums, unseen: Sums, scale: Tensor, *, bias: bool) -> Change | None:
    """Return the change fitted on all rows with the ridge that left the least missing in rows not fitted to.

    None where no ridge leaves less missing there than there is now. A weaker ridge is tried as long as that helps.
    """
    least, chosen, equations = unseen.left(None, scale), None, Equations(seen, bias=bias)
    for ridge in RIDGES:
        left = unseen.left(equations.solve(ridge), scale)
        if left < least:
            least, chosen = left, ridge
        elif chosen is not None:
            break
    return None if chosen is None else Equations(seen + unseen, bias=bias).solve(chosen)
