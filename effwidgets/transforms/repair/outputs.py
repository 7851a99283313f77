"""How far the outputs of an edited model are from those of the original."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from effwidgets.profiling.calls import Call, batch_of, map_tensors, tensors_in
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.trial import answer, apart, stand_in

__all__ = ["Reference", "output_error", "quick_reference"]

_FEW: Final = 32


def output_error(model: nn.Module, original: nn.Module, calibration: Calibration) -> float | None:
    """Return how far the outputs of ``model`` are from those of ``original`` on all batches; see `relative_error`.

    None where no output is a floating-point tensor too.
    """
    return Reference(original, calibration.batches).error(model)


class Reference:
    """The outputs of the original on some batches, kept to compare several models with."""

    def __init__(self, original: nn.Module, batches: tuple[Call, ...]) -> None:
        self._batches = batches
        self._outputs = _outputs(stand_in(original), batches)

    def error(self, model: nn.Module) -> float | None:
        """Return how far ``model``, which is not changed, is from it."""
        return self.of_twin(stand_in(model))

    def of_twin(self, twin: nn.Module) -> float | None:
        """Return how far a stand-in is from it."""
        return apart(_outputs(twin, self._batches), self._outputs)


def quick_reference(original: nn.Module, batch: Call) -> Reference:
    """Return the outputs of the original on the first samples of a batch; of all where it cannot run on fewer."""
    size = batch_of(batch) or 0
    if size <= _FEW:
        return Reference(original, (batch,))
    few = map_tensors(batch, lambda tensor: tensor[:_FEW] if tensor.dim() and tensor.shape[0] == size else tensor)
    try:
        return Reference(original, (few,))
    except Exception:  # noqa: BLE001  the model's own forward, with inputs that are cut for it
        return Reference(original, (batch,))


def _outputs(twin: nn.Module, batches: tuple[Call, ...]) -> dict[str, Tensor]:
    with torch.no_grad():
        return {
            f"{number}.{place}": tensor.detach().clone()
            for number, batch in enumerate(batches)
            for place, tensor in enumerate(tensors_in(answer(twin, batch)))
            if tensor.is_floating_point()
        }
