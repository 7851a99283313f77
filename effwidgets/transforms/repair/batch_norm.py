"""The statistics of batch norms, estimated anew."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.repair.outputs import Reference
from effwidgets.transforms.trial import answer, stand_in

__all__ = ["Renewed", "batch_norms", "reestimate_batch_norm", "renew"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """What became of the statistics.

    Attributes:
        note: what was done, as a sentence; "" for a model without batch norm.
        done: whether they were changed.
        error: of the outputs afterwards, None where it cannot be told.
    """

    note: str = ""
    done: bool = False
    error: float | None = None


def reestimate_batch_norm(model: nn.Module, original: nn.Module, calibration: Calibration) -> str:
    """Estimate the statistics of all batch norms of ``model`` anew, in place, on the calibration batches.

    They were those of other activations. Kept only where the outputs come no farther from those of ``original``.

    Returns:
        What was done, as a sentence; "" for a model without batch norm.
    """
    if not batch_norms(model):
        return ""
    reference = Reference(original, calibration.batches)
    return renew(model, calibration, reference, reference.error(model)).note


def renew(model: nn.Module, calibration: Calibration, reference: Reference, before: float | None) -> Renewed:
    """Do what `reestimate_batch_norm` does, where the error of the outputs ``before`` is known."""
    twin = stand_in(model)
    for norm in batch_norms(twin):
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()
    layers = f"{len(batch_norms(twin))} batch-norm layer{'s' * (len(batch_norms(twin)) > 1)}"
    try:
        for batch in calibration.batches if batch_norms(twin) else ():
            answer(twin, batch)
    except Exception as error:  # noqa: BLE001  the model's own forward; batches of one have no variance
        why = f"{type(error).__name__} on calibration data: {error}"
        return Renewed(note=f"The statistics of {layers} are as they were: {why}", error=before)
    ran = [norm for norm in batch_norms(twin) if norm.num_batches_tracked is not None and norm.num_batches_tracked > 0]
    if not ran:
        return Renewed(error=before)
    _copy([norm for norm in batch_norms(twin) if norm not in ran], model, twin)
    after = reference.of_twin(twin.eval())
    if before is not None and after is not None and not after <= before:
        note = (
            f"The statistics of {layers} are as they were: estimated anew on the calibration data they would raise the "
            f"output error from {before:.3g} to {after:.3g}."
        )
        return Renewed(note=note, error=before)
    _copy(batch_norms(model), twin, model)
    change = "" if before is None else f": output error {before:.3g} before, {after:.3g} after"
    batches = f"{len(calibration.batches)} calibration batch{'es' * (len(calibration.batches) > 1)}"
    note = f"The statistics of {layers} were estimated anew on {batches}{change}."
    return Renewed(note=note, done=True, error=after)


def _copy(norms: list[_BatchNorm], source: nn.Module, target: nn.Module) -> None:
    # The statistics of some of the batch norms of ``target``, from those at the same places of ``source``.
    with torch.no_grad():
        for old, new in zip(batch_norms(source), batch_norms(target), strict=True):
            if new in norms:
                for name in ("running_mean", "running_var"):
                    new.get_buffer(name).copy_(old.get_buffer(name))


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
