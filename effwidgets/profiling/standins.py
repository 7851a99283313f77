"""What an operation returns on a shadow, where torch's own fake kernel refuses what the real one takes, or is slow.

`STAND_INS` holds a function for each such operation: ``(values, args, kwargs) -> output``, or `NotImplemented` where it
does not know better than torch. What those of `BY_VALUES` return depends on kept values: it must not be remembered by
shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import torch
from torch.utils._mode_utils import no_dispatch

from effwidgets.profiling.values import Values

__all__ = ["BY_VALUES", "STAND_INS", "StandIn"]

StandIn: TypeAlias = Callable[[Values, Any, Any], Any]
_aten: Final = torch.ops.aten


def _grouped_mm(_values: Values, args: Any, kwargs: Any) -> Any:
    # The fake kernel takes bfloat16 alone; the CPU's takes float32 and float16 too, and mixtures of experts use it so.
    first, second = args[0], args[1]
    offs = args[2] if len(args) > 2 else kwargs.get("offs")
    dtype = (args[4] if len(args) > 4 else kwargs.get("out_dtype")) or first.dtype
    if first.shape[-1] != second.shape[-2]:
        raise RuntimeError(
            f"contraction dimension of mat_a and mat_b must match, got {first.shape[-1]} and {second.shape[-2]}"
        )
    shape: tuple[int, ...]
    if first.dim() == second.dim() == 2:
        shape = (offs.numel(), first.shape[0], second.shape[1])
    elif first.dim() == second.dim() == 3:
        shape = (first.shape[0], first.shape[1], second.shape[2])
    else:
        shape = (first.shape[-2], second.shape[-1])
    row = -(-shape[-1] * dtype.itemsize // 16) * 16 // dtype.itemsize  # each row begins at a multiple of 16 bytes
    strides = (shape[-2] * row, row, 1)[-len(shape) :]
    return first.new_empty_strided(shape, strides, dtype=dtype)


def _is_mask(index: Any) -> bool:
    return isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8)


def _index(values: Values, args: Any, _kwargs: Any) -> Any:
    # x[mask]: a mask whose values are kept says which places are meant, as the real kernel would find out.
    source, indices = args[0], args[1]
    masks = [index for index in indices if _is_mask(index)]
    if not masks or any(values.of(mask) is None for mask in masks):
        return NotImplemented
    places: list[Any] = []
    for index in indices:
        if _is_mask(index):
            places.extend(values.answer(_aten.nonzero_numpy.default, (index,), {}))
        else:
            places.append(index)
    return _aten.index.Tensor(source, places)


def _masked_select(values: Values, args: Any, _kwargs: Any) -> Any:
    source, mask = args[0], args[1]
    value = values.of(mask)
    if value is None:
        return NotImplemented
    with no_dispatch():
        whole = torch.broadcast_shapes(source.shape, mask.shape)  # type: ignore[no-untyped-call]
        many = int(value.expand(whole).count_nonzero())
    return source.new_empty((many,))


def _pack_padded_sequence(values: Values, args: Any, _kwargs: Any) -> Any:
    # How many sequences still run at each step is read by C++, which cannot read a fake tensor: it stays a real one.
    source, lengths, batch_first = args[0], args[1], args[2]
    value = values.of(lengths)
    if value is None:
        return NotImplemented
    with no_dispatch():
        _, sizes = _aten._pack_padded_sequence.default(
            torch.zeros(*source.shape[:2], 1, device="cpu"), value, batch_first
        )
        rows = int(sizes.sum())
    return source.new_empty((rows, *source.shape[2:])), sizes


def _batch_norm(_values: Values, args: Any, _kwargs: Any) -> Any:
    # Torch knows it by a decomposition alone, which takes 30 ms at each new shape: half of what a first profile of an
    # image model costs beside torch's own imports.
    source, weight, training = args[0], args[1], args[5]
    if source.dim() < 2 or {source.dtype, *([] if weight is None else [weight.dtype])} != {torch.float32}:
        return NotImplemented
    many = source.shape[1] if training else 0
    kept = source.new_empty((many,)), source.new_empty((many,))
    # What is neither contiguous nor a picture with the channels last comes out contiguous, other than torch's says.
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(source.dim())
    if last is not None and not source.is_contiguous() and source.is_contiguous(memory_format=last):
        return source.new_empty_strided(source.shape, source.stride()), *kept
    return source.new_empty(source.shape), *kept


def _known(table: dict[str, StandIn]) -> dict[Any, StandIn]:
    found = {}
    for name, stand_in in table.items():  # not every operation is in every torch
        packet, _, overload = name.partition(".")
        if hasattr(_aten, packet):
            found[getattr(getattr(_aten, packet), overload)] = stand_in
    return found


_BY_VALUES: Final = _known(
    {
        "index.Tensor": _index,
        "masked_select.default": _masked_select,
        "_pack_padded_sequence.default": _pack_padded_sequence,
    }
)
BY_VALUES: Final = frozenset(_BY_VALUES)
"""Those whose output has a shape that kept values decide."""

STAND_INS: Final = {
    **_known({"_grouped_mm.default": _grouped_mm, "native_batch_norm.default": _batch_norm}),
    **_BY_VALUES,
}
"""Operation -> what makes its output on a shadow."""
