"""The state of a model with packed weights as dense tensors, and back: files hold dense tensors only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

from effwidgets.profiling.packed import hear_torch_out

__all__ = ["dense_state", "repack"]

_PACKED: Final = "LinearPackedParams"
_PARAMS: Final = "_packed_params"


def dense_state(model: nn.Module) -> dict[str, object]:
    """Return ``model.state_dict(keep_vars=True)``, each packed weight as whole numbers, scales and zero points.

    Torch's quantised Linears (`torch.ao.nn.quantized`) hold an object that only a kernel can read and state it as a
    pair that no file of dense tensors takes. The tensors that stand for one are copies; `repack` puts them back.

    >>> sorted(dense_state(nn.Linear(2, 2)))
    ['bias', 'weight']
    """
    state: dict[str, object] = dict(model.state_dict(keep_vars=True))
    for path, module in _packed(model):
        for name in ("dtype", _PARAMS):
            state.pop(f"{path}{name}", None)
        for name, tensor in _parts(module):
            state[f"{path}{_PARAMS}.{name}"] = tensor
    return state


def repack(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Pack the weights of ``model`` again from the tensors that `dense_state` gave; other modules are left alone."""
    for path, module in _packed(model):
        held = {name: tensors.get(f"{path}{_PARAMS}.{name}") for name in ("whole", "scale", "zero", "bias")}
        whole, scale, zero = held["whole"], held["scale"], held["zero"]
        if whole is not None and scale is not None and zero is not None:
            hear_torch_out()
            weight = torch._make_per_channel_quantized_tensor(whole, scale, zero, 0)  # noqa: SLF001  the only door
            module.set_weight_bias(weight, held["bias"])


def _packed(model: nn.Module) -> Iterator[tuple[str, Any]]:
    for path, module in model.named_modules():
        if type(module).__name__ == _PACKED and getattr(module, "dtype", None) is torch.qint8:
            yield f"{path}." if path else "", module


def _parts(module: Any) -> Iterator[tuple[str, Tensor]]:
    hear_torch_out()
    weight, bias = module._weight_bias()  # noqa: SLF001  its only reader
    rows = weight.shape[0]
    each = weight.qscheme() in (torch.per_channel_affine, torch.per_channel_affine_float_qparams)
    yield "whole", weight.int_repr()
    yield "scale", weight.q_per_channel_scales() if each else torch.full((rows,), weight.q_scale(), dtype=torch.float64)
    yield "zero", weight.q_per_channel_zero_points() if each else torch.full((rows,), weight.q_zero_point())
    if bias is not None:
        yield "bias", bias.detach()
