"""The reasons why two counters differ, in words, and which operations stand behind which."""

from __future__ import annotations

import functools
from typing import Final

import torch

from effwidgets.profiling.kinds import rule_of
from effwidgets.records.reconciliation import UNEXPLAINED

__all__ = ["FUSED_LAYERS", "extra_of", "makes", "may_multiply", "reason_of", "words_of"]

_WORDS: Final = {
    "fused_attention": "Attention runs as one fused kernel, for which they have no formula: counted as zero.",
    "fused_layer": "The layer's fast path runs as one operation, for which they have no formula: counted as zero.",
    "recurrent": "The recurrent layer runs as one operation, for which they have no formula: counted as zero.",
    "same_padding": "padding='same' is traced as _convolution_mode, for which they have no formula: counted as zero.",
    "python_op": "The work of a torch.autograd.Function is hidden from their trace: counted as zero.",
    "no_formula": "They have no formula for this operation: counted as zero.",
    "included_norm": "They count normalisation; it is no matrix work and is not in our MACs.",
    "included_pool": "They count pooling; it is no matrix work and is not in our MACs.",
    "included_resize": "They count resampling; it is no matrix work and is not in our MACs.",
    "included": "They count this operation; it is no matrix work and is not in our MACs.",
    "broadcast": "They multiply all of the left operand by the width of the right one, and miss what is broadcast.",
    "einsum_digits": "They take the number from numpy's printed estimate, which has four digits.",
    "einsum_order": "They take numpy's estimate for the best order of the whole contraction; other products run.",
    "einsum_elementwise": "They count an einsum that multiplies no matrices; it is not in our MACs.",
    "grouped_backward": "They take the gradient of a grouped convolution's weights for that of an undivided one.",
    "recomputed": "Attention is not fused in their run; the fused backward that we count computes the scores again.",
    "unasked": "Step by step, gradients that nobody asks for are left out; the fused kernel computes them.",
    "unused": "The output does not depend on it, so their trace leaves it out; the model does run it.",
    "no_backward": "They count no backward.",
    "caller": "Work of a shared or lent layer: they count it where it is called, we count it where it stands.",
    "hooks": "Their hooks lose whose backward it is, and count it for another layer or for the whole alone.",
    UNEXPLAINED: "No reason was found for this.",
}

# Operation as a counter names it -> why it is zero there.
_ZERO: Final = {
    "scaled_dot_product_attention": "fused_attention",
    "_native_multi_head_attention": "fused_layer",
    "_transformer_encoder_layer_fwd": "fused_layer",
    "_convolution_mode": "same_padding",
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu", "mkldnn_rnn_layer", "_cudnn_rnn"), "recurrent"),
    **dict.fromkeys(("mkldnn_rnn_layer_backward", "_cudnn_rnn_backward", "_thnn_fused_lstm_cell"), "recurrent"),
    **dict.fromkeys(("batch_norm", "layer_norm", "group_norm", "instance_norm"), "included_norm"),
    "adaptive_avg_pool2d": "included_pool",
    **dict.fromkeys(("upsample_nearest2d", "upsample_bilinear2d", "grid_sampler"), "included_resize"),
}

FUSED_LAYERS: Final = frozenset({"_native_multi_head_attention", "_transformer_encoder_layer_fwd"})
"""Operations that do the work of the layers below the one that runs them."""

_PRODUCTS: Final = frozenset({"mm", "addmm", "bmm", "baddbmm", "linear", "matmul"})
_RECURRENT: Final = _PRODUCTS | {"mkldnn_rnn_layer", "mkldnn_rnn_layer_backward", "_cudnn_rnn", "_cudnn_rnn_backward"}

# Operation as another counter sees it -> the operations by which our run may do the same work. Others stand for
# themselves.
_MAKES: Final = {
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu", "mkldnn_rnn_layer", "_cudnn_rnn"), _RECURRENT),
    **dict.fromkeys(("mkldnn_rnn_layer_backward", "_cudnn_rnn_backward"), _RECURRENT),
    "_convolution_mode": frozenset({"convolution", "_convolution", "mkldnn_convolution", "cudnn_convolution"}),
    "linear": _PRODUCTS,  # three projections of one tensor run as one product; a trace keeps them apart
    "cdist": frozenset({"_cdist_forward", "_euclidean_dist", *_PRODUCTS}),
    "pdist": frozenset({"_pdist_forward"}),
    "bilinear": frozenset({"_trilinear", *_PRODUCTS}),
    **dict.fromkeys(("einsum", "tensordot", "linalg_multi_dot", "chain_matmul", "inner", "outer", "addr"), _PRODUCTS),
    **dict.fromkeys(("inner", "vdot", "dot"), _PRODUCTS | {"dot", "vdot", "mv"}),
    "addbmm": frozenset({"addbmm", *_PRODUCTS}),
    "baddbmm": frozenset({"baddbmm", "bmm"}),
    "addmv": frozenset({"addmv", "mv"}),
}


def reason_of(op: str, *, zero: bool = True) -> str:
    """Return why an operation is zero there, or with ``zero`` false, why it is counted there and not by us.

    >>> reason_of("lstm"), reason_of("mv"), reason_of("batch_norm", zero=False)
    ('recurrent', 'no_formula', 'included_norm')
    """
    if op.startswith("_scaled_dot_product"):
        return "fused_attention"
    if op.startswith("prim::PythonOp"):
        return "python_op"
    return _ZERO.get(op, "no_formula" if zero else "included")


def extra_of(op: str) -> str:
    """Return why a fused operation does more than its parts would.

    >>> extra_of("mkldnn_rnn_layer_backward")
    'unasked'
    """
    return "recomputed" if op.startswith("_scaled_dot_product") else "unasked"


def makes(theirs: str, ours: str) -> bool:
    """Say whether an operation that the other counter saw may be what our run did as ``ours``.

    >>> makes("lstm", "mkldnn_rnn_layer"), makes("batch_norm", "mm"), makes("mv", "mv")
    (True, False, True)
    """
    if theirs.startswith("prim::PythonOp") or theirs in FUSED_LAYERS:
        return True
    if theirs == "scaled_dot_product_attention":
        return ours.startswith("_scaled_dot_product") or ours in _PRODUCTS
    if theirs.startswith("_scaled_dot_product"):
        return ours.startswith("_scaled_dot_product") or ours in _PRODUCTS
    if ours.startswith("_scaled_dot_product"):
        return theirs in _PRODUCTS - {"linear"}  # two activations are multiplied: no layer's weight
    return theirs == ours or ours in _MAKES.get(theirs, ()) or (ours in _RECURRENT and theirs in _PRODUCTS)


@functools.cache
def may_multiply(op: str) -> bool:
    """Say whether an operation that stands in a trace may do matrix work: it is not element by element, no view.

    >>> may_multiply("matrix_exp"), may_multiply("softmax"), may_multiply("mytools::mix")
    (True, False, True)
    """
    packet = getattr(torch.ops.aten, op, None)
    if packet is None:
        return True
    rules = [rule_of(getattr(packet, overload)) for overload in packet.overloads()]
    return any(rule.kind not in ("elementwise", "view", "move") for rule in rules)


def words_of(reason: str) -> str:
    """Return a reason as a sentence.

    >>> words_of("no_backward")
    'They count no backward.'
    """
    return _WORDS[reason]
