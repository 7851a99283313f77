"""What an operation is to a profile: bookkeeping, movement, element by element, matrix work, or unknown."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch

from effwidgets.profiling.macs import Formula, formula_of, registered

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
    _unsafe_view _reshape_alias alias detach lift lift_fresh set set_ resize resize_ resize_as empty empty_like
    empty_strided empty_permuted new_empty new_empty_strided empty_quantized _empty_affine_quantized
    _empty_per_channel_affine_quantized _efficientzerotensor _has_compatible_shallow_copy_type _has_same_storage_numel
    is_pinned is_same_size is_set_to sym_size sym_stride sym_numel sym_storage_offset sym_is_contiguous size stride
    numel dim storage_offset is_contiguous is_strides_like_format is_non_overlapping_and_dense _version result_type
    _local_scalar_dense item _linalg_check_errors _assert_async _assert_scalar _assert_tensor_metadata
    _functional_assert_async _functional_assert_scalar sym_constrain_range sym_constrain_range_for_size
    _functional_sym_constrain_range _functional_sym_constrain_range_for_size set_data _cudnn_init_dropout_state
    unsafe_split unsafe_split_with_sizes unsafe_chunk _debug_has_internal_overlap equal is_nonzero record_stream
    _fused_sdp_choice _resize_output _print q_scale q_zero_point q_per_channel_scales q_per_channel_zero_points
    q_per_channel_axis qscheme _nnz _dimI _dimV sparse_dim dense_dim is_coalesced _coalesced
    _validate_compressed_sparse_indices _sparse_coo_tensor_with_dims _sparse_coo_tensor_with_dims_and_tensors
    _sparse_compressed_tensor_with_dims sparse_coo_tensor sparse_compressed_tensor sparse_resize resize_as_sparse
    sparse_resize_and_clear _nested_tensor_size _nested_tensor_strides _nested_tensor_storage_offsets
    _nested_compute_contiguous_strides_offsets _nested_get_offsets _nested_get_lengths _nested_get_min_seqlen
    _nested_get_max_seqlen _nested_get_ragged_idx _nested_get_jagged_dummy _use_cudnn_ctc_loss _use_miopen_ctc_loss
    """
)

# What ends in "_copy" moves too.
_MOVES = _words(
    """
    clone _lazy_clone copy _foreach_copy _foreach_zero _to_copy _copy_from _copy_from_and_resize contiguous cat
    _chunk_cat stack _stack hstack
    vstack index _unsafe_index _unsafe_masked_index index_select gather take take_along_dim embedding constant_pad_nd
    pad reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d roll
    rot90 flip repeat repeat_interleave masked_select put index_put _index_put_impl _unsafe_index_put
    _unsafe_masked_index_put_accumulate scatter index_copy index_fill slice_scatter select_scatter diagonal_scatter
    as_strided_scatter masked_scatter tril triu diag_embed block_diag zeros ones full zeros_like ones_like full_like
    new_zeros new_ones new_full _new_zeros_with_same_feature_meta zero fill scalar_tensor arange range linspace logspace
    eye from_file tril_indices triu_indices bartlett_window blackman_window hamming_window hann_window kaiser_window
    fft_fftfreq fft_rfftfreq rand randn randint randperm rand_like randn_like randint_like normal normal_functional
    uniform bernoulli binomial poisson cauchy exponential geometric log_normal random multinomial _standard_gamma
    _sample_dirichlet _philox_normal _philox_uniform _philox_key_fold_in _philox_key_split _fill_mem_eff_dropout_mask_
    nonzero nonzero_static _unique _unique2 unique_dim unique_consecutive unique_dim_consecutive pixel_shuffle
    pixel_unshuffle channel_shuffle im2col one_hot _pin_memory _pack_padded_sequence _pad_packed_sequence
    to_padded_tensor _jagged_to_padded_dense_forward _padded_dense_to_jagged_forward _nested_from_padded
    _nested_from_padded_tensor _nested_from_padded_and_nested_example _nested_tensor_from_tensor_list
    _nested_tensor_from_mask _nested_tensor_from_mask_left_aligned combinations meshgrid cartesian_prod
    _conj_physical resolve_conj resolve_neg int_repr _make_per_tensor_quantized_tensor
    _make_per_channel_quantized_tensor _convert_weight_to_int4pack _convert_weight_to_int4pack_for_cpu
    _dyn_quant_pack_4bit_weight to_mkldnn _mkldnn_reshape _mkldnn_transpose mkldnn_reorder_conv2d_weight
    mkldnn_reorder_conv3d_weight _cudnn_rnn_flatten_weight _to_dense _to_sparse _to_sparse_csr _to_sparse_csc
    _to_sparse_bsr _to_sparse_bsc _to_sparse_semi_structured _coalesce copy_sparse_to_sparse sparse_mask
    _sparse_mask_projection _spdiags _convert_indices_from_coo_to_csr _convert_indices_from_csr_to_coo _cslt_compress
    lu_unpack
    """
)

