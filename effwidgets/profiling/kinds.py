"""What an operation is to a profile: bookkeeping, movement, element by element, matrix work, or unknown."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch

from effwidgets.profiling.macs import Formula, formula_of

if TYPE_CHECKING:
    from torch._ops import OpOverload

__all__ = ["Kind", "Rule", "rule_of"]

Kind: TypeAlias = Literal["view", "move", "elementwise", "matrix", "compound", "unknown"]
"""``view``: no work and no bytes. ``move``: bytes only. ``elementwise``: one operation for each element. ``matrix``:
has a formula. ``compound``: made of others, which are looked at instead. ``unknown``: arithmetic without a formula."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_VIEWS = _words(
    """
    _unsafe_view _reshape_alias alias detach lift lift_fresh set_ resize_ empty empty_like empty_strided
    empty_permuted new_empty new_empty_strided _has_compatible_shallow_copy_type is_pinned is_same_size sym_size
    sym_stride sym_numel sym_storage_offset sym_is_contiguous size stride numel dim storage_offset is_contiguous
    is_strides_like_format is_non_overlapping_and_dense _version result_type _local_scalar_dense item
    _linalg_check_errors _assert_async _assert_scalar _assert_tensor_metadata _functional_assert_async set_data
    _cudnn_init_dropout_state unsafe_split unsafe_split_with_sizes unsafe_chunk _debug_has_internal_overlap equal
    is_nonzero _record_function_enter_new _record_function_exit
    """
)

_MOVES = _words(
    """
    clone copy _to_copy _copy_from contiguous cat stack hstack vstack index _unsafe_index index_select gather take
    take_along_dim embedding constant_pad_nd pad reflection_pad1d reflection_pad2d reflection_pad3d
    replication_pad1d replication_pad2d replication_pad3d roll flip repeat repeat_interleave masked_select index_put
    _index_put_impl_ _unsafe_index_put scatter index_copy index_fill slice_scatter select_scatter diagonal_scatter
    as_strided_scatter masked_scatter tril triu zeros ones full zeros_like ones_like full_like new_zeros new_ones
    new_full zero fill scalar_tensor arange linspace logspace eye tril_indices triu_indices rand randn randint
    randperm rand_like randn_like randint_like normal uniform bernoulli exponential_ random_ multinomial nonzero
    nonzero_static unique _unique2 unique_dim unique_consecutive pixel_shuffle pixel_unshuffle channel_shuffle
    im2col unfold_copy one_hot view_copy permute_copy expand_copy _pin_memory _nested_tensor_from_mask
    _nested_tensor_from_mask_left_aligned combinations meshgrid cartesian_prod _conj_physical resolve_conj
    resolve_neg
    """
)

# Work on each element once or a few times: normalisation, activation, pooling, reductions, comparisons, sorting.
_ELEMENTWISE = _words(
    """
    native_layer_norm native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training
    _batch_norm_with_update _batch_norm_no_update batch_norm_stats batch_norm_elemt cudnn_batch_norm
    miopen_batch_norm native_group_norm _fused_rms_norm rms_norm renorm _weight_norm_interface _softmax _log_softmax
    _safe_softmax softmax log_softmax _masked_softmax logsumexp native_dropout dropout _fused_dropout glu prelu
    _prelu_kernel rrelu rrelu_with_noise rrelu_with_noise_functional celu elu selu hardswish masked_fill hardsigmoid
    hardtanh leaky_relu mish silu softplus softshrink log_sigmoid_forward threshold rsub clamp clamp_min clamp_max
    lerp addcmul addcdiv max_pool2d_with_indices max_pool3d_with_indices max_pool1d max_pool2d mkldnn_max_pool2d
    avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d
    adaptive_max_pool2d adaptive_max_pool3d fractional_max_pool2d fractional_max_pool3d max_unpool2d max_unpool3d
    upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d
    _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d
    _upsample_bilinear2d_aa _upsample_bicubic2d_aa grid_sampler_2d grid_sampler_3d affine_grid_generator col2im sum
    mean prod amax amin aminmax max min median nanmedian mode var std var_mean std_mean norm linalg_vector_norm
    argmax argmin all any count_nonzero nansum cumsum cumprod cummax cummin logcumsumexp trace sort argsort topk
    kthvalue searchsorted bucketize isin histc bincount dist index_add scatter_add scatter_reduce index_reduce
    segment_reduce _embedding_bag _embedding_bag_forward_only _thnn_fused_lstm_cell _thnn_fused_gru_cell outer ger
    addr nll_loss_forward nll_loss2d_forward mse_loss smooth_l1_loss huber_loss l1_loss binary_cross_entropy
    binary_cross_entropy_with_logits kl_div _ctc_loss multi_margin_loss multilabel_margin_loss_forward
    soft_margin_loss gelu cosine_similarity _cdist_backward linalg_cross cross polar complex view_as_complex
    fake_quantize_per_tensor_affine_cachemask fake_quantize_per_channel_affine_cachemask quantize_per_tensor
    quantize_per_channel dequantize _amp_foreach_non_finite_check_and_unscale_
    _fake_quantize_learnable_per_tensor_affine _fake_quantize_learnable_per_channel_affine heaviside nan_to_num diff
    bitwise_not hypot frac floor_divide
    """
)

