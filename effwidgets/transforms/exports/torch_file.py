"""A program of `torch.export`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.export import Dim

from effwidgets.profiling.calls import Call, map_tensors, run, tensors_in

__all__ = ["ENDING", "check_installed", "program_of", "reader", "sizes_of", "write"]

ENDING: Final = ".pt2"


def check_installed() -> None:
    """Need nothing beside torch."""


def write(model: nn.Module, call: Call, path: Path, *, dynamic: bool) -> None:
    """Write the program to ``path``."""
    torch.export.save(program_of(model, call, dynamic=dynamic), path)


def program_of(model: nn.Module, call: Call, *, dynamic: bool) -> torch.export.ExportedProgram:
    """Trace ``model``, which is in evaluation mode, without running Python again later."""
    sizes = sizes_of(model, call) if dynamic else None
    return torch.export.export(model, call.args, dict(call.kwargs), dynamic_shapes=sizes, strict=False)


def sizes_of(model: nn.Module, call: Call) -> dict[str, Any]:
    """Return, for each argument of the forward by its name, which dimension is the batch."""
    batch = Dim("batch")
    size = next((int(tensor.shape[0]) for tensor in tensors_in(call) if tensor.dim()), None)

    def mark(value: Any) -> Any:
        if isinstance(value, Tensor):
            return {0: batch} if value.dim() and value.shape[0] == size else None
        if isinstance(value, tuple | list):
            return type(value)(mark(item) for item in value)
        if isinstance(value, dict):
            return {name: mark(item) for name, item in value.items()}
        return None

    bound = inspect.signature(model.forward).bind(*call.args, **call.kwargs)
    return {name: mark(value) for name, value in bound.arguments.items()}


def reader(path: Path) -> tuple[str, Callable[[Call], list[Tensor]]]:
    """Return what runs the file, and a function that asks it."""
    loaded = torch.export.load(path).module()

    def ask(call: Call) -> list[Tensor]:
        with torch.no_grad():
            return list(tensors_in(run(loaded, map_tensors(call, lambda tensor: tensor))))

    return "torch.export", ask
