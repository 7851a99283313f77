"""Multiply-accumulates of the kernels that do many products in one: attention, recurrent layers, whole blocks.

Each formula takes ``(args, kwargs, out)`` of one operation and reads shapes and plain arguments alone.
"""

from __future__ import annotations

from math import prod
from typing import Any, Final

__all__ = ["FUSED"]


def _attention(args: Any, _kwargs: Any, _out: Any) -> int:
    # softmax(Q K^T) V; grouped queries share keys and values, so the queries' heads count.
    query, key, value = args[0], args[1], args[2]
    return int(prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1]))


def _attention_again(query: Any, key: Any, value: Any) -> int:
    # Five products where the forward has two: the scores again, then dV, dP, dQ, dK.
    return int(prod(query.shape[:-1]) * key.shape[-2] * (3 * query.shape[-1] + 2 * value.shape[-1]))


def _attention_backward(args: Any, _kwargs: Any, _out: Any) -> int:
    return _attention_again(args[1], args[2], args[3])


def _flex_backward(args: Any, _kwargs: Any, _out: Any) -> int:
    return _attention_again(args[0], args[1], args[2])


def _native_attention(args: Any, _kwargs: Any, _out: Any) -> int:
    # nn.MultiheadAttention's fast path: the projection of Q, K and V, the two products, the projection of what comes.
    query, key, width = args[0], args[1], args[3]
    tokens, others = prod(query.shape[:-1]), prod(key.shape[:-1])
    projections = width * width * (2 * tokens + 2 * others)
    return int(projections + 2 * tokens * key.shape[-2] * width)


def _encoder_layer(args: Any, _kwargs: Any, _out: Any) -> int:
    # nn.TransformerEncoderLayer's fast path: every weight meets every token once, and the two products of attention.
    source, width = args[0], args[1]
    tokens = prod(source.shape[:-1])
    weights = sum(args[place].numel() for place in (3, 5, 14, 16))
    return int(tokens * weights + 2 * tokens * source.shape[-2] * width)


def _recurrent(args: Any, _kwargs: Any, _out: Any) -> int:
    # mkldnn_rnn_layer: one layer, one direction; input is (time, batch, features).
    image, weight_input, weight_hidden = args[0], args[1], args[2]
    return int(prod(image.shape[:2]) * (weight_input.numel() + weight_hidden.numel()))


def _recurrent_backward(args: Any, kwargs: Any, out: Any) -> int:
    return 2 * _recurrent(args, kwargs, out)


def _recurrent_of_library(args: Any, _kwargs: Any, _out: Any) -> int:
    # cudnn and miopen: all layers and directions in one; each matrix meets every step of every sequence once. A packed
    # input is (steps of all sequences, features).
    image, weights = args[0], args[1]
    return int(prod(image.shape[:-1]) * sum(weight.numel() for weight in weights if weight.dim() == 2))


def _recurrent_of_library_backward(args: Any, kwargs: Any, out: Any) -> int:
    return 2 * _recurrent_of_library(args, kwargs, out)


def _recurrent_of_mps(args: Any, _kwargs: Any, _out: Any) -> int:
    return _recurrent_of_library((args[0], args[2]), {}, None)


def _recurrent_of_mps_backward(args: Any, _kwargs: Any, _out: Any) -> int:
    return 2 * _recurrent_of_library((args[5], args[8]), {}, None)


_ATTENTION: Final = """
    _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention
    _scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention
    _scaled_dot_product_fused_attention_overrideable
"""

FUSED: Final = {
    **{f"aten::{name}": _attention for name in _ATTENTION.split()},
    **{f"aten::{name}_backward": _attention_backward for name in _ATTENTION.split()},
    "aten::_scaled_dot_product_attention_math_for_mps": _attention,
    "higher_order::flex_attention": _attention,
    "higher_order::flex_attention_backward": _flex_backward,
    "aten::_native_multi_head_attention": _native_attention,
    "aten::_transformer_encoder_layer_fwd": _encoder_layer,
    "aten::mkldnn_rnn_layer": _recurrent,
    "aten::mkldnn_rnn_layer_backward": _recurrent_backward,
    "aten::_cudnn_rnn": _recurrent_of_library,
    "aten::_cudnn_rnn_backward": _recurrent_of_library_backward,
    "aten::miopen_rnn": _recurrent_of_library,
    "aten::miopen_rnn_backward": _recurrent_of_library_backward,
    "aten::_lstm_mps": _recurrent_of_mps,
    "aten::lstm_mps_backward": _recurrent_of_mps_backward,
}
"""Operation -> its formula. A mask, causal or in blocks, halves nothing."""
