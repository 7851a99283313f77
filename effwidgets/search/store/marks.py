"""What tells one search from another: digests of the dense model and of what it is called with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from effwidgets.profiling.calls import Call
from effwidgets.search.store.base import ModelMark
from effwidgets.transforms.recipes.architecture import architecture_of, fingerprint
from effwidgets.transforms.recipes.packed_state import dense_state

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["call_mark", "model_mark"]

_STRIPE_BYTES = 64 * 2**20


def model_mark(model: nn.Module) -> ModelMark:
    """Return the mark of a model: its class, its structure, its numbers. Each tensor is read once.

    >>> a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    >>> model_mark(a).structure == model_mark(b).structure, model_mark(a) == model_mark(b)
    (True, False)
    """
    digest = hashlib.sha256()
    for name, value in sorted(dense_state(model).items()):
        digest.update(f"\n{name} ".encode())
        for part in _bytes_of(value):
            digest.update(part)
    return ModelMark(
        name=type(model).__name__, structure=fingerprint(architecture_of(model)), values=digest.hexdigest()
    )


def _bytes_of(value: object) -> Iterator[Any]:
    if not isinstance(value, Tensor) or value.layout is not torch.strided or value.is_quantized or value.is_meta:
        yield type(value).__name__.encode()
        return
    flat = value.detach().contiguous().reshape(-1).view(torch.uint8)
    for first in range(0, flat.numel(), _STRIPE_BYTES):
        yield flat[first : first + _STRIPE_BYTES].cpu().numpy()


def call_mark(call: Call) -> str:
    """Return the SHA-256 of the shapes and dtypes of a call, and of its plain values; hexadecimal digits.

    >>> call_mark(Call((torch.zeros(2, 3),))) == call_mark(Call((torch.ones(2, 3),)))
    True
    """
    return hashlib.sha256(_shown(call).encode()).hexdigest()


def _shown(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {value.dtype}"
    if isinstance(value, Call):
        return f"{_shown(value.args)} {_shown(value.kwargs)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_shown(item)}" for name, item in sorted(value.items(), key=str)) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    return type(value).__name__
