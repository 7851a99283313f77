"""Tries a step alone on a copy that shares the model's tensors, and measures how far the outputs move."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from effwidgets.errors import ModelError
from effwidgets.profiling.calls import Call, tensors_in
from effwidgets.profiling.shadow import share
from effwidgets.records import Edit, Profile, Step
from effwidgets.search.advice.replay import Replay
from effwidgets.transforms.factorize.whitening import prepared
from effwidgets.transforms.foresee import foresee
from effwidgets.transforms.formats.download import download_bytes
from effwidgets.transforms.repair.batch_norm import batch_norms
from effwidgets.transforms.trial import answer, relative_error, squares, stand_in

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
        sent_bytes: how many bytes of a download are saved, where the weights were coded; else None.
    """

    error: float | None
    energy: float | None
    sent_bytes: int | None = None


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
        norms = calibration is not None and bool(batch_norms(model))
        self._modes = (False, True) if norms else (False,)  # of batch norm: does it take the batch's own statistics?
        self._replays = {batch: Replay() for batch in self._modes}
        try:
            self._outputs = self._recorded(False)  # noqa: FBT003
        except Exception as error:
            raise ModelError(f"The forward of {type(model).__name__} failed: {error}") from error
        if norms:
            try:
                self._recorded(True)  # noqa: FBT003
            except Exception:  # noqa: BLE001  a batch of one has no variance; `apply` leaves the statistics then too
                self._modes = (False,)
        self._wholes: dict[str, float] = {}  # squared norms of weights, once asked for

    def prepared(self, layers: Sequence[str]) -> AbstractContextManager[None]:
        """While this lasts, what the inputs of these layers look like is taken from one forward for all of them."""
        return prepared(self._model, layers, self._calibration)

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
        return Measured(error=min(known, default=None), energy=energy, sent_bytes=self._sent(step, edit))

    def _sent(self, step: Step, edit: Edit) -> int | None:
        if "download_bytes" not in dict(edit.measured):
            return None
        return self._profile.cost.param_bytes - download_bytes(foresee(self._profile, step), [edit])

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
                        self._wholes[name] = squares(weight)
                    whole += self._wholes[name]
                    lost += squares(weight - other)
        return None if whole == 0 or not math.isfinite(lost) else max(0.0, 1 - lost / whole)


def _answer(model: nn.Module, call: Call, batch: bool) -> list[Tensor]:  # noqa: FBT001  as in `Bench._modes`
    if batch:
        for norm in batch_norms(model):
            norm.train()
    return _floats(answer(model, call))


def output_error(before: Sequence[Tensor], after: Sequence[Tensor]) -> float | None:
    """Return the `relative_error` of all outputs together.

    Raises:
        ModelError: there are other tensors than before, or tensors of other shapes.
    """
    shapes = [[tuple(tensor.shape) for tensor in side] for side in (before, after)]
    if shapes[0] != shapes[1]:
        raise ModelError(f"The changed model returns tensors of {shapes[1]} where {shapes[0]} was expected.")
    return relative_error(before, after)


def _floats(outputs: object) -> list[Tensor]:
    return [tensor.detach() for tensor in tensors_in(outputs) if tensor.is_floating_point()]
