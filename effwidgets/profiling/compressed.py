"""Multiply-accumulates of products with a compressed weight: quantised and packed, or sparse.

An eight-bit kernel does every product, in eight bits. A sparse kernel does one for each entry that is stored. Each
formula takes ``(args, kwargs, out)`` of one operation. Those of sparse operands read how many entries are stored, which
no shape tells: they must not be remembered by shapes.
"""

from __future__ import annotations

from math import prod
from typing import Any, Final

import torch
from torch.utils._python_dispatch import _disable_current_modes

__all__ = ["COMPRESSED", "is_sparse", "sparse_product"]

_SPARSE: Final = frozenset(
    {torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc},
)


def is_sparse(tensor: torch.Tensor) -> bool:
    """Say whether a tensor stores some of its entries only."""
    return tensor.layout in _SPARSE


def _entries(tensor: torch.Tensor) -> int:
    if hasattr(tensor, "fake_mode") or tensor.is_meta:
        # torch's fake tensors keep the shape of a sparse tensor and forget what it stores.
        raise NotImplementedError("how many entries a sparse tensor stores is not known without its numbers")
    values = tensor._values() if tensor.layout is torch.sparse_coo else tensor.values()
    return int(values.numel())


def sparse_product(first: torch.Tensor, second: torch.Tensor) -> int:
    """Return the MACs of a matrix product with one sparse operand: each stored entry meets each row or column once.

    Raises:
        NotImplementedError: a sparse tensor on a shadow, which does not know what is stored.
        ValueError: both are sparse; the work depends on where the entries stand.
    """
    if is_sparse(first) and is_sparse(second):
        raise ValueError("the product of two sparse matrices depends on where their entries stand")
    if is_sparse(first):
        return _entries(first) * (int(second.shape[-1]) if second.dim() > 1 else 1)
    return _entries(second) * (int(first.shape[-2]) if first.dim() > 1 else 1)


def _sparse_mm(args: Any, _kwargs: Any, _out: Any) -> int:
    return sparse_product(args[0], args[1])


def _sparse_addmm(args: Any, _kwargs: Any, _out: Any) -> int:
    return sparse_product(args[1], args[2])


def _sampled(args: Any, _kwargs: Any, _out: Any) -> int:
    # Only the entries of a pattern are computed, each a dot product.
    return _entries(args[0]) * int(args[1].shape[-1])


def _rows_times_columns(args: Any, _kwargs: Any, out: Any) -> int:
    # x W^T where W is packed in a way of its own: what comes out has a column for each of its rows.
    return int(out.numel() * args[0].shape[-1])


def _half(args: Any, _kwargs: Any, out: Any) -> int:
    # Two of four are stored and multiplied, the dense operand being the first.
    return int(out.numel() * args[0].shape[-1]) // 2


def _half_first(args: Any, _kwargs: Any, out: Any) -> int:
    # The packed operand is the first; it holds half of its columns.
    return int(out.numel() * args[0].shape[-1])


def _half_added(args: Any, _kwargs: Any, out: Any) -> int:
    return int(out.numel() * args[1].shape[-1])


def _half_of_library(args: Any, _kwargs: Any, out: Any) -> int:
    return int(out.numel() * args[1].shape[0]) // 2


def _quantised_convolution(args: Any, _kwargs: Any, out: Any) -> int:
    image, packed = args[0], args[1]
    with _disable_current_modes():
        weight, transposed = packed.unpack()[0], bool(packed.transpose())
    places = (image if transposed else out).shape
    return int(places[0] * prod(places[2:]) * weight.numel())


def _quantised_cell(gates: int) -> Any:
    def formula(args: Any, _kwargs: Any, _out: Any) -> int:
        image = args[0]
        hidden = (args[1][0] if isinstance(args[1], list | tuple) else args[1]).shape[-1]
        return int(prod(image.shape[:-1]) * gates * hidden * (image.shape[-1] + hidden))

    return formula


def _quantised_recurrent(gates: int) -> Any:
    # (input, hidden, params, ...), or (data, batch_sizes, hidden, params, ...) of packed sequences. `params` are packed
    # objects that tell no shape; the hidden state does.
    def formula(args: Any, _kwargs: Any, _out: Any) -> int:
        image = args[0]
        place = next(i for i in range(2, 4) if isinstance(args[i], list) and not isinstance(args[i][0], torch.Tensor))
        state = args[place - 1]
        hidden = (state[0] if isinstance(state, list | tuple) else state).shape[-1]
        layers, ways = args[place + 2], 1 + bool(args[place + 5])
        widths = image.shape[-1] + hidden + (layers - 1) * (ways * hidden + hidden)
        return int(prod(image.shape[:-1]) * ways * gates * hidden * widths)

    return formula


_LINEAR: Final = """
    linear linear_relu linear_leaky_relu linear_tanh linear_dynamic linear_relu_dynamic linear_dynamic_fp16
    linear_relu_dynamic_fp16 linear_dynamic_fp16_unpacked_weight linear_with_input_q_dq_qweight_dq_output_fp32
    linear_with_input_q_dq_qweight_dq_relu_output_fp32 int4mm_packed_weight_cpu matmul
"""
_CONVOLUTIONS: Final = """
    conv1d conv2d conv3d conv1d_relu conv2d_relu conv3d_relu conv2d_add conv2d_add_relu conv1d_dynamic conv2d_dynamic
    conv3d_dynamic conv_transpose1d conv_transpose2d conv_transpose3d conv_transpose1d_dynamic conv_transpose2d_dynamic
    conv_transpose3d_dynamic
"""
_WEIGHT_ONLY: Final = """
    _weight_int8pack_mm _weight_int4pack_mm _weight_int4pack_mm_for_cpu _weight_int4pack_mm_with_scales_and_zeros
    _dyn_quant_matmul_4bit _mixed_dtypes_linear
"""

COMPRESSED: Final = {
    **{f"quantized::{name}": _rows_times_columns for name in _LINEAR.split()},
    **{f"quantized::{name}": _quantised_convolution for name in _CONVOLUTIONS.split()},
    "quantized::quantized_lstm_cell_dynamic": _quantised_cell(4),
    "quantized::quantized_gru_cell_dynamic": _quantised_cell(3),
    "quantized::quantized_rnn_tanh_cell_dynamic": _quantised_cell(1),
    "quantized::quantized_rnn_relu_cell_dynamic": _quantised_cell(1),
    "aten::quantized_lstm": _quantised_recurrent(4),
    "aten::quantized_gru": _quantised_recurrent(3),
    **{f"aten::{name}": _rows_times_columns for name in _WEIGHT_ONLY.split()},
    "aten::_sparse_addmm": _sparse_addmm,
    "aten::hspmm": _sparse_mm,
    "aten::sspaddmm": _sparse_addmm,
    "aten::_sparse_mm_reduce_impl": _sparse_mm,
    "aten::sparse_sampled_addmm": _sampled,
    "aten::_sparse_semi_structured_linear": _half,
    "aten::_sparse_semi_structured_mm": _half_first,
    "aten::_sparse_semi_structured_addmm": _half_added,
    "aten::_cslt_sparse_mm": _half_of_library,
}
"""Operation -> its formula."""
