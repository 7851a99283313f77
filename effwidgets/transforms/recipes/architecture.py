"""What a model is without its numbers: classes, names, shapes and dtypes, as a fingerprint that can be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from torch import nn

__all__ = ["Line", "architecture_of", "difference", "fingerprint"]

Line = tuple[str, str]
"""A layer's path and what stands there: its class and its tensors."""


def architecture_of(model: nn.Module) -> tuple[Line, ...]:
    """Write every layer of ``model`` as a line: class, and name, shape and dtype of each tensor that it holds."""
    return tuple((name, _line(module)) for name, module in model.named_modules(remove_duplicate=False))


def _line(module: nn.Module) -> str:
    held = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    tensors = [f"{name} {'x'.join(map(str, tensor.shape))} {tensor.dtype}" for name, tensor in held]
    return f"{type(module).__name__}({', '.join(tensors)})".replace("torch.", "")


def fingerprint(lines: Sequence[Line]) -> str:
    """Return the SHA-256 of the lines, in hexadecimal digits."""
    return hashlib.sha256(json.dumps([list(line) for line in lines]).encode()).hexdigest()


def difference(came: Sequence[Line], expected: Sequence[Line]) -> str | None:
    """Say where two architectures differ first; None where they do not."""
    known, wanted = dict(came), dict(expected)
    for name, line in wanted.items():
        place = name or "the model itself"
        if name not in known:
            return f"{place} is missing; {line} was expected"
        if known[name] != line:
            return f"{place} is {known[name]}; {line} was expected"
    extra = next((name for name in known if name not in wanted), None)
    return None if extra is None else f"{extra}, {known[extra]}, is one too many"
