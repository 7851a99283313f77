"""What a module takes and returns on calibration data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.records import Step
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.surgery import find_layer
from effwidgets.transforms.trial import answer, stand_in

__all__ = ["Observed", "observed"]

_NUMBERS: Final = 1 << 25  # of the larger side that are looked at: 128 MB of float32
_HELD_OUT: Final = 8  # one of so many


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """Inputs and outputs of one module, row by row (the first dimension), in float32 or float64."""

    before: Tensor
    after: Tensor

    def __len__(self) -> int:
        return len(self.before)

    def split(self) -> tuple[Observed, Observed]:
        """Return the rows to fit to, and every eighth, held out to test on; the same twice where there are too few."""
        if len(self) < _HELD_OUT:
            return self, self
        held = torch.arange(len(self), device=self.before.device) % _HELD_OUT == _HELD_OUT - 1
        return self.at(~held), self.at(held)

    def at(self, rows: Tensor) -> Observed:
        """Return some of the rows."""
        return Observed(self.before[rows], self.after[rows])


def observed(original: nn.Module, name: str, calibration: Calibration, step: Step) -> Observed:
    """Run ``original`` on all calibration batches and keep what the module at ``name`` takes and returns.

    In evaluation mode, on a stand-in. Where there are very many rows, some are left out evenly.

    Raises:
        TransformError: it takes or returns something else than one tensor, does not run, writes into its input, or
            takes or returns infinities or NaN.
    """
    twin = stand_in(original)
    rows: list[Observed] = []
    held: list[Tensor] = []

    def enter(_module: nn.Module, args: Any) -> None:
        if len(args) != 1 or not isinstance(args[0], Tensor):
            raise TransformError(f"{step}: {name} takes something else than one tensor with the calibration data.")
        held.append(args[0].detach().clone())

    def leave(_module: nn.Module, args: Any, output: Any) -> None:
        before = held.pop()
        if not isinstance(output, Tensor):
            raise TransformError(f"{step}: {name} returns {type(output).__name__}; one tensor was expected.")
        if not torch.equal(before, args[0]):
            raise TransformError(f"{step}: {name} writes into its input, which others may read.")
        after = output.detach().clone()
        if len(before) != len(after):
            raise TransformError(f"{step}: {name} takes {len(before)} rows and returns {len(after)}.")
        rows.append(Observed(before, after))

    module = find_layer(twin, name)
    module.register_forward_pre_hook(enter)
    module.register_forward_hook(leave)
    for batch in calibration.batches:
        answer(twin, batch)
    return _joined(list(_thinned(rows, step, name)), step, name)


def _thinned(rows: list[Observed], step: Step, name: str) -> Iterator[Observed]:
    if not rows:
        raise TransformError(f"{step}: {name} does not run with the calibration data.")
    numbers = sum(max(part.before.numel(), part.after.numel()) for part in rows)
    every = -(-numbers // _NUMBERS)
    for part in rows:
        yield Observed(_fine(part.before[::every]), _fine(part.after[::every]))


def _fine(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype is torch.float64 else tensor.float()


def _joined(rows: list[Observed], step: Step, name: str) -> Observed:
    shapes = {(part.before.shape[1:], part.after.shape[1:]) for part in rows}
    # Pictures of several sizes cannot be put into one tensor: those of the first size are taken.
    first = (rows[0].before.shape[1:], rows[0].after.shape[1:])
    same = (
        rows if len(shapes) == 1 else [part for part in rows if (part.before.shape[1:], part.after.shape[1:]) == first]
    )
    found = Observed(torch.cat([part.before for part in same]), torch.cat([part.after for part in same]))
    for tensor, word in ((found.before, "takes"), (found.after, "returns")):
        if not bool(torch.isfinite(tensor).all()):
            raise TransformError(f"{step}: with the calibration data {name} {word} infinities or NaN.")
    return found
