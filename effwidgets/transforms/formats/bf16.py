"""A layer in bfloat16 inside of a model in a wider format: half of the bytes."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.records import Knob, LayerProfile, Profile, Settings, Step, settings
from effwidgets.transforms.formats.format import CONVOLUTIONS, Filling, Format, weight_of
from effwidgets.transforms.formats.operations import operation_of
from effwidgets.transforms.formats.tables import reformatted, refuse_embedding
from effwidgets.transforms.graphs import graph_of
from effwidgets.transforms.trial import relative_error

__all__ = ["BF16", "Bf16"]

_SLOW = (
    "Inputs are rounded too, and answers cast back. Without bfloat16 instructions that is slower than float32 "
    "(measured on such a CPU, from run to run: 1.0 to 11 times the time), with them it took 0.28 to 0.60 of the time."
)


class _Narrow(nn.Module):
    # Template: cast in, compute, cast back to what came.

    def __init__(self, like: nn.Module) -> None:
        super().__init__()
        self._operation = operation_of(like)
        self.weight = _narrow(weight_of(like))
        bias = getattr(like, "bias", None)
        self.bias = None if bias is None else _narrow(bias)

    def forward(self, x: Tensor) -> Tensor:
        # To the dtype of the weight, not to bfloat16: ``model.double()`` changes the weight too.
        return self._operation(x.to(self.weight.dtype), self.weight, self.bias).to(x.dtype)


class _NarrowRows(nn.Module):
    # Template: look rows up, then widen them.

    def __init__(self, like: nn.Embedding) -> None:
        super().__init__()
        self._operation = operation_of(like)
        self._wide = like.weight.dtype
        self.weight = _narrow(like.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self._operation(x, self.weight, None).to(self._wide)


class Bf16(Format):
    """A layer computes in bfloat16: cast in, layer, cast back.

    Half of the bytes of float32, its range, 8 bits of mantissa. The weight trains on in bfloat16. Neighbours each cast
    for themselves; where the answers may be bfloat16, ``model.to(torch.bfloat16)`` spares that.
    """

    name: ClassVar[str] = "bf16"
    family: ClassVar[str] = "quantize"
    exact: ClassVar[frozenset[str]] = frozenset({"params", "param_bytes", "macs", "backward_macs"})
    kinds: ClassVar[frozenset[str]] = CONVOLUTIONS | {"Linear", "Embedding"}
    known: ClassVar[frozenset[str]] = frozenset()

    def offer(self, layer: LayerProfile, profile: Profile) -> str | tuple[tuple[Knob, ...], str]:
        """What is wider than 16 bits."""
        del profile
        for tensor in layer.tensors:
            if tensor.dtype in ("bfloat16", "float16"):
                return f"its {tensor.name} is {tensor.dtype} already: bfloat16 takes as many bytes"
        return (), "In bfloat16 it takes half of the bytes of float32"

    def warnings(self, layer: LayerProfile) -> tuple[str, ...]:
        """What it costs in time."""
        return () if layer.kind == "Embedding" else (_SLOW,)

    def rounds(self, step: Step) -> bool:
        """Inputs and answers are rounded."""
        del step
        return True

    def standing(self, layer: LayerProfile, step: Step) -> tuple[LayerProfile, ...]:
        """The same numbers at two bytes each."""
        del step
        tensors = [dataclasses.replace(tensor, dtype="bfloat16") for tensor in layer.tensors]
        return (reformatted(layer, f"Bf16{layer.kind}", tensors),)

    def build(self, module: nn.Module, step: Step) -> nn.Module:
        """Return the graph, with zeros."""
        dtype = weight_of(module).dtype
        if dtype.itemsize <= torch.bfloat16.itemsize:
            raise TransformError(f"{step}: the weight is {dtype} already: bfloat16 takes as many bytes.")
        refuse_embedding(module, step)
        template = _NarrowRows(module) if isinstance(module, nn.Embedding) else _Narrow(module)
        return graph_of(template, f"Bf16{type(module).__name__}")

    def fill(self, filling: Filling) -> tuple[Settings, tuple[str, ...]]:
        """Round weight and bias."""
        for name, parameter in filling.new.named_parameters():
            parameter.copy_(filling.old.get_parameter(name))
        weight = weight_of(filling.new)
        if not bool(torch.isfinite(weight).all()):
            raise TransformError(f"{filling.step}: the weight has numbers beyond the range of bfloat16.")
        error = relative_error([weight_of(filling.old)], [weight])
        return settings(weight_error=error or 0.0), () if isinstance(filling.old, nn.Embedding) else (_SLOW,)

    def dense(self, new: nn.Module, old: nn.Module) -> Tensor:
        """The rounded weight."""
        del old
        return weight_of(new)


def _narrow(tensor: Tensor) -> nn.Parameter:
    blank = tensor.detach().new_zeros(tuple(tensor.shape), dtype=torch.bfloat16)
    return nn.Parameter(blank, requires_grad=tensor.requires_grad)


BF16 = Bf16()
