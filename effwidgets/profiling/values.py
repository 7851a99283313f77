"""The values of small integer and boolean tensors on a shadow, where real models read them.

`if mask.all():`, `lengths.max().item()`, `range(int(n))`: a fake tensor has no numbers to answer with. The small
tensors that such questions are asked of carry a real copy, and operations on nothing but these are done on the copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._mode_utils import no_dispatch

from effwidgets.profiling.calls import map_tensors, tensors_in

if TYPE_CHECKING:
    from torch._ops import OpOverload
    from torch._subclasses.fake_tensor import FakeTensorMode

__all__ = ["Values", "keep_value"]

_LARGEST = 65_536  # elements: a mask of 16 x 4,096 tokens; beyond it nobody reads single values
_NAME = "_effdl_value"
_WRITES = "_effdl_writes"


def keep_value(fake: torch.Tensor, real: torch.Tensor) -> None:
    """Let a fake tensor carry a copy of its values, where it is small and made of integers or booleans."""
    known: torch.Tensor | None = getattr(real, _NAME, None) if real.is_meta else real  # `on_meta` keeps them too
    if known is None or known.is_floating_point() or known.is_complex() or known.numel() > _LARGEST:
        return
    with torch.no_grad():
        _keep(fake, known.detach().clone() if known.is_cpu else known.detach().to("cpu"))


def _keep(fake: torch.Tensor, value: torch.Tensor, *, written: bool = False) -> None:
    setattr(fake, _NAME, value)
    # All views of a storage share one count of the writes: what was kept before a write is not believed after it.
    # That of an operation in place is counted when it is done, after this.
    setattr(fake, _WRITES, _writes(fake) + written)


def _writes(tensor: torch.Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _small(tensor: torch.Tensor) -> bool:
    # One floating-point number may be a mean of a mask that is compared with something.
    limit = 1 if tensor.is_floating_point() or tensor.is_complex() else _LARGEST
    return tensor.numel() <= limit


class Values:
    """Follows the values of small tensors through the operations of one run on a shadow."""

    def __init__(self, mode: FakeTensorMode) -> None:
        from torch._subclasses.fake_tensor import FakeTensor

        self.mode = mode
        self._fake_type = FakeTensor

    def of(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """Return the real values of a tensor, or None where they are not kept."""
        if isinstance(tensor, self._fake_type):
            value: torch.Tensor | None = tensor.__dict__.get(_NAME)
            return value if value is None or tensor.__dict__.get(_WRITES) == _writes(tensor) else None
        return tensor if tensor.device.type == "cpu" and _small(tensor) else None

    def known(self, tensors: Sequence[torch.Tensor]) -> bool:
        """Say whether the values of all ``tensors`` are kept."""
        # The first has none as a rule, and this is asked for every operation.
        return all(self.of(tensor) is not None for tensor in tensors)

    def answer(self, func: OpOverload, args: Any, kwargs: Any) -> Any:
        """Run an operation that asks for values on the kept ones; its tensors come back fake, with theirs kept."""
        return map_tensors(self._work(func, args, kwargs), self._fake)

    def follow(self, func: OpOverload, args: Any, kwargs: Any, out: Any) -> None:
        """Keep the values of what an operation on known tensors returned, where it is small."""
        if torch.Tag.nondeterministic_seeded in func.tags:
            return
        outs = list(tensors_in(out))
        if not outs or not all(_small(tensor) for tensor in outs):
            return
        for fake, real in zip(outs, tensors_in(self._work(func, args, kwargs)), strict=True):
            _keep(fake, real, written=func._schema.is_mutable and not fake.is_inference())

    def check_indices(self, name: str, args: Any) -> None:
        """Raise the `IndexError` that a real table raises for indices outside of it, where their values are kept.

        A fake table has no rows to miss, so a sequence longer than the table of positions would pass.
        """
        if name in ("index", "_unsafe_index"):
            for dim, indices in enumerate(args[1]):
                if indices is not None and indices.dtype in (torch.bool, torch.uint8):
                    return  # a mask takes several dimensions
                self._check_range(indices, args[0], dim, lowest=-args[0].shape[dim])
        elif name == "index_select":
            self._check_range(args[2], args[0], args[1], lowest=0)
        else:
            self._check_range(args[1], args[0], 0, lowest=0)

    def _check_range(self, indices: Any, table: torch.Tensor, dim: int, *, lowest: int) -> None:
        value = self.of(indices) if isinstance(indices, torch.Tensor) else None
        if value is None or not value.numel() or not table.dim():
            return
        with no_dispatch():
            low, high = int(value.min()), int(value.max())
        size = table.shape[dim]
        if low < lowest or high >= size:
            wrong = low if low < lowest else high
            raise IndexError(f"index {wrong} is out of range: the table has {size} rows")

    def forget(self, func: OpOverload, args: Any, kwargs: Any) -> None:
        """Drop the values of tensors into which something unknown is written."""
        for place, argument in enumerate(func._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                written = args[place] if place < len(args) else kwargs.get(argument.name)
                if isinstance(written, torch.Tensor):
                    written.__dict__.pop(_NAME, None)

    def _work(self, func: OpOverload, args: Any, kwargs: Any) -> Any:
        real_kwargs = map_tensors(kwargs, self._real)
        if real_kwargs.get("device") is not None:
            real_kwargs["device"] = torch.device("cpu")
        with no_dispatch(), torch.no_grad():
            return func(*map_tensors(args, self._real), **real_kwargs)

    def _real(self, tensor: torch.Tensor) -> torch.Tensor:
        value = self.of(tensor)
        if value is None:
            raise KeyError(tensor.shape)
        return value

    def _fake(self, real: torch.Tensor) -> torch.Tensor:
        fake = self.mode.from_tensor(real, static_shapes=True)
        _keep(fake, real)
        return fake
