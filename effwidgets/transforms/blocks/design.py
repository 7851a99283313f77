"""What a block is made of and how a picture flows through it, said once: to build it, to count it, to fit it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from effwidgets.transforms.graphs import graph_of

__all__ = ["Design", "Ops", "TorchOps", "built"]

T = TypeVar("T")


class Ops(Protocol[T]):
    """What a flow may do with a picture, or with what stands for one."""

    def layer(self, name: str, x: T) -> T:
        """Send it through one of the layers."""
        ...

    def cat(self, parts: Sequence[T]) -> T:
        """Put channels behind one another."""
        ...

    def add(self, first: T, second: T) -> T:
        """Add two."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Design:
    """A block.

    Attributes:
        title: class name of the module that it becomes.
        layers: its layers by name, on meta, in the order in which they run.
        flow: takes an `Ops` and what goes in, returns what comes out.
    """

    title: str
    layers: Mapping[str, nn.Module]
    flow: Callable[[Ops, object], object]  # type: ignore[type-arg]


class TorchOps:
    """Runs layers on tensors."""

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        self.layers = layers

    def layer(self, name: str, x: Tensor) -> Tensor:
        """Call it."""
        made: Tensor = self.layers[name](x)
        return made

    @staticmethod
    def cat(parts: Sequence[Tensor]) -> Tensor:
        """Concatenate along the channels."""
        return torch.cat(list(parts), 1)

    @staticmethod
    def add(first: Tensor, second: Tensor) -> Tensor:
        """Add."""
        return first + second


class _Template(nn.Module):
    # What torch.fx writes down.

    def __init__(self, design: Design) -> None:
        super().__init__()
        self._flow = design.flow
        for name, layer in design.layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> object:
        """Run the flow."""
        return self._flow(TorchOps(dict(self.named_children())), x)


def built(design: Design, like: Tensor) -> nn.Module:
    """Return the block as a module that carries its own code, with parameters of zeros.

    Args:
        design: what it is made of.
        like: a tensor of its device, dtype and trainability; fake on a shadow.
    """
    for layer in design.layers.values():
        for name, parameter in list(layer.named_parameters(recurse=False)):
            blank = nn.Parameter(like.detach().new_zeros(tuple(parameter.shape)), requires_grad=like.requires_grad)
            setattr(layer, name, blank)
        for name, buffer in list(layer.named_buffers(recurse=False)):
            whole = not buffer.is_floating_point()
            dtype = buffer.dtype if whole else like.dtype
            fresh = like.detach().new_zeros if whole or name == "running_mean" else like.detach().new_ones
            setattr(layer, name, fresh(tuple(buffer.shape), dtype=dtype))
    return graph_of(_Template(design), design.title)
