"""The number that gradients are taken of, where the caller says which and where nobody does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import torch
from torch import nn
from torch.nn import functional

from effwidgets.errors import InputError
from effwidgets.profiling.calls import tensors_in
from effwidgets.profiling.failures import real_copy

__all__ = ["Loss", "loss_of"]

Loss: TypeAlias = Callable[..., torch.Tensor]
"""Takes what the model returned, and the target where there is one; returns one number."""

_SEED: Final = 0


def loss_of(outputs: Any, loss: Loss | None, target: Any) -> tuple[str, torch.Tensor | None]:
    """Return the loss in words, and its value; None where the outputs hold no floating-point number.

    The first of these that there is: the caller's ``loss``; for a ``target`` without one, cross-entropy where it holds
    whole numbers and the mean squared error where it has the shape of the outputs; the field ``loss`` of the outputs;
    the signed mean.

    The signed mean is the mean over the batch of the sum of all outputs, each times a fixed random sign. It asks how a
    gradient of no particular direction travels through the model. A plain mean would not do: it is constant behind a
    softmax or a normalization. Nor would squares, whose gradient is zero where the outputs are, nor the model's own
    best guess as the target, whose gradient vanishes where the model is sure.

    Raises:
        InputError: the loss raised, is no single number, or does not fit the target.
    """
    if loss is not None:
        return _asked(outputs, loss, target)
    every = (torch.view_as_real(tensor) if tensor.is_complex() else tensor for tensor in tensors_in(outputs))
    ends = [tensor for tensor in every if tensor.is_floating_point()]
    if target is not None:
        return _by_target(ends, target)
    own = outputs.get("loss") if isinstance(outputs, Mapping) else getattr(outputs, "loss", None)
    if isinstance(own, torch.Tensor) and own.numel() == 1:
        return "the loss that the model returned", own.reshape(())
    if not ends:
        return "none: the model returned no floating-point numbers", None
    return "the signed mean of the outputs (no loss was given)", _signed_mean(ends)


def _asked(outputs: Any, loss: Loss, target: Any) -> tuple[str, torch.Tensor]:
    title = getattr(loss, "__name__", type(loss).__name__)
    own = real_copy(loss) if isinstance(loss, nn.Module) else loss  # it may keep buffers
    given = (outputs,) if target is None else (outputs, target)
    try:
        value = own(*given)
    except Exception as error:
        words = "the outputs" if target is None else "the outputs and the target"
        raise InputError(
            f"The loss {title} raised {type(error).__name__}: {str(error)[:300]}. It was called with {words}."
        ) from error
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        came = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
        raise InputError(
            f"The loss {title} returned {came}; one number in a tensor was expected, such as .mean() gives."
        )
    return f"{title}{'' if target is None else ' with the target'}", value.reshape(())


def _by_target(ends: list[torch.Tensor], target: Any) -> tuple[str, torch.Tensor]:
    if not isinstance(target, torch.Tensor) or not ends:
        raise InputError(
            f"The target is {type(target).__name__}; without a loss a tensor was expected, and outputs with "
            "floating-point numbers. Say how they are compared: health(model, x, loss=..., target=...)."
        )
    out = ends[0]
    whole = not target.is_floating_point() and target.dtype is not torch.bool
    if whole and out.dim() > 1 and out.shape[:-1] == target.shape:
        return "cross-entropy with the target", functional.cross_entropy(out.flatten(0, -2), target.flatten().long())
    if whole and out.dim() > 2 and (out.shape[0], *out.shape[2:]) == tuple(target.shape):
        return "cross-entropy with the target", functional.cross_entropy(out, target.long())
    if target.is_floating_point() and out.shape == target.shape:
        return "the mean squared error to the target", functional.mse_loss(out, target.to(out.dtype))
    raise InputError(
        f"The target has shape {tuple(target.shape)} and dtype {str(target.dtype).removeprefix('torch.')}, the first "
        f"output shape {tuple(out.shape)}: no usual loss fits. Give one: health(model, x, loss=..., target=...)."
    )


def _signed_mean(ends: list[torch.Tensor]) -> torch.Tensor:
    generator = torch.Generator("cpu").manual_seed(_SEED)  # whatever the caller's default device is
    parts = []
    for tensor in ends:
        signs = 2 * torch.randint(2, tensor.shape, generator=generator, device="cpu") - 1
        samples = tensor.shape[0] if tensor.dim() > 1 else 1
        parts.append((tensor * signs.to(tensor)).sum() / max(samples, 1))
    return torch.stack([part.to(parts[0]) for part in parts]).sum()
