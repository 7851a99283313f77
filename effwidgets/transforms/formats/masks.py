"""Which numbers of a weight become zero: the smallest, or those that move the outputs least."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError, UnknownNameError
from effwidgets.records import Step
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.moments import Seen, watched
from effwidgets.transforms.rows import choose_places, is_rowed, rows_in
from effwidgets.transforms.trial import answer, stand_in

__all__ = [
    "CRITERIA",
    "check_criterion",
    "input_norms",
    "norms_for",
    "scores",
    "smallest",
    "smallest_in_rows",
    "two_of_four",
]

CRITERIA: Final = ("magnitude", "wanda")
"""|w|, or |w| times the norm of the input that it meets, compared inside of each row (Sun et al. 2024,
arXiv:2306.11695)."""

_FOUR: Final = 4
_KEPT: Final = 2
_ROWS: Final = 4096  # of a batch: enough for a norm
_CHUNK: Final = 2**24  # numbers in a block of rows: 128 MB in double precision


def check_criterion(step: Step) -> str:
    """Return the criterion of a step, "magnitude" where it names none.

    Raises:
        UnknownNameError: there is no such criterion.
    """
    criterion = dict(step.settings).get("criterion", "magnitude")
    if criterion not in CRITERIA:
        raise UnknownNameError(f"criterion of {step.transform}", criterion, CRITERIA)
    return str(criterion)


def input_norms(model: nn.Module, layer: str, calibration: Calibration) -> Tensor:
    """Return the norm of each input of a linear layer over real data, ``(groups, width)``.

    ``width`` runs like a row of ``weight.flatten(1)``. The same norms stand on the diagonal of
    `moments.input_moments`, which needs ``width`` squared numbers for them.

    Raises:
        TransformError: the layer never ran.
    """
    sums: list[Tensor] = []

    def look(seen: Seen) -> None:
        limit = max(1, _ROWS // len(calibration.batches))
        width = max(1, seen.value.numel() // max(1, seen.value.shape[0]))
        parts = choose_places(seen.module, seen.output, limit).split(max(1, _CHUNK // width))
        sums.extend(rows_in(seen.module, seen.value, part).square().sum(0) for part in parts)

    with watched(stand_in(model), [layer], look) as twin:
        for batch in calibration.batches:
            answer(twin, batch)
    if not sums:
        raise TransformError(f"{layer} did not run on the calibration data, so its inputs are not known.")
    return torch.stack(sums).sum(0).sqrt()


def scores(weight: Tensor, norms: Tensor | None = None) -> Tensor:
    """Return what each number is worth, in the shape of ``weight``: its size, times the norm of its input.

    Args:
        weight: of a layer: ``(out, in / groups, ...)``.
        norms: ``(groups, width)``, see `input_norms`; None for sizes alone.
    """
    sizes = weight.detach().abs()
    sizes = sizes if sizes.dtype is torch.float64 else sizes.float()  # exact, and every kernel knows it
    if norms is None:
        return sizes
    rows = sizes.reshape(norms.shape[0], -1, norms.shape[1])  # groups, out per group, width
    return (rows * norms[:, None, :].to(rows.device, rows.dtype)).reshape(weight.shape)


def smallest(worth: Tensor, count: int) -> Tensor:
    """Mark the ``count`` smallest entries; of equal ones those that stand first.

    >>> smallest(torch.tensor([3.0, 1.0, 1.0, 2.0]), 1).tolist()
    [False, True, False, False]
    """
    flat = worth.flatten()
    if count <= 0:
        return torch.zeros_like(worth, dtype=torch.bool)
    border = flat.kthvalue(min(count, flat.numel())).values
    marked = flat < border
    ties = (flat == border).nonzero().flatten()
    marked[ties[: count - int(marked.count_nonzero())]] = True
    return marked.view(worth.shape)


def smallest_in_rows(worth: Tensor, count: int) -> Tensor:
    """Mark the ``count`` smallest entries of each row ``worth[i]``; of equal ones those that stand first.

    >>> smallest_in_rows(torch.tensor([[3.0, 1.0], [5.0, 9.0]]), 1).tolist()
    [[False, True], [True, False]]
    """
    rows = worth.flatten(1)
    order = rows.argsort(dim=1, stable=True)[:, :count]
    return torch.zeros_like(rows, dtype=torch.bool).scatter_(1, order, value=True).view(worth.shape)


def two_of_four(worth: Tensor) -> Tensor:
    """Mark the two least of each four neighbours along the inputs (dimension 1); of equal ones those behind.

    Raises:
        TransformError: the inputs do not come in fours.

    >>> two_of_four(torch.tensor([[4.0, 1.0, 3.0, 2.0]])).tolist()
    [[False, True, False, True]]
    """
    if worth.dim() < _KEPT or worth.shape[1] % _FOUR:
        raise TransformError(f"A weight of {tuple(worth.shape)} has no fours along its inputs (dimension 1).")
    last = worth.movedim(1, -1)
    fours = last.reshape(-1, _FOUR)
    kept = fours.argsort(dim=1, descending=True, stable=True)[:, :_KEPT]
    marked = torch.ones_like(fours, dtype=torch.bool).scatter_(1, kept, value=False)
    return marked.view(last.shape).movedim(-1, 1)


def norms_for(model: nn.Module, step: Step, module: nn.Module, calibration: Calibration | None) -> Tensor | None:
    """Return the norms that the criterion of ``step`` needs; None where it needs none.

    Raises:
        TransformError: there are no calibration data, or the layer has no rows that a norm could be taken of.
    """
    criterion = check_criterion(step)
    if criterion == "magnitude":
        return None
    if not is_rowed(module):
        raise TransformError(f"{step}: a {type(module).__name__} looks rows up; there is no input to take a norm of.")
    if calibration is None:
        raise TransformError(
            f"{step}: {criterion} weighs by real inputs; hand some in as calibration=, or use magnitude."
        )
    return input_norms(model, step.layers[0], calibration)