# Work on each element once or a few times: normalisation, activation, pooling, reductions, comparisons, sorting.
_ELEMENTWISE = _words(
    """
    native_layer_norm native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training
    _native_batch_norm_legit_functional _batch_norm_with_update _batch_norm_with_update_functional
    _batch_norm_no_update batch_norm_stats batch_norm_elemt batch_norm_update_stats batch_norm_gather_stats
    batch_norm_gather_stats_with_counts cudnn_batch_norm miopen_batch_norm quantized_batch_norm native_group_norm
    _fused_rms_norm rms_norm renorm embedding_renorm _weight_norm_interface _softmax _log_softmax _safe_softmax softmax
    log_softmax _masked_softmax _sparse_softmax _sparse_log_softmax _nested_tensor_softmax_with_shape logsumexp
    native_dropout dropout _fused_dropout _masked_scale glu glu_jvp prelu _prelu_kernel rrelu rrelu_with_noise
    rrelu_with_noise_functional celu elu selu hardswish masked_fill hardsigmoid hardtanh leaky_relu mish silu softplus
    softshrink log_sigmoid_forward threshold rsub _add_relu clamp clamp_min clamp_max lerp addcmul addcdiv
    max_pool2d_with_indices max_pool3d_with_indices max_pool1d max_pool2d mkldnn_max_pool2d mkldnn_max_pool3d
    quantized_max_pool1d quantized_max_pool2d quantized_max_pool3d avg_pool1d avg_pool2d avg_pool3d
    _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    mkldnn_adaptive_avg_pool2d adaptive_max_pool2d adaptive_max_pool3d fractional_max_pool2d fractional_max_pool3d
    max_unpool2d max_unpool3d upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d
    _upsample_nearest_exact2d _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d upsample_bicubic2d
    upsample_trilinear3d _upsample_bilinear2d_aa _upsample_bicubic2d_aa _upsample_lanczos2d_aa grid_sampler_2d
    grid_sampler_3d _grid_sampler_2d_cpu_fallback cudnn_grid_sampler affine_grid_generator cudnn_affine_grid_generator
    col2im sum mean prod amax amin aminmax _aminmax max min median nanmedian mode var std var_mean std_mean norm
    native_norm linalg_vector_norm argmax argmin all any allclose _is_all_true _is_any_true count_nonzero nansum
    cumsum cumprod cummax cummin _cummax_helper _cummin_helper logcumsumexp _logcumsumexp trace sort argsort topk
    kthvalue searchsorted bucketize isin histc histogram _histogramdd_bin_edges _histogramdd_from_bin_cts
    _histogramdd_from_bin_tensors bincount hash_tensor dist index_add scatter_add scatter_reduce index_reduce
    segment_reduce _sparse_sum _sparse_csr_sum _sparse_csr_prod _embedding_bag _embedding_bag_forward_only
    _thnn_fused_lstm_cell _thnn_fused_gru_cell outer ger addr nll_loss_forward nll_loss2d_forward mse_loss
    smooth_l1_loss huber_loss l1_loss binary_cross_entropy binary_cross_entropy_with_logits kl_div _ctc_loss
    _cudnn_ctc_loss miopen_ctc_loss multi_margin_loss multilabel_margin_loss_forward soft_margin_loss gelu
    cosine_similarity linalg_cross cross polar complex view_as_complex _standard_gamma_grad _dirichlet_grad
    fake_quantize_per_tensor_affine_cachemask fake_quantize_per_channel_affine_cachemask
    _fake_quantize_per_tensor_affine_cachemask_tensor_qparams _fake_quantize_learnable_per_tensor_affine
    _fake_quantize_learnable_per_channel_affine _fused_moving_avg_obs_fq_helper
    _fused_moving_avg_obs_fq_helper_functional quantize_per_tensor quantize_per_tensor_dynamic quantize_per_channel
    dequantize _transform_bias_rescale_qkv _amp_foreach_non_finite_check_and_unscale _amp_update_scale _fused_adam
    _fused_adamw _fused_adagrad _fused_sgd heaviside nan_to_num diff bitwise_not hypot frac floor_divide
    """
)

