"""Which modules of a model are looked at for themselves, and how a forward is put in the place of another.

No hooks: where a hook stands on a module, torch's attention leaves its fused path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import ParametrizationList

__all__ = ["put_forward", "watched"]


def watched(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules that are timed for themselves: all but those that are a part of how a layer works.

    These are parametrizations, which a layer runs whenever it reads its own weight, what TorchScript runs, and what
    `nn.DataParallel` copies to other devices.
    """
    closed: list[str] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{path}.") if path else True for path in closed)
        part = isinstance(module, ParametrizationList | torch.jit.ScriptModule)
        if inside or part:
            closed += [name] if part else []
            continue
        if isinstance(module, nn.DataParallel):
            closed.append(name)
        yield name, module


def put_forward(module: nn.Module, forward: Callable[..., Any] | None) -> None:
    """Give a module a forward of its own; None leaves it that of its class."""
    if forward is None:
        vars(module).pop("forward", None)
    else:
        vars(module)["forward"] = forward
