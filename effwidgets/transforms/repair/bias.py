"""Put the mean of what is missing into the bias: of removed channels, their mean times their weights."""

from __future__ import annotations

import torch

from effwidgets.transforms.repair.least_squares import Change, Sums

__all__ = ["bias_change"]


def bias_change(seen: Sums, unseen: Sums, scale: torch.Tensor) -> Change | None:
    """Return the change of the bias alone that leaves the fewest squares missing.

    None where it does not leave less missing in rows that it was not fitted to.
    """
    change = _mean(seen)
    if not unseen.left(change, scale) < unseen.left(None, scale):
        return None
    return _mean(seen + unseen)


def _mean(sums: Sums) -> Change:
    bias = sums.cross[:, -1] / max(1, sums.rows)
    groups, width, out = sums.cross.shape
    return Change(weight=bias.new_zeros((groups, out, width - 1)), bias=bias)
