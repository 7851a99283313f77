"""A Linear that multiplies in eight bits: torch's own dynamic one, inside of a graph that keeps its edges plain.

`torch.ao.nn.quantized.dynamic.Linear` packs its weight for the kernel of the machine; it is the only one of torch's
eager kernels that is faster than float32 without instructions for eight bits. Around it stands a cast, so that autocast
may run, and a cut for gradients: torch has none for the kernel, and says so in a warning on each backward.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from effwidgets.errors import TransformError
from effwidgets.profiling.packed import hear_torch_out
from effwidgets.records import Cost, LayerProfile, Step, TensorInfo
from effwidgets.transforms.formats.tables import is_shadow, reformatted, tensor_info, weight_info
from effwidgets.transforms.graphs import graph_of

__all__ = ["blank_packed", "no_kernel", "pack", "packed_layers"]

_NAME = "DynamicInt8Linear"
_INNER = "linear"
_PARAMS = "_packed_params"


class _Edges(nn.Module):
    # Template.

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.linear = inner

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x.detach().float()).to(x.dtype)
        return out


def no_kernel(dtype: str, device: str) -> str | None:
    """Say why a weight cannot be multiplied in eight bits; None where it can."""
    if dtype != "float32":
        return f"the weight is {dtype}; float32 was expected"
    if device != "cpu":
        return f"the weight is on {device}; torch's kernels run on the CPU"
    if torch.backends.quantized.engine == "none":
        return "this build of torch has no kernel for it"
    return None


def packed_layers(layer: LayerProfile) -> tuple[LayerProfile, ...]:
    """Return the layers that stand there afterwards: the graph, torch's layer, what it holds packed."""
    weight, bias = weight_info(layer), layer.tensor("bias")
    held: list[TensorInfo] = [tensor_info(f"{_PARAMS}.weight", weight.shape, "qint8")]
    if bias is not None:
        held.append(tensor_info(f"{_PARAMS}.bias", bias.shape, "float32"))
    own = layer.self_cost
    outer = dataclasses.replace(reformatted(layer, _NAME, ()), self_cost=Cost())
    work = dataclasses.replace(own, params=0, param_bytes=0, backward_macs=0, saved_bytes=0)
    inner = dataclasses.replace(outer, name=f"{layer.name}.{_INNER}", kind="Linear", aliases=(), self_cost=work)
    packs = LayerProfile(name=f"{inner.name}.{_PARAMS}", kind="LinearPackedParams")
    return outer, inner, reformatted(packs, packs.kind, held)


def blank_packed(module: nn.Module, step: Step) -> nn.Module:
    """Return the layer that is to stand in the place of ``module``, packed zeros in it.

    On a shadow a stand-in that has the same sizes and does the same work, and packs nothing.

    Raises:
        TransformError: ``module`` is no Linear, or torch has no kernel for it.
    """
    if not isinstance(module, nn.Linear):
        raise TransformError(f"{step}: the layer is a {type(module).__name__}; dynamic was written for a Linear.")
    weight, bias = module.weight, module.bias
    why = no_kernel(str(weight.dtype).removeprefix("torch."), "cpu" if weight.is_meta else weight.device.type)
    if why:
        raise TransformError(f"{step}: {why}. mode='weight_only' does not need that.")
    if is_shadow(weight):
        return graph_of(_Edges(_shadow(weight, bias)), _NAME)
    made = graph_of(_Edges(_unfilled(module)), _NAME)
    zeros = torch.zeros(tuple(weight.shape), dtype=torch.int8)
    pack(made, zeros, torch.ones(weight.shape[0], 1), None if bias is None else torch.zeros_like(bias))
    return made


def pack(made: nn.Module, whole: Tensor, scale: Tensor, bias: Tensor | None) -> None:
    """Pack whole numbers, a scale for each output and the bias into what `blank_packed` made."""
    points = torch.zeros(whole.shape[0], dtype=torch.long)
    hear_torch_out()
    weight = torch._make_per_channel_quantized_tensor(whole, scale.flatten().double(), points, 0)  # noqa: SLF001
    inner: Any = made.get_submodule(_INNER)
    inner.set_weight_bias(weight, None if bias is None else bias.detach())


def _unfilled(module: nn.Linear) -> nn.Module:
    # Without their constructors, which make a quantised tensor in a way that warns, only to throw it away.
    from torch.ao.nn.quantized.dynamic import Linear
    from torch.ao.nn.quantized.modules.linear import LinearPackedParams

    made: Any = Linear.__new__(Linear)
    nn.Module.__init__(made)
    params: Any = LinearPackedParams.__new__(LinearPackedParams)
    nn.Module.__init__(params)
    params.dtype = torch.qint8
    made.in_features, made.out_features = module.in_features, module.out_features
    made.scale, made.zero_point, made.version = 1.0, 0, 4
    setattr(made, _PARAMS, params)
    found: nn.Module = made
    return found


def _shadow(weight: Tensor, bias: Tensor | None) -> nn.Module:
    class LinearPackedParams(nn.Module):
        # Holds what a profile is to see, under names that no attribute can have.
        def __init__(self) -> None:
            super().__init__()
            held = {
                "weight": weight.detach().new_zeros(tuple(weight.shape), dtype=torch.int8).view(torch.qint8),
                "bias": bias,
            }
            for name, tensor in held.items():
                if tensor is not None:
                    frozen = nn.Parameter(tensor.detach(), requires_grad=False)
                    self._parameters[f"{_PARAMS}.{name}"] = frozen

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self._packed_params = LinearPackedParams()
            self._sizes = tuple(weight.shape)

        def forward(self, x: Tensor) -> Tensor:
            return functional.linear(x, x.new_empty(self._sizes))

    return Linear()
