"""Bring a model back after an edit without labels and without training."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from effwidgets.profiling.calls import tensors_in
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.trial import answer, apart, stand_in

__all__ = ["batch_norms", "output_error", "reestimate_batch_norm"]


def reestimate_batch_norm(model: nn.Module, original: nn.Module, calibration: Calibration) -> str:
    """Estimate the statistics of all batch norms of ``model`` anew, in place, on the calibration batches.

    They were those of other activations. Kept only where the outputs come no farther from those of ``original``.

    Returns:
        What was done, as a sentence; "" for a model without batch norm.
    """
    count = len(batch_norms(model))
    if not count:
        return ""
    layers = f"{count} batch-norm layer{'s' if count > 1 else ''}"
    twin = stand_in(model)
    for norm in batch_norms(twin):
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()
    try:
        for batch in calibration.batches:
            answer(twin, batch)
    except Exception as error:  # noqa: BLE001  the model's own forward; batches of one have no variance
        return f"The statistics of {layers} are as they were: {type(error).__name__} on calibration data: {error}"
    before = output_error(model, original, calibration)
    after = output_error(twin.eval(), original, calibration)
    if before is not None and after is not None and not after <= before:
        return (
            f"The statistics of {layers} are as they were: estimated anew on the calibration data they would raise the "
            f"output error from {before:.3g} to {after:.3g}."
        )
    with torch.no_grad():
        for norm, fresh in zip(batch_norms(model), batch_norms(twin), strict=True):
            for name in ("running_mean", "running_var"):
                norm.get_buffer(name).copy_(fresh.get_buffer(name))
    change = "" if before is None else f": output error {before:.3g} before, {after:.3g} after"
    batches = len(calibration.batches)
    return (
        f"The statistics of {layers} were estimated anew on {batches} calibration batch{'es' * (batches > 1)}{change}."
    )


def output_error(model: nn.Module, original: nn.Module, calibration: Calibration) -> float | None:
    """Return how far the outputs of ``model`` are from those of ``original`` on all batches; see `relative_error`.

    None where no output is a floating-point tensor too.
    """
    return apart(_outputs(model, calibration), _outputs(original, calibration))


def _outputs(model: nn.Module, calibration: Calibration) -> dict[str, Tensor]:
    twin = stand_in(model)
    return {
        f"{number}.{place}": tensor
        for number, batch in enumerate(calibration.batches)
        for place, tensor in enumerate(tensors_in(answer(twin, batch)))
        if tensor.is_floating_point()
    }


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Return the batch norms whose statistics can be estimated anew, in the order of ``modules()``.

    Those that work together over several processes are left out while such a group runs: they would wait for it.
    """
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm)
        and module.running_mean is not None
        and not (together and isinstance(module, nn.SyncBatchNorm))
    ]
