"""Operations that move dimensions or run along them, seen by the channels that they carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import torch

from effwidgets.profiling.calls import tensors_in
from effwidgets.profiling.coupling.channels import Axis, fix, taint
from effwidgets.profiling.coupling.joins import cut, meet
from effwidgets.profiling.coupling.reshapes import reshape

__all__ = ["STEPS", "Axes", "axes_of", "carried", "set_axes"]

Axes: TypeAlias = list[Axis | None]
_NAME: Final = "_effdl_axes"
_NOTHING: Final = (None, None, None, None)
_SPATIAL: Final = """
    max_pool2d_with_indices max_pool3d_with_indices max_pool2d avg_pool2d avg_pool3d _adaptive_avg_pool2d
    _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d upsample_nearest1d upsample_nearest2d
    upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d upsample_linear1d
    upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d _upsample_bilinear2d_aa _upsample_bicubic2d_aa
    reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d
    constant_pad_nd grid_sampler_2d grid_sampler_3d
"""
_SAME: Final = "clone _to_copy contiguous alias detach lift_fresh lift zeros_like ones_like empty_like full_like "
_RANDOM: Final = "bernoulli bernoulli_ uniform_ normal_ rand_like randn_like native_dropout"
_RESHAPES: Final = "view _unsafe_view _reshape_alias reshape unsqueeze squeeze"
_REDUCTIONS: Final = "sum mean amax amin prod var std logsumexp all any"


def axes_of(tensor: Any) -> Axes:
    """Return what is known of a tensor's dimensions."""
    found: Axes | None = getattr(tensor, _NAME, None)
    return found if found is not None else [None] * (tensor.dim() if isinstance(tensor, torch.Tensor) else 0)


def carried(tensor: torch.Tensor) -> Axes | None:
    """Return what is known of a tensor's dimensions; None where they hold no layer's channels."""
    return tensor.__dict__.get(_NAME)


def set_axes(tensor: torch.Tensor, axes: Axes) -> None:
    """Note what is known of a tensor's dimensions."""
    if any(axis is not None for axis in axes):
        setattr(tensor, _NAME, list(axes))
    elif hasattr(tensor, _NAME):
        delattr(tensor, _NAME)


def _dims(value: Any, rank: int) -> list[int]:
    if value is None or value == []:
        return list(range(rank))
    return [dim % rank for dim in (value if isinstance(value, list | tuple) else [value])] if rank else []


def _reshape(args: Any, _kwargs: Any, out: Any, where: str) -> None:
    axes = reshape(axes_of(args[0]), args[0].shape, out.shape, (where,))
    set_axes(out, axes)
    stated = args[1] if len(args) > 1 and isinstance(args[1], list | tuple) else ()
    if -1 in stated and len(stated) == out.dim():
        # view(-1, 400): the number stands in the forward and would not follow. (view(n, -1) follows.)
        merged = [axis for axis, size in zip(axes, stated, strict=True) if axis and len(axis[0]) > 1 and size != -1]
        known = [axis for axis in axes_of(args[0]) if axis and len(axis[0]) == 1]
        if known:
            taint(merged, f"the forward itself states the size of a reshape, {tuple(stated)}, which would not follow")


def _softmax(args: Any, _kwargs: Any, out: Any, _where: str) -> None:
    axes = axes_of(args[0])
    taint((axes[args[1]],) if axes else (), "a softmax runs over its channels")
    set_axes(out, axes)


def _expand(args: Any, _kwargs: Any, out: Any, _where: str) -> None:
    axes = axes_of(args[0])
    set_axes(out, [*([None] * (out.dim() - len(axes))), *axes])


def _permute(args: Any, _kwargs: Any, out: Any, _where: str) -> None:
    axes = axes_of(args[0])
    set_axes(out, [axes[dim] for dim in args[1]])


def _transpose(args: Any, _kwargs: Any, out: Any, _where: str) -> None:
    axes = list(axes_of(args[0]))
    if len(axes) > 1:
        first, second = (args[1], args[2]) if len(args) > 2 else (0, 1)
        axes[first], axes[second] = axes[second], axes[first]
    set_axes(out, axes)


def _slice(args: Any, _kwargs: Any, out: Any, where: str) -> None:
    source: torch.Tensor = args[0]
    dim, start, _, step = (*args[1:], *_NOTHING)[:4]
    axes = list(axes_of(source))
    dim = (dim or 0) % source.dim()
    axis = axes[dim]
    if axis is not None:
        first = max(0, (start or 0) + (source.shape[dim] if (start or 0) < 0 else 0))
        if step not in (None, 1):
            taint((axis,), "a slice takes every few of its channels")
            axes[dim] = None
        else:
            axes[dim] = cut(axis, first, first + out.shape[dim], (where,))
    set_axes(out, axes)


def _split(args: Any, kwargs: Any, out: Any, where: str) -> None:
    dim = (args[2] if len(args) > 2 else kwargs.get("dim", 0)) % args[0].dim()
    start = 0
    for piece in out:
        axes = list(axes_of(args[0]))
        axis = axes[dim]
        if axis is not None:
            axes[dim] = cut(axis, start, start + piece.shape[dim], (where,))
        start += piece.shape[dim]
        set_axes(piece, axes)


