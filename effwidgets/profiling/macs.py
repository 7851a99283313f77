"""Multiply-accumulates of each operation that multiplies matrices, from its shapes.

Convention: one multiply-accumulate is one MAC; the additions of a bias are left out; a causal mask halves nothing,
because the kernels' published counts do not halve either. Formulas of `torch.utils.flop_counter` (2 FLOPs a MAC) stand
behind ours for kernels that only exist on other devices.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from math import prod
from typing import Any, TypeAlias

import torch

__all__ = ["Formula", "formula_of"]

Formula: TypeAlias = Callable[[Any, Any, Any], int]
"""``(args, kwargs, out) -> MACs`` of one operation."""


def _mm(args: Any, _kwargs: Any, _out: Any) -> int:
    rows, inner = args[0].shape
    return int(rows * inner * args[1].shape[1])


def _bmm(args: Any, _kwargs: Any, _out: Any) -> int:
    batch, rows, inner = args[0].shape
    return int(batch * rows * inner * args[1].shape[2])


def _after_first(formula: Formula) -> Formula:
    # addmm, baddbmm, addbmm, addmv: what is added comes first
    return lambda args, kwargs, out: formula(args[1:], kwargs, out)


def _mv(args: Any, _kwargs: Any, _out: Any) -> int:
    return int(args[0].numel())


def _linear(args: Any, _kwargs: Any, _out: Any) -> int:
    return int(args[0].numel() * args[1].shape[0]) if args[1].dim() == 2 else int(args[0].numel())


def _matmul(args: Any, _kwargs: Any, out: Any) -> int:
    return int(out.numel() * args[0].shape[-1])


def _convolution(args: Any, kwargs: Any, out: Any) -> int:
    # Every weight meets every position once: output positions, or input positions when transposed.
    image, weight = args[0], args[1]
    transposed = args[6] if len(args) > 6 else kwargs.get("transposed", False)
    places = image if transposed else out
    spatial = weight.dim() - 2
    batch = image.shape[0] if image.dim() == weight.dim() else 1
    return int(batch * prod(places.shape[places.dim() - spatial :]) * weight.numel())


def _convolution_backward(args: Any, _kwargs: Any, _out: Any) -> int:
    # The gradient of the input and that of the weight are each as much work as the forward, whatever the groups.
    grad, image, weight, transposed, wanted = args[0], args[1], args[2], args[7], args[10]
    places = image if transposed else grad
    forward = int(grad.shape[0] * prod(places.shape[2:]) * weight.numel())
    return forward * (int(wanted[0]) + int(wanted[1]))


def _attention(args: Any, _kwargs: Any, _out: Any) -> int:
    # softmax(Q K^T) V; grouped queries share keys and values, so the queries' heads count.
    query, key, value = args[0], args[1], args[2]
    return int(prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1]))


def _attention_backward(args: Any, _kwargs: Any, _out: Any) -> int:
    # Five products where the forward has two: the scores again, then dV, dP, dQ, dK.
    query, key, value = args[1], args[2], args[3]
    return int(prod(query.shape[:-1]) * key.shape[-2] * (3 * query.shape[-1] + 2 * value.shape[-1]))


def _recurrent_step_weights(args: Any, _kwargs: Any, _out: Any) -> int:
    # mkldnn_rnn_layer: one layer, one direction; input is (time, batch, features).
    image, weight_input, weight_hidden = args[0], args[1], args[2]
    return int(prod(image.shape[:2]) * (weight_input.numel() + weight_hidden.numel()))


def _recurrent_backward(args: Any, _kwargs: Any, _out: Any) -> int:
    return 2 * _recurrent_step_weights(args, _kwargs, _out)


def _grouped(args: Any, _kwargs: Any, out: Any) -> int:
    # One product for each expert. The rows of all stand below each other; or what is summed over does, when both are
    # matrices.
    first, second = args[0], args[1]
    if first.dim() == second.dim() == 2:
        return int(first.numel() * second.shape[-1])
    return int(out.numel() * first.shape[-1])


def _cdist(args: Any, _kwargs: Any, out: Any) -> int:
    return int(out.numel() * args[0].shape[-1])


def _trilinear(args: Any, _kwargs: Any, _out: Any) -> int:
    # Bilinear's kernel: every triple of entries is one product of three, summed.
    first, second, third, expand1, expand2, expand3 = args[:6]
    rank = first.dim() + len(expand1)
    sizes = [1] * rank
    for tensor, expand in ((first, expand1), (second, expand2), (third, expand3)):
        dims = iter(tensor.shape)
        for axis in range(rank):
            if axis not in expand:
                sizes[axis] = max(sizes[axis], next(dims))
    return prod(sizes)


@functools.cache
def _table() -> dict[Any, Formula]:
    aten = torch.ops.aten
    table: dict[str, Formula] = {
        "mm": _mm,
        "_int_mm": _mm,
        "_scaled_mm": _mm,
        "addmm": _after_first(_mm),
        "_addmm_activation": _after_first(_mm),
        "bmm": _bmm,
        "baddbmm": _after_first(_bmm),
        "addbmm": _after_first(_bmm),
        "mv": _mv,
        "addmv": _after_first(_mv),
        "dot": _mv,
        "vdot": _mv,
        "linear": _linear,
        "matmul": _matmul,
        "convolution": _convolution,
        "_convolution": _convolution,
        "convolution_overrideable": _convolution,
        "mkldnn_convolution": _convolution_of_kernel,
        "cudnn_convolution": _convolution_of_kernel,
        "convolution_backward": _convolution_backward,
        "_scaled_dot_product_flash_attention_for_cpu": _attention,
        "_scaled_dot_product_flash_attention": _attention,
        "_scaled_dot_product_efficient_attention": _attention,
        "_scaled_dot_product_cudnn_attention": _attention,
        "_scaled_dot_product_fused_attention_overrideable": _attention,
        "_scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward,
        "_scaled_dot_product_flash_attention_backward": _attention_backward,
        "_scaled_dot_product_efficient_attention_backward": _attention_backward,
        "_scaled_dot_product_cudnn_attention_backward": _attention_backward,
        "_scaled_dot_product_fused_attention_overrideable_backward": _attention_backward,
        "mkldnn_rnn_layer": _recurrent_step_weights,
        "mkldnn_rnn_layer_backward": _recurrent_backward,
        "_grouped_mm": _grouped,
        "_cdist_forward": _cdist,
        "_trilinear": _trilinear,
    }
    # Not every kernel is built into every torch.
    return {getattr(aten, name): formula for name, formula in table.items() if hasattr(aten, name)}


def _convolution_of_kernel(args: Any, _kwargs: Any, out: Any) -> int:
    # Kernels of one library, never transposed; they carry no such argument.
    return int(out.shape[0] * prod(out.shape[2:]) * args[1].numel())


@functools.cache
def _borrowed() -> dict[Any, Any]:
    from torch.utils.flop_counter import flop_registry

    return dict(flop_registry)


def formula_of(packet: object) -> Formula | None:
    """Return the formula of an operation (`torch._ops.OpOverloadPacket`), or None when there is none."""
    own = _table().get(packet)
    if own is not None:
        return own
    flops = _borrowed().get(packet)
    if flops is None:
        return None
    return lambda args, kwargs, out: int(flops(*args, **kwargs, out_val=out)) // 2
