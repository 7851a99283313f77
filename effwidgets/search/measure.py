"""Tries a step alone on a copy that shares the model's tensors, and measures how far the outputs move."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from effwidgets.errors import ModelError
from effwidgets.profiling.calls import Call, tensors_in
from effwidgets.profiling.shadow import share
from effwidgets.records import Edit, Profile, Step
from effwidgets.search.replay import Replay
from effwidgets.transforms.trial import answer, stand_in

if TYPE_CHECKING:
    from effwidgets.transforms.base import Transform
    from effwidgets.transforms.calibration import Calibration

__all__ = ["Bench", "Measured", "output_error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one trial showed.

    Attributes:
        error: norm of the change of the outputs over their norm; None where the outputs are all zero.
        energy: share of the squared norm of the changed weights that is kept; None where it cannot be told.
    """

    error: float | None
    energy: float | None


class Bench:
    """Measures steps against the model as it is; the model is not touched.

    The first calibration batch is run through the changed model, or ``call`` where there is no calibration. With
    calibration and batch norm it is run once more with the statistics of that batch: `apply` will estimate them again
    where that brings the outputs nearer, so the smaller of the two errors is the one that the choice will have.
    What a step leaves as it was is not computed again (`Replay`); the outputs are the same to the last bit.

    Raises:
        ModelError: the model's own forward fails.
    """

    def __init__(self, model: nn.Module, call: Call, profile: Profile, calibration: Calibration | None) -> None:
        self._model = share(model)
        self._profile = profile
        self._calibration = calibration
        self._call = calibration.batches[0] if calibration is not None else call
        norms = calibration is not None and bool(_batch_norms(model))
        self._modes = (False, True) if norms else (False,)  # of batch norm: does it take the batch's own statistics?
        self._replays = {batch: Replay() for batch in self._modes}
        try:
            outputs = [self._recorded(batch) for batch in self._modes]
        except Exception as error:
            raise ModelError(f"The forward of {type(model).__name__} failed: {error}") from error
        self._outputs = outputs[0]
        self._wholes: dict[str, float] = {}  # squared norms of weights, once asked for

    @property
    def forwards(self) -> int:
        """How many forwards one trial takes."""
        return len(self._modes)

    def measure(self, transform: Transform, step: Step) -> Measured:
        """Do ``step`` alone and run it. There is nothing to undo: only what the step replaced was the trial's own.

        Raises:
            TransformError: the step cannot be done; others, whatever the changed model or a plug-in raises.
        """
        trial = stand_in(self._model)
        edit = transform.rewrite(trial, step, self._profile)
        edit = transform.fit(trial, share(self._model), edit, self._calibration)
        trial.eval()
        energy = self._energy(transform, edit, trial)
        errors = [output_error(self._outputs, self._replayed(trial, batch)) for batch in self._modes]
        known = [error for error in errors if error is not None]
        if known and not math.isfinite(min(known)):
            raise ModelError("the outputs are no longer finite")
        return Measured(error=min(known, default=None), energy=energy)

    def _recorded(self, batch: bool) -> list[Tensor]:  # noqa: FBT001  one of `_modes`
        twin = stand_in(self._model)
        with self._replays[batch].recording(twin):
            return _answer(twin, self._call, batch)

    def _replayed(self, trial: nn.Module, batch: bool) -> list[Tensor]:  # noqa: FBT001  one of `_modes`
        with self._replays[batch].into(trial):
            return _answer(trial, self._call, batch)

    def _energy(self, transform: Transform, edit: Edit, trial: nn.Module) -> float | None:
        # The witness holds, in the shapes of the original, the weights that the trial stands for.
        witness = stand_in(self._model)
        with torch.no_grad():
            transform.witness(witness, edit, trial)
            now = dict(witness.named_parameters())
            lost = whole = 0.0
            for name, weight in self._model.named_parameters():
                other = now.get(name)
                if other is not None and other is not weight and other.shape == weight.shape and weight.dim() > 1:
                    if name not in self._wholes:
                        self._wholes[name] = _squares(weight)
                    whole += self._wholes[name]
                    lost += _squares(weight - other)
        return None if whole == 0 or not math.isfinite(lost) else max(0.0, 1 - lost / whole)


def _answer(model: nn.Module, call: Call, batch: bool) -> list[Tensor]:  # noqa: FBT001  as in `Bench._modes`
    if batch:
        for norm in _batch_norms(model):
            norm.train()
    return _floats(answer(model, call))


def output_error(before: Sequence[Tensor], after: Sequence[Tensor]) -> float | None:
    """Return the norm of the change over the norm of ``before``, all tensors together; None where that is zero.

    Raises:
        ModelError: there are other tensors than before, or tensors of other shapes.

    >>> output_error([torch.tensor([3.0, 4.0])], [torch.tensor([3.0, 4.5])])
    0.1
    """
    shapes = [[tuple(tensor.shape) for tensor in side] for side in (before, after)]
    if shapes[0] != shapes[1]:
        raise ModelError(f"The changed model returns tensors of {shapes[1]} where {shapes[0]} was expected.")
    whole = sum(map(_squares, before))
    moved = sum(_squares(new.double() - old.double()) for old, new in zip(before, after, strict=True))
    if whole == 0:
        return 0.0 if moved == 0 else None
    return math.sqrt(moved / whole)


def _squares(tensor: Tensor) -> float:
    # Added up in double precision, without a copy in it.
    return float(torch.linalg.vector_norm(tensor, dtype=torch.float64)) ** 2


def _floats(outputs: object) -> list[Tensor]:
    return [tensor.detach() for tensor in tensors_in(outputs) if tensor.is_floating_point()]


def _batch_norms(model: nn.Module) -> list[_BatchNorm]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm) and module.running_mean is not None]
