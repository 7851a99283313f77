"""The weights of a training: which are trained, which are best, their running mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from effwidgets.errors import InputError

__all__ = ["Average", "Snapshot", "flags_kept", "freeze_norms", "trained_groups", "zeros_kept"]

_SPARSE = 0.05  # share of zeros from which on they were put there on purpose: values seldom are zero to the bit


def trained_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Return the trainable parameters for an optimizer: weights with decay, norms and biases without.

    Raises:
        InputError: there are none.
    """
    free = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not free:
        count = sum(1 for _ in model.parameters())
        frozen = f"All {count} parameters are frozen" if count else "The model has no parameters"
        raise InputError(f"{frozen}, so there is nothing to train. Set requires_grad on those that shall learn.")
    decayed = [parameter for parameter in free if parameter.dim() > 1]
    rest = [parameter for parameter in free if parameter.dim() <= 1]
    groups: list[dict[str, object]] = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def zeros_kept(model: nn.Module) -> list[tuple[nn.Parameter, Tensor]]:
    """Return the trainable weights that are largely zeros, as pruning leaves them, and where they are not zero."""
    found = []
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dim() > 1:
            kept = parameter.detach() != 0
            if _SPARSE * kept.numel() <= int((~kept).sum()) < kept.numel():
                found.append((parameter, kept))
    return found


class Snapshot:
    """A copy of all parameters and buffers of a model, to go back to."""

    def __init__(self, model: nn.Module) -> None:
        self._kept = [(tensor, tensor.detach().clone()) for tensor in _tensors(model)]

    def restore(self) -> None:
        """Write the copies back."""
        with torch.no_grad():
            for tensor, copy in self._kept:
                tensor.copy_(copy)


class Average:
    """A running mean of the parameters (Polyak and Juditsky 1992, doi:10.1137/0330046), with weights that fall off."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._kept = [
            (parameter, parameter.detach().clone()) for parameter in model.parameters() if parameter.requires_grad
        ]
        self._decay, self._steps = decay, 0

    @torch.no_grad()
    def add(self) -> None:
        """Take the parameters as they are now in."""
        self._steps += 1
        decay = min(self._decay, self._steps / (self._steps + 9))  # the first steps are soon forgotten
        for parameter, mean in self._kept:
            mean.lerp_(parameter.detach(), 1 - decay)

    @contextmanager
    def instead(self) -> Iterator[None]:
        """Put the mean in place of the parameters, and these back afterwards."""
        with torch.no_grad():
            now = [parameter.detach().clone() for parameter, _ in self._kept]
            for parameter, mean in self._kept:
                parameter.copy_(mean)
            try:
                yield
            finally:
                for (parameter, _), before in zip(self._kept, now, strict=True):
                    parameter.copy_(before)


@contextmanager
def flags_kept(model: nn.Module, *, train: bool) -> Iterator[None]:
    """Set all modules to training or evaluation inside, and each back as it was."""
    before = [(module, module.training) for module in model.modules()]
    model.train(train)
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def freeze_norms(model: nn.Module) -> None:
    """Let batch norms use the statistics that they have, and learn weights and biases only."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:  # noqa: SLF001
            module.eval()


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()
