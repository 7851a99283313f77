"""Multiply-accumulates of each operation that multiplies matrices, from its shapes.

Convention: one multiply-accumulate is one MAC. The additions of a bias are left out, and so are the norms that a
distance adds. A causal mask halves nothing, because the kernels' published counts do not halve either. A product in
which nothing is summed (an outer product) is work element by element. A complex MAC is one.

Of linear algebra, what multiplies by or substitutes into given matrices is counted, as in LAPACK Working Note 41
(section 6). What has to find something first (a factorisation, an inverse, an exponential) is not: its work depends on
numbers, or on the library.

Formulas of `torch.utils.flop_counter` (2 FLOPs a MAC) stand behind ours, for kernels that only exist on other devices
and for what a user registers there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from math import prod
from typing import Any, Final, TypeAlias

from effwidgets.profiling.compressed import COMPRESSED, is_sparse, sparse_product
from effwidgets.profiling.fused import FUSED

__all__ = ["FORMULAS", "Formula", "formula_of", "registered"]

Formula: TypeAlias = Callable[[Any, Any, Any], int]
"""``(args, kwargs, out) -> MACs`` of one operation, from shapes and plain arguments alone; where an operand is sparse,
also from how many entries it stores."""


def _mm(args: Any, _kwargs: Any, _out: Any) -> int:
    first, second = args[0], args[1]
    if is_sparse(first) or is_sparse(second):
        return sparse_product(first, second)
    rows, inner = first.shape
    return int(rows * inner * second.shape[1])


def _bmm(args: Any, _kwargs: Any, _out: Any) -> int:
    first, second = args[0], args[1]
    if is_sparse(first) or is_sparse(second):
        return sparse_product(first, second)
    batch, rows, inner = first.shape
    return int(batch * rows * inner * second.shape[2])


def _mv(args: Any, _kwargs: Any, _out: Any) -> int:
    matrix = args[0]
    return sparse_product(matrix, args[1]) if is_sparse(matrix) else int(matrix.numel())


def _after_first(formula: Formula) -> Formula:
    # addmm, baddbmm, addbmm, addmv: what is added comes first
    return lambda args, kwargs, out: formula(args[1:], kwargs, out)


def _linear(args: Any, _kwargs: Any, _out: Any) -> int:
    source, weight = args[0], args[1]
    if is_sparse(weight):
        return sparse_product(source.flatten(0, -2) if source.dim() > 2 else source, weight)
    return int(source.numel() * weight.shape[0]) if weight.dim() == 2 else int(source.numel())


def _linear_backward_of_one(args: Any, _kwargs: Any, _out: Any) -> int:
    # (sizes, grad, weight) for the input's, (grad, input, weight) for the weight's
    grad = next(argument for argument in args if hasattr(argument, "numel"))
    return int(grad.numel() * args[2].shape[1])


def _linear_backward(args: Any, _kwargs: Any, _out: Any) -> int:
    source, _, weight, wanted = args[0], args[1], args[2], args[3]
    return int(source.numel() * weight.shape[0]) * (int(wanted[0]) + int(wanted[1]))


def _matmul(args: Any, _kwargs: Any, out: Any) -> int:
    first, second = args[0], args[1]
    if is_sparse(first) or is_sparse(second):
        return sparse_product(first, second)
    return int(out.numel() * first.shape[-1])


def _matmul_backward(args: Any, _kwargs: Any, _out: Any) -> int:
    grad, first, wanted = args[0], args[1], args[3]
    return int(grad.numel() * first.shape[-1]) * (int(wanted[0]) + int(wanted[1]))


def _convolution(args: Any, kwargs: Any, out: Any) -> int:
    # Every weight meets every position once: output positions, or input positions when transposed.
    image, weight = args[0], args[1]
    transposed = args[6] if len(args) > 6 else kwargs.get("transposed", False)
    return _positions(image if transposed else out, weight)


def _positions(places: Any, weight: Any) -> int:
    spatial = weight.dim() - 2
    batch = places.shape[0] if places.dim() == weight.dim() else 1
    return int(batch * prod(places.shape[places.dim() - spatial :]) * weight.numel())


def _convolution_of_kernel(args: Any, _kwargs: Any, out: Any) -> int:
    # Kernels of one library, never transposed; they carry no such argument.
    return _positions(out, args[1])


def _transposed_of_kernel(args: Any, _kwargs: Any, _out: Any) -> int:
    return _positions(args[0], args[1])


def _convolution_backward(args: Any, kwargs: Any, _out: Any) -> int:
    # The gradient of the input and that of the weight are each as much work as the forward, whatever the groups.
    grad, image, weight = args[0], args[1], args[2]
    wanted = args[-1] if isinstance(args[-1], list | tuple) and len(args[-1]) == 3 else kwargs["output_mask"]
    transposed = next(argument for argument in args[3:] if isinstance(argument, bool))
    return _positions(image if transposed else grad, weight) * (int(wanted[0]) + int(wanted[1]))


def _convolution_of_mps_backward(*, transposed: bool) -> Formula:
    def formula(args: Any, _kwargs: Any, _out: Any) -> int:
        image, grad, weight, wanted = args[0], args[1], args[2], args[-1]
        return _positions(image if transposed else grad, weight) * (int(wanted[0]) + int(wanted[1]))

    return formula


def _time_first(args: Any, _kwargs: Any, out: Any) -> int:
    # conv_tbc: (time, batch, channels) and (kernel, in, out).
    return int(out.shape[0] * out.shape[1] * args[1].numel())


def _grouped(args: Any, _kwargs: Any, out: Any) -> int:
    # One product for each expert. The rows of all stand below each other; or what is summed over does, when both are
    # matrices.
    first, second = args[0], args[1]
    if first.dim() == second.dim() == 2:
        return int(first.numel() * second.shape[-1])
    return int(out.numel() * first.shape[-1])


def _distances(args: Any, _kwargs: Any, out: Any) -> int:
    # One step of a sum for each pair and feature, whatever the exponent. From 26 points on, torch goes through a matrix
    # product that is two columns wider; these carry the norms.
    return int(out.numel() * args[0].shape[-1])


def _distances_backward(args: Any, _kwargs: Any, _out: Any) -> int:
    return int(args[0].numel() * args[1].shape[-1])


def _own_distances_backward(args: Any, kwargs: Any, out: Any) -> int:
    # Each pair gives to both of its rows.
    return 2 * _distances_backward(args, kwargs, out)


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


def _reflections(args: Any, _kwargs: Any, _out: Any) -> int:
    # LAPACK's orgqr: each reflection, last first, is two products with what stands right of and below its place.
    rows, columns = args[0].shape[-2:]
    one = sum(2 * (rows - k) * (columns - k - 1) for k in range(args[1].shape[-1]))
    return int(prod(args[0].shape[:-2]) * one)


def _substitution(times: int) -> Formula:
    # n (n - 1) / 2 for each right-hand side; `times` triangles.
    def formula(args: Any, _kwargs: Any, out: Any) -> int:
        size = args[0].shape[-1]
        return int(out.numel() * (size - 1) * times // 2)

    return formula


_DENSE: Final[dict[str, Formula]] = {
    **dict.fromkeys(("mm", "_int_mm", "_scaled_mm", "_scaled_mm_v2"), _mm),
    **dict.fromkeys(("addmm", "_addmm_activation"), _after_first(_mm)),
    "bmm": _bmm,
    **dict.fromkeys(("baddbmm", "addbmm"), _after_first(_bmm)),
    **dict.fromkeys(("mv", "dot", "vdot"), _mv),
    "addmv": _after_first(_mv),
    **dict.fromkeys(("linear", "mkldnn_linear"), _linear),
    **dict.fromkeys(("linear_backward", "mkldnn_linear_backward"), _linear_backward),
    **dict.fromkeys(("mkldnn_linear_backward_input", "mkldnn_linear_backward_weights"), _linear_backward_of_one),
    "matmul": _matmul,
    "matmul_backward": _matmul_backward,
    **dict.fromkeys(("convolution", "_convolution", "convolution_overrideable"), _convolution),
    **dict.fromkeys(("convolution_backward", "convolution_backward_overrideable"), _convolution_backward),
    "mps_convolution_backward": _convolution_of_mps_backward(transposed=False),
    "mps_convolution_transpose_backward": _convolution_of_mps_backward(transposed=True),
    "conv_tbc": _time_first,
    **dict.fromkeys(("_grouped_mm", "_scaled_grouped_mm", "_scaled_grouped_mm_v2"), _grouped),
    **dict.fromkeys(("_cdist_forward", "_euclidean_dist", "_pdist_forward"), _distances),
    "_cdist_backward": _distances_backward,
    "_pdist_backward": _own_distances_backward,
    "_trilinear": _trilinear,
    "linalg_householder_product": _reflections,
    "linalg_solve_triangular": _substitution(1),
    "linalg_lu_solve": _substitution(2),
}

_OF_KERNEL: Final = """
    mkldnn_convolution cudnn_convolution cudnn_convolution_relu cudnn_convolution_add_relu miopen_convolution
    miopen_convolution_relu miopen_convolution_add_relu miopen_depthwise_convolution _nnpack_spatial_convolution
    _slow_conv2d_forward slow_conv3d_forward slow_conv_dilated2d slow_conv_dilated3d _conv_depthwise2d conv_depthwise3d
    _mps_convolution
