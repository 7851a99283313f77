"""What a model is called with, whatever shape it came in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import nn

from effwidgets.errors import InputError
from effwidgets.records import Shape

__all__ = ["Call", "Inputs", "as_call", "batch_of", "map_tensors", "run", "shapes_of", "tensors_in"]


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """Positional and keyword arguments of one forward.

    >>> Call((torch.zeros(1, 3),), {"scale": 2.0})
    Call(tensor 1 × 3, scale=2.0)
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        parts = [_short(value) for value in self.args]
        parts += [f"{name}={_short(value)}" for name, value in self.kwargs.items()]
        return f"Call({', '.join(parts)})"


Inputs: TypeAlias = torch.Tensor | tuple[Any, ...] | list[Any] | Mapping[str, Any] | Call
"""One tensor; a tuple or list of positional arguments; a mapping of keyword arguments; a `Call` for both."""


def _short(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return "tensor " + (" × ".join(map(str, value.shape)) or "scalar")
    if isinstance(value, bool | int | float | str) or value is None:
        return repr(value)
    return type(value).__name__


def as_call(inputs: Inputs | object) -> Call:
    """Bring inputs into the one form that the engine uses.

    A tokenizer's batch is a mapping too.

    Raises:
        InputError: something that is neither of the known forms, such as a number or an array.

    >>> as_call((torch.zeros(2, 3), None))
    Call(tensor 2 × 3, None)
    """
    if isinstance(inputs, Call):
        return inputs
    if isinstance(inputs, torch.Tensor):
        return Call((inputs,))
    if isinstance(inputs, tuple | list):
        return Call(tuple(inputs))
    if isinstance(inputs, Mapping):
        names = list(inputs)
        wrong = [name for name in names if not isinstance(name, str)]
        if wrong:
            raise InputError(
                f"The inputs are a mapping with the key {wrong[0]!r}; keyword arguments need names that are text. "
                "Put a dictionary that the model takes as one argument into a tuple: (inputs,)."
            )
        return Call((), {name: inputs[name] for name in names})
    hint = " Turn an array into a tensor with torch.as_tensor." if type(inputs).__module__ == "numpy" else ""
    raise InputError(
        f"The inputs are of type {type(inputs).__name__}. Hand in a tensor, a tuple of positional arguments, "
        f"a mapping of keyword arguments, or Call(args, kwargs).{hint}"
    )


def tensors_in(value: object) -> Iterator[torch.Tensor]:
    """Yield the tensors in nested tuples, lists, mappings and dataclasses, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Call):
        yield from tensors_in(value.args)
        yield from tensors_in(value.kwargs)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for part in dataclasses.fields(value):
            yield from tensors_in(getattr(value, part.name))


def map_tensors(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Return ``value`` with every tensor in nested tuples, lists and mappings replaced; other things as they are."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, Call):
        return Call(map_tensors(value.args, change), map_tensors(dict(value.kwargs), change))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_tensors(item, change) for item in value))
    if isinstance(value, tuple | list):
        return type(value)(map_tensors(item, change) for item in value)
    if type(value) is dict:
        return {name: map_tensors(item, change) for name, item in value.items()}
    return value


def shapes_of(call: object) -> tuple[Shape, ...]:
    """Return the shapes of the tensors in a call, or in what a forward returned, in order."""
    return tuple(tuple(tensor.shape) for tensor in tensors_in(call))


def batch_of(call: Call) -> int | None:
    """Return the first size of the first tensor that has one; None when there is no such tensor."""
    return next((int(tensor.shape[0]) for tensor in tensors_in(call) if tensor.dim() > 0), None)


def run(model: nn.Module, call: Call) -> Any:
    """Call the model."""
    return model(*call.args, **call.kwargs)