# Pointwise in truth, if not by torch's tags.
_POINTWISE_TOO = _words("masked_fill rsub _prelu_kernel prelu hardtanh leaky_relu clamp lerp addcmul addcdiv")


# A real kernel takes tensors of one dtype only; a fake one does not look.
_ONE_DTYPE = _words(
    """
    mm addmm bmm baddbmm addbmm mv addmv dot vdot linear matmul convolution _convolution native_layer_norm
    native_group_norm native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training
    _batch_norm_with_update _batch_norm_no_update
    """
)


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """How one operation is counted."""

    name: str
    kind: Kind
    formula: Formula | None
    pointwise: bool
    mutates: bool
    asks: bool
    one_dtype: bool = False

    def check_dtypes(self, inputs: Sequence[torch.Tensor]) -> None:
        """Raise a `TypeError` for a mix of dtypes that a real kernel would refuse."""
        dtypes = {tensor.dtype for tensor in inputs}
        if len(dtypes) < 2 or ("norm" in self.name and dtypes <= {torch.float32, torch.bfloat16, torch.float16}):
            return
        found = " and ".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes))
        raise TypeError(f"{self.name} was given tensors of {found}; one dtype was expected")

    def macs(self, args: Any, kwargs: Any, out: Any) -> int | None:
        """Return the multiply-accumulates, or None where they cannot be told."""
        if self.formula is None:
            return None
        try:
            return self.formula(args, kwargs, out)
        except (AssertionError, AttributeError, LookupError, TypeError, ValueError):  # other arguments than we know
            return None


@functools.cache
def rule_of(func: OpOverload) -> Rule:
    """Return how ``func`` is counted; decided once for each operation."""
    name = str(getattr(func, "_opname", None) or func)
    packet = getattr(func, "overloadpacket", func)
    formula = formula_of(packet)
    schema = getattr(func, "_schema", None)
    tags = getattr(func, "tags", ())
    asks = torch.Tag.data_dependent_output in tags or torch.Tag.dynamic_output_shape in tags
    kind = _kind(func, name, formula)
    pointwise = torch.Tag.pointwise in tags or name.removesuffix("_") in _POINTWISE_TOO
    # "addmm.dtype" and its like are told what to return.
    strict = name in _ONE_DTYPE and "dtype" not in str(getattr(func, "_overloadname", ""))
    mutates = bool(schema and schema.is_mutable)
    return Rule(name, kind, formula, pointwise, mutates=mutates, asks=asks, one_dtype=strict)


def _kind(func: OpOverload, name: str, formula: Formula | None) -> Kind:
    plain = name.removesuffix("_") if func._schema.is_mutable else name
    names = {name, plain}
    tags = func.tags
    if formula is not None:
        kind: Kind = "matrix"
    elif func.namespace == "prim" or func.is_view or torch.Tag.inplace_view in tags or names & _VIEWS:
        kind = "view"
    elif names & _MOVES:
        kind = "move"
    elif names & _ELEMENTWISE or torch.Tag.pointwise in tags or torch.Tag.reduction in tags:
        kind = "elementwise"
    elif func._can_decompose():
        kind = "compound"
    elif name.startswith("_foreach_") or plain.endswith("_backward"):
        # The backward of what is counted element by element is so too.
        kind = "elementwise"
    else:
        kind = "unknown"
    return kind