# Backwards that multiply matrices and have no formula.
_BACKWARD_OF_PRODUCTS = _words("_cudnn_attention_backward _slow_conv2d_backward _sparse_mm_reduce_impl_backward")

# Eight bits: what has no formula works on each element, packs or moves.
_QUANTISED = ("quantized", "quantized_decomposed")

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


# A fake table has no entries to miss: what is looked up is compared with its size.
_LOOK_UPS = _words("embedding _embedding_bag _embedding_bag_forward_only index_select index _unsafe_index")

# Their numbers are whatever stood there.
_BLANK = _words("empty empty_like empty_strided empty_permuted new_empty new_empty_strided")


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
    reshapes: bool = False
    writes: int = 0
    blank: bool = False
    looks_up: bool = False

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


def rule_of(func: OpOverload) -> Rule:
    """Return how ``func`` is counted; decided once for each operation, and again when torch was taught a formula.

    Operations of torch itself go by their plain name ("addmm"), others with their namespace
    ("quantized::linear_dynamic").
    """
    return _rule_of(func, registered())


@functools.cache
def _rule_of(func: OpOverload, _formulas: int) -> Rule:
    name = _name_of(func)
    packet = getattr(func, "overloadpacket", func)
    formula = formula_of(packet)
    schema = getattr(func, "_schema", None)
    tags = getattr(func, "tags", ())
    asks = torch.Tag.data_dependent_output in tags or torch.Tag.dynamic_output_shape in tags
    kind = _kind(func, name, formula)
    pointwise = _tagged(packet, torch.Tag.pointwise) or name.removesuffix("_") in _POINTWISE_TOO
    # "addmm.dtype" and its like are told what to return.
    strict = name in _ONE_DTYPE and "dtype" not in str(getattr(func, "_overloadname", ""))
    mutates = bool(schema and schema.is_mutable)
    arguments = schema.arguments if schema else ()
    writes = sum(bool(argument.alias_info and argument.alias_info.is_write) for argument in arguments)
    reshapes = torch.Tag.inplace_view in tags or name.removesuffix("_") in ("resize", "set", "resize_as", "set_data")
    return Rule(
        name,
        kind,
        formula,
        pointwise,
        mutates=mutates,
        asks=asks,
        one_dtype=strict,
        reshapes=reshapes,
        writes=writes,
        blank=name in _BLANK,
        looks_up=name in _LOOK_UPS,
    )


def _name_of(func: OpOverload) -> str:
    name = str(getattr(func, "_opname", None) or func)
    space = getattr(func, "namespace", "aten")
    return name if space in ("aten", "prim", "higher_order") else f"{space}::{name}"


def _tagged(packet: Any, tag: torch.Tag) -> bool:
    """Say whether any form of an operation has a tag: those that write into ``out=`` have none of their own."""
    forms = [packet]
    name = str(getattr(packet, "_qualified_op_name", ""))
    if name.startswith("aten::") and name.endswith("_"):
        forms.append(getattr(torch.ops.aten, name[6:-1], None))
    return any(
        tag in getattr(form, overload).tags
        for form in forms
        if hasattr(form, "overloads")
        for overload in form.overloads()
    )


def _decomposes(func: OpOverload) -> bool:
    try:
        return bool(func._can_decompose())
    except RuntimeError:  # a form that TorchScript alone knows ("einsum.sublist") is no operation of the dispatcher
        return False


def _kind(func: OpOverload, name: str, formula: Formula | None) -> Kind:  # noqa: PLR0911  one return for each kind
    if formula is not None:
        return "matrix"
    if not hasattr(func, "_schema"):  # takes functions: torch.cond, flex_attention
        return "unknown"
    space, _, short = name.rpartition("::")
    if space in _QUANTISED:
        return "move" if any(word in short for word in ("pack", "cat", "make_")) else "elementwise"
    tags = func.tags
    names = {name, name.removesuffix("_")}
    if func.namespace in ("prim", "profiler") or func.is_view or torch.Tag.inplace_view in tags or names & _VIEWS:
        return "view"
    if names & _MOVES or (not space and name.endswith("_copy")):
        return "move"
    packet = func.overloadpacket
    if names & _ELEMENTWISE or _tagged(packet, torch.Tag.pointwise) or _tagged(packet, torch.Tag.reduction):
        return "elementwise"
    if _decomposes(func):
        return "compound"
    # The backward of what is counted element by element is so too.
    if not space and (name.startswith("_foreach_") or ("_backward" in name and not names & _BACKWARD_OF_PRODUCTS)):
        return "elementwise"
    return "unknown"
