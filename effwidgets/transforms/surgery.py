"""Find a layer, look at it, put another one in its place. Works on real models and on shadows alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from effwidgets.errors import TransformError, UnknownNameError
from effwidgets.records import Piece

__all__ = [
    "HOOKS",
    "blank_parameter",
    "find_layer",
    "layer_names",
    "piece",
    "pieces",
    "plain_obstacle",
    "replace_layer",
    "tied_places",
]

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def layer_names(model: nn.Module) -> tuple[str, ...]:
    """Return every dotted path of ``model``, aliases of shared modules included."""
    return tuple(name for name, _ in model.named_modules(remove_duplicate=False) if name)


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """Return the module at a dotted path.

    Raises:
        UnknownNameError: no such layer; the message lists the closest.
    """
    module: nn.Module | None = model
    for child in name.split(".") if name else ():  # the way alone: a plan asks for each of its layers many times
        module = None if module is None else module._modules.get(child)  # noqa: SLF001  no attribute but a child
    if module is None:
        raise UnknownNameError(f"layer of {type(model).__name__}", name, layer_names(model))
    return module


def replace_layer(model: nn.Module, name: str, new: nn.Module) -> None:
    """Put ``new`` where the module ``name`` stands: at every path and under every parent that holds it.

    Raises:
        TransformError: ``name`` is the model itself, which nothing holds.
    """
    old = find_layer(model, name)
    if old is model:
        message = f"{type(model).__name__} is the layer itself; put it into a torch.nn.Sequential to have it replaced."
        raise TransformError(message)
    new.train(old.training)
    for parent in list(model.modules()):
        for child, module in list(parent._modules.items()):  # noqa: SLF001  named_children leaves second names out
            if module is old:
                setattr(parent, child, new)


def blank_parameter(like: torch.Tensor, shape: Sequence[int]) -> nn.Parameter:
    """Return a parameter of zeros: device, dtype and trainability of ``like``, fake where ``like`` is fake."""
    return nn.Parameter(like.detach().new_zeros(tuple(shape)), requires_grad=like.requires_grad)


def piece(name: str, module: nn.Module) -> Piece:
    """Write one module as a line: its class and what it is set to."""
    return Piece(layer=name, text=f"{type(module).__name__}({module.extra_repr()})")


def pieces(name: str, module: nn.Module) -> tuple[Piece, ...]:
    """Write the leaves of ``module``, which stands at ``name``."""
    leaves = [(path, leaf) for path, leaf in module.named_modules() if next(leaf.children(), None) is None]
    return tuple(piece(f"{name}.{path}" if path else name, leaf) for path, leaf in leaves)


def plain_obstacle(module: nn.Module) -> str | None:
    """Say what about a module, beside its class, would be lost if it were replaced or cut; None where nothing would."""
    if any(getattr(module, hooks, None) for hooks in HOOKS):
        return "it has hooks, which would be lost; remove them first"
    if nn.utils.parametrize.is_parametrized(module):
        return "its weight is parametrized; torch.nn.utils.parametrize.remove_parametrizations makes it plain"
    names = {name for name, tensor in module.named_parameters(recurse=False) if tensor is not None}
    if names - {"weight", "bias"}:
        return f"it holds {', '.join(sorted(names - {'weight', 'bias'}))} beside weight and bias"
    return None


def tied_places(model: nn.Module, module: nn.Module) -> tuple[str, ...]:
    """Return the paths of other modules' tensors that are, or share storage with, a parameter of ``module``."""
    own = {id(tensor) for tensor in module.parameters(recurse=False)}
    return tuple(
        f"{path}.{name}" if path else name
        for path, other in model.named_modules()
        if other is not module
        for name, tensor in other.named_parameters(recurse=False, remove_duplicate=False)
        if id(tensor) in own
    )
