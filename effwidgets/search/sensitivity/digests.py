"""Fingerprints of a model with its numbers and of what it is measured with: to know a stale record."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from effwidgets.profiling.calls import Call, map_tensors
from effwidgets.transforms.recipes.architecture import architecture_of, fingerprint

__all__ = ["digest_of_data", "digest_of_model"]

_PLACE = re.compile(r" at 0x[0-9a-fA-F]+")  # where an object lies, which says nothing of what it is


class _Hash(Protocol):
    def update(self, data: Any, /) -> None: ...


def digest_of_model(model: nn.Module) -> str:
    """Return the SHA-256 of the layers, their settings, and the values of all parameters and buffers.

    >>> digest_of_model(nn.Linear(2, 2)) == digest_of_model(nn.Linear(2, 2))
    False
    """
    found = hashlib.sha256(fingerprint(architecture_of(model)).encode())
    found.update(_PLACE.sub("", repr(model)).encode())
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            found.update(name.encode())
            _add(found, tensor)
    return found.hexdigest()


def digest_of_data(calls: tuple[tuple[Call, ...], ...], *choices: object) -> str:
    """Return the SHA-256 of some tuples of calls, and of what else decides how a point is measured."""
    found = hashlib.sha256(repr(choices).encode())
    for part in calls:
        found.update(b"part")
        for call in part:
            tensors: list[Tensor] = []

            def note(tensor: Tensor, tensors: list[Tensor] = tensors) -> Tensor:
                tensors.append(tensor)
                return tensor.new_empty(0)

            rest = map_tensors(call, note)
            found.update(_PLACE.sub("", repr((rest.args, dict(rest.kwargs)))).encode())
            for tensor in tensors:
                _add(found, tensor)
    return found.hexdigest()


def _add(found: _Hash, tensor: Tensor) -> None:
    found.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    try:
        plain = tensor.detach().cpu().contiguous().reshape(-1)
        found.update(plain.view(torch.uint8).numpy() if plain.numel() else b"")
    except RuntimeError:  # sparse, quantized: no plain bytes
        found.update(repr(tensor.detach().cpu()).encode())
