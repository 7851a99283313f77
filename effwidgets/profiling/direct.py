"""Operations whose meta kernel is written in C++ and says all there is to say.

A fake tensor reaches it through several layers of Python, among them reimplementations in Python of the very operation:
3 ms at each new shape. For views and plain products the kernel is asked at once.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import torch

from effwidgets.profiling.fakes import Fakes

if TYPE_CHECKING:
    from torch._ops import OpOverload

__all__ = ["directly", "runs_directly"]

_PRODUCTS: Final = frozenset({"aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"})


@functools.cache
def runs_directly(func: OpOverload) -> bool:
    """Say whether ``func`` is a view or a plain product of torch's own."""
    if not hasattr(func, "_schema"):  # takes functions
        return False
    name, overload = str(func._schema.name), str(func._schema.overload_name)
    if name in _PRODUCTS:
        return not overload
    # What is conjugated or negated by a mark alone is not told by its shape.
    marks = name in ("aten::_conj", "aten::_neg_view")
    return name.startswith("aten::") and func.is_view and not func._schema.is_mutable and not marks


def directly(fakes: Fakes, func: OpOverload, args: Sequence[Any], kwargs: Any) -> Any:
    """Return what ``func`` returns for ordinary fake tensors of one device."""
    device = next(value.device for value in args if isinstance(value, fakes.type))
    with torch._C._DisableTorchDispatch():
        out = func(*[_plain(value) if isinstance(value, fakes.type) else value for value in args], **kwargs)
    if isinstance(out, torch.Tensor):
        return _fake(fakes, out, device)
    return type(out)(_fake(fakes, item, device) for item in out)


def _plain(fake: torch.Tensor) -> torch.Tensor:
    plain = torch.empty(0, dtype=fake.dtype, device="meta")
    return plain.set_(fake.untyped_storage(), int(fake.storage_offset()), fake.shape, fake.stride())


def _fake(fakes: Fakes, plain: torch.Tensor, device: torch.device) -> torch.Tensor:
    place = (int(plain.storage_offset()), plain.shape, plain.stride())
    return fakes.over(plain.untyped_storage(), place, plain.dtype, device)