"""
_OF_KERNEL_TRANSPOSED: Final = """
    cudnn_convolution_transpose miopen_convolution_transpose slow_conv_transpose2d slow_conv_transpose3d
    _mps_convolution_transpose
"""

FORMULAS: Final[dict[str, Formula]] = {
    **{f"aten::{name}": formula for name, formula in _DENSE.items()},
    **{f"aten::{name}": _convolution_of_kernel for name in _OF_KERNEL.split()},
    **{f"aten::{name}": _transposed_of_kernel for name in _OF_KERNEL_TRANSPOSED.split()},
    **FUSED,
    **COMPRESSED,
}
"""Operation, with its namespace -> its formula; the same for the one that works in place ("addmm_"). Not every kernel
is built into every torch."""


@functools.cache
def _borrowed() -> dict[Any, Any]:
    from torch.utils.flop_counter import flop_registry

    return flop_registry  # itself, not a copy: a user may register more


def registered() -> int:
    """Return how many formulas torch knows: what was decided with fewer is decided anew."""
    return len(_borrowed())


def formula_of(packet: object) -> Formula | None:
    """Return the formula of an operation (`torch._ops.OpOverloadPacket`), or None when there is none."""
    name = getattr(packet, "_qualified_op_name", None) or f"higher_order::{getattr(packet, '_name', '')}"
    own = FORMULAS.get(name.removesuffix("_"))
    if own is not None:
        return own
    flops = _borrowed().get(packet)
    if flops is None:
        return None
    return lambda args, kwargs, out: int(flops(*args, **kwargs, out_val=out)) // 2
