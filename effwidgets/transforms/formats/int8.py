"""Weights in eight bits: kept so and widened in each forward, or multiplied so."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from effwidgets.errors import TransformError, UnknownNameError
from effwidgets.records import Knob, LayerProfile, Profile, Settings, Step, settings
from effwidgets.transforms.formats.format import CONVOLUTIONS, Filling, Format, weight_of
from effwidgets.transforms.formats.operations import operation_of
from effwidgets.transforms.formats.packed import blank_packed, no_kernel, pack, packed_layers
from effwidgets.transforms.formats.tables import reformatted, refuse_embedding, tensor_info, weight_info
from effwidgets.transforms.graphs import graph_of
from effwidgets.transforms.trial import relative_error

__all__ = ["INT8", "MODES", "Int8", "quantised"]

MODES: Final = ("weight_only", "dynamic")
_LARGEST: Final = 127
_PART: Final = 2**18  # numbers that are widened at once: 1 MB in float32
_MOST_PARTS: Final = 32

_WEIGHT_ONLY: Final = (
    "The weight is widened in each forward: a quarter of the bytes of float32, not faster (a Linear on a CPU without "
    "eight-bit instructions: 0.9 to 2.8 times the time of float32)."
)
_DYNAMIC: Final = (
    "Inputs are rounded to seven bits over the range of the whole batch, so that what one row answers depends on the "
    "others. It runs on the CPU only, and no gradient passes through. The same CPU took 0.14 to 0.6 of the time of "
    "float32 for 4096 inputs and outputs, from run to run, and 0.6 to 1.3 for 1024: measure it."
)
_FROZEN: Final = "The weight is frozen: its numbers count as parameters, and no optimizer moves them."


class _Scaled(nn.Module):
    # Template: whole numbers times a scale for each output, then the operation.

    def __init__(self, like: nn.Module) -> None:
        super().__init__()
        self._operation = operation_of(like)
        self.weight, self.scale = _whole(weight_of(like)), _scale(weight_of(like))
        self.bias = getattr(like, "bias", None)

    def forward(self, x: Tensor) -> Tensor:
        return self._operation(x, self.weight * self.scale, self.bias)


class _ScaledInParts(nn.Module):
    # Template: a large Linear, a few rows after the other, so that what is widened stays in the cache of a processor.

    def __init__(self, like: nn.Linear, parts: int) -> None:
        super().__init__()
        self._rows = -(-like.out_features // parts)
        self._parts = -(-like.out_features // self._rows)
        self.weight, self.scale = _whole(like.weight), _scale(like.weight)
        self.bias = like.bias

    def forward(self, x: Tensor) -> Tensor:
        weights, scales = torch.split(self.weight, self._rows), torch.split(self.scale, self._rows)
        biases = [None] * self._parts if self.bias is None else torch.split(self.bias, self._rows)
        each = range(self._parts)  # counted: what is traced does not say how many there are
        return torch.cat([functional.linear(x, weights[i] * scales[i], biases[i]) for i in each], -1)


class _ScaledRows(nn.Module):
    # Template: only the rows that are looked up are widened.

    def __init__(self, like: nn.Embedding) -> None:
        super().__init__()
        self.weight, self.scale = _whole(like.weight), _scale(like.weight)

    def forward(self, x: Tensor) -> Tensor:
        return functional.embedding(x, self.weight) * functional.embedding(x, self.scale)


class Int8(Format):
    """A weight in eight bits: whole numbers from -127 to 127 times a scale for each output (each row of an Embedding).

    Setting ``mode``: "weight_only" keeps it so and multiplies in the old format; "dynamic", of a Linear, multiplies in
    eight bits, inputs rounded over the range of each batch (Krishnamoorthi 2018, arXiv:1806.08342, section 3.1.3).
    """

    name: ClassVar[str] = "int8"
    family: ClassVar[str] = "quantize"
    repairs: ClassVar[frozenset[str]] = frozenset({"bias", "batch_norm"})
    inference_only: ClassVar[bool] = True  # of "dynamic"; through "weight_only" gradients flow
    kinds: ClassVar[frozenset[str]] = CONVOLUTIONS | {"Linear", "Embedding"}
    known: ClassVar[frozenset[str]] = frozenset({"mode"})

    def offer(self, layer: LayerProfile, profile: Profile) -> str | tuple[tuple[Knob, ...], str]:
        """Any weight; dynamic where torch has a kernel."""
        dynamic = layer.kind == "Linear" and no_kernel(weight_info(layer).dtype, profile.environment.device) is None
        modes = MODES if dynamic else MODES[:1]
        knob = Knob(name="mode", kind="choice", choices=modes)
        each = "row" if layer.kind == "Embedding" else "output"
        return (knob,), f"Its weight in eight bits, with a scale for each {each}"

    def warnings(self, layer: LayerProfile) -> tuple[str, ...]:
        """What it costs in time."""
        return () if layer.kind == "Embedding" else (_WEIGHT_ONLY, _DYNAMIC)[: 2 if layer.kind == "Linear" else 1]

    def check(self, step: Step) -> None:
        """A known mode."""
        super().check(step)
        _mode(step)

    def rounds(self, step: Step) -> bool:
        """Say whether inputs are rounded too."""
        return _mode(step) == "dynamic"

    def standing(self, layer: LayerProfile, step: Step) -> tuple[LayerProfile, ...]:
        """Weight and scale; packed in a layer of torch's own for dynamic."""
        if _mode(step) == "dynamic":
            if layer.kind != "Linear":
                raise TransformError(f"{step}: {layer.name} is a {layer.kind}; dynamic was written for a Linear.")
            return packed_layers(layer)
        weight, own = weight_info(layer), layer.self_cost
        tensors = [
            tensor_info("weight", weight.shape, "int8"),
            tensor_info("scale", _scale_shape(weight.shape), weight.dtype),
            *(tensor for tensor in layer.tensors if tensor.name == "bias"),
        ]
        new = reformatted(layer, f"Int8{layer.kind}", tensors)
        learnt = own.macs if weight.trainable and own.backward_macs else 0
        cost = dataclasses.replace(new.self_cost, backward_macs=own.backward_macs - learnt)
        return (dataclasses.replace(new, self_cost=cost),)

    def build(self, module: nn.Module, step: Step) -> nn.Module:
        """Return the graph, with zeros."""
        if _mode(step) == "dynamic":
            return blank_packed(module, step)
        refuse_embedding(module, step)
        return graph_of(_template(module), f"Int8{type(module).__name__}")

    def fill(self, filling: Filling) -> tuple[Settings, tuple[str, ...]]:
        """Round to the nearest of 255 numbers."""
        old = weight_of(filling.old)
        whole, scale = quantised(old)
        if _mode(filling.step) == "dynamic":
            bias = filling.old.bias
            pack(filling.new, whole, scale, bias if isinstance(bias, Tensor) else None)
            note = _DYNAMIC
        else:
            weight_of(filling.new).copy_(whole)
            filling.new.get_parameter("scale").copy_(scale)
            note = _WEIGHT_ONLY
        error = relative_error([old], [whole * scale])
        notes = (_FROZEN,) if isinstance(filling.old, nn.Embedding) else (note, _FROZEN)
        return settings(weight_error=error or 0.0), notes

    def dense(self, new: nn.Module, old: nn.Module) -> Tensor:
        """Whole numbers times scales."""
        del old
        return weight_of(new) * new.get_parameter("scale")


def quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return whole numbers in int8, and a scale for each ``weight[i]``, in its dtype, that broadcasts against them.

    >>> whole, scale = quantised(torch.tensor([[2.0, -1.0], [0.0, 0.0]]))
    >>> whole.tolist(), (whole * scale)[0, 0].item()
    ([[127, -64], [0, 0]], 2.0)
    """
    wide = weight.detach() if weight.dtype is torch.float64 else weight.detach().float()
    largest = wide.abs().flatten(1).amax(1).view(_scale_shape(tuple(weight.shape)))
    # The scale as it is kept: in half precision it is rounded itself, and may lie below the normal numbers.
    scale = (largest / _LARGEST).to(weight.dtype)
    scale = torch.where(scale > 0, scale, torch.finfo(weight.dtype).tiny)
    whole = (wide / scale.to(wide.dtype)).round_().clamp_(-_LARGEST, _LARGEST)
    return whole.to(torch.int8), scale


def _scale_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], *[1] * (len(shape) - 1))


def _template(module: nn.Module) -> nn.Module:
    if isinstance(module, nn.Embedding):
        return _ScaledRows(module)
    if isinstance(module, nn.Linear):
        parts = min(_MOST_PARTS, module.weight.numel() // _PART, module.out_features)
        return _ScaledInParts(module, parts) if parts > 1 else _Scaled(module)
    return _Scaled(module)


def _scale(weight: Tensor) -> nn.Parameter:
    blank = weight.detach().new_zeros(_scale_shape(tuple(weight.shape)))
    return nn.Parameter(blank, requires_grad=False)


def _whole(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight.detach().new_zeros(tuple(weight.shape), dtype=torch.int8), requires_grad=False)


def _mode(step: Step) -> str:
    mode = dict(step.settings).get("mode", MODES[0])
    if mode not in MODES:
        raise UnknownNameError("mode of int8", mode, MODES)
    return str(mode)


INT8 = Int8()