def _select(args: Any, _kwargs: Any, out: Any, _where: str) -> None:
    dim = (args[1] if len(args) > 1 else 0) % args[0].dim()
    axes = list(axes_of(args[0]))
    fix((axes.pop(dim),), "single channels are picked out of it")
    for tensor in tensors_in(out):
        set_axes(tensor, axes)


def _stack(args: Any, kwargs: Any, out: Any, _where: str) -> None:
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.dim()
    found: Axes | None = None
    for tensor in args[0]:
        axes = axes_of(tensor)
        for mine, theirs in zip(found or axes, axes, strict=True):
            if mine is not None and theirs is not None:
                meet(mine, theirs)
            else:
                taint((mine, theirs), "it is stacked with something that no layer's channels make")
        found = found or list(axes)
    if found is not None:
        found.insert(dim, None)
        set_axes(out, found)


def _same(args: Any, _kwargs: Any, out: Any, _where: str) -> None:
    for tensor in tensors_in(out):
        set_axes(tensor, axes_of(args[0]))


def _reduce(args: Any, kwargs: Any, out: Any, _where: str) -> None:
    _along(args, kwargs, out, 1)


def _norm(args: Any, kwargs: Any, out: Any, _where: str) -> None:
    _along(args, kwargs, out, 2)


def _along(args: Any, kwargs: Any, out: Any, place: int) -> None:
    source = args[0]
    dims = _dims(args[place] if len(args) > place else kwargs.get("dim"), source.dim())
    axes = axes_of(source)
    taint((axes[dim] for dim in dims), "a sum, mean or norm runs over its channels")
    kept: Axes = [None if dim in dims else axis for dim, axis in enumerate(axes)]
    dropped: Axes = [axis for dim, axis in enumerate(axes) if dim not in dims]
    for tensor in tensors_in(out):
        set_axes(tensor, kept if tensor.dim() == source.dim() else dropped)


def _spatial(args: Any, _kwargs: Any, out: Any, where: str) -> None:
    source = args[0]
    for tensor in tensors_in(out):
        axes = axes_of(source)
        sizes = tensor.shape if tensor.dim() == source.dim() else (-1,) * source.dim()
        moved = [axis for axis, size, before in zip(axes, sizes, source.shape, strict=True) if size != before]
        taint(moved, f"pooling, padding or resizing in the forward of {where or 'the model'!r} runs along its channels")
        set_axes(tensor, [None if axis in moved else axis for axis in axes] if -1 not in sizes else [])


def _pixel_shuffle(args: Any, _kwargs: Any, out: Any, where: str) -> None:
    # Each channel of the larger picture is made of so many in a row.
    image, times = args[0], int(args[1]) ** 2
    axes, count = axes_of(image), image.shape[-3]
    whole, each = reshape([axes[-3]], [count], [count // times, times], (where,))
    fix((each,), "they are the places of one channel of a larger picture")
    taint(axes[-2:], "a pixel shuffle runs along its channels")
    set_axes(out, [*axes[:-3], whole, None, None])


def _pixel_unshuffle(args: Any, _kwargs: Any, out: Any, _where: str) -> None:
    axes, times = axes_of(args[0]), int(args[1]) ** 2
    taint(axes[-2:], "a pixel shuffle runs along its channels")
    axis = axes[-3]
    set_axes(out, [*axes[:-3], axis and tuple((*part, times) for part in axis), None, None])


def _channel_shuffle(args: Any, _kwargs: Any, out: Any, where: str) -> None:
    axes, count, groups = list(axes_of(args[0])), args[0].shape[1], int(args[1])
    sizes = [groups, count // groups]
    turned = reshape([axes[1]], [count], sizes, (where,))[::-1]
    axes[1] = reshape(turned, sizes[::-1], [count], (where,))[0]
    set_axes(out, axes)


def _glu(args: Any, _kwargs: Any, out: Any, _where: str) -> None:
    axes = list(axes_of(args[0]))
    dim = (args[1] if len(args) > 1 else -1) % args[0].dim()
    axis, half = axes[dim], out.shape[dim]
    if axis is not None:
        value, gate = cut(axis, 0, half), cut(axis, half, 2 * half)
        if value is not None and gate is not None:
            meet(value, gate)
        axes[dim] = value
    set_axes(out, axes)


Step: TypeAlias = Callable[[Any, Any, Any, str], None]

STEPS: Final[dict[str, Step]] = {
    **dict.fromkeys((_SAME + _RANDOM).split(), _same),
    **dict.fromkeys(_RESHAPES.split(), _reshape),
    **dict.fromkeys(_REDUCTIONS.split(), _reduce),
    **dict.fromkeys(("norm", "linalg_vector_norm"), _norm),
    **dict.fromkeys(_SPATIAL.split(), _spatial),
    **dict.fromkeys(("_softmax", "_log_softmax", "_safe_softmax"), _softmax),
    **dict.fromkeys(("transpose", "t", "transpose_", "t_"), _transpose),
    **dict.fromkeys(("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes"), _split),
    **dict.fromkeys(("select", "unbind"), _select),
    "expand": _expand,
    "permute": _permute,
    "slice": _slice,
    "stack": _stack,
    "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
    "channel_shuffle": _channel_shuffle,
    "native_channel_shuffle": _channel_shuffle,
    "glu": _glu,
}
"""Operation -> what becomes of the dimensions, from ``(args, kwargs, out)`` and the layer that runs it."""
