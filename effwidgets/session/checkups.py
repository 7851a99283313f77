"""Verbs that read every weight, on request: the health of a model in training, and its size as a file."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from torch import nn

from effwidgets.profiling import Inputs
from effwidgets.records import DiskBytes, Health
from effwidgets.session.session import session_of

if TYPE_CHECKING:
    from effwidgets.checkup.losses import Loss

__all__ = ["disk", "health"]


def health(
    model: nn.Module,
    inputs: Inputs | None = None,
    *,
    loss: Loss | None = None,
    target: Any = None,
    train: bool = True,
) -> Health:
    """Look at one step of training that is not taken: norms, dead and saturated units, numbers that are none.

    The model runs forward and back on a private copy with real numbers; nothing of it changes.

    Args:
        model: any ``torch.nn.Module`` with weights.
        inputs: a real batch of some dozen samples; left out: the call seen last.
        loss: takes the outputs (and the target) and returns one number; left out: cross-entropy or mean squared error
            to ``target``, else the loss that the model returns, else the outputs with random signs.
        target: what the outputs are compared to.
        train: whether it runs in training mode.

    Returns:
        `Health`: gradient and weight norms, dead and saturated units of each layer, and findings in sentences.

    Raises:
        InputError: a model on meta, no inputs, or a loss that is no single number.
        ModelError: the forward failed; the message names the layer.

    Example:
        >>> import torch
        >>> from effwidgets import health
        >>> model = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU())
        >>> torch.nn.init.constant_(model[0].bias, -100.0) is model[0].bias
        True
        >>> health(model, torch.rand(32, 8)).layer("1").dead
        4
    """
    session = session_of(model)
    call = session.call(inputs)
    from effwidgets.checkup.health import health as look_at

    found = look_at(model, call, loss=loss, target=target, train=train)
    session.seen = call
    return dataclasses.replace(found, origin=session.name)


def disk(model: nn.Module, *, file: str = "model.pt", compress: bool = True) -> DiskBytes:
    """Measure how many bytes the model takes as a file, saved and compressed; nothing is written.

    Args:
        model: any ``torch.nn.Module``.
        file: what the file would be called: its name stands in it several times.
        compress: also compress each tensor as a zip archive does, about 20 MB a second for each thread.

    Returns:
        `DiskBytes`: the exact size of the files of ``torch.save`` and safetensors, and of the first one compressed.

    Raises:
        InputError: ``model`` is no module, or its state cannot be taken.

    Example:
        >>> import torch
        >>> from effwidgets import disk
        >>> disk(torch.nn.Linear(64, 64)).safetensors_bytes
        16776
    """
    from effwidgets.checkup.disk import disk as measure_disk

    found = measure_disk(model, file=file, compress=compress)
    return dataclasses.replace(found, origin=session_of(model).name)
