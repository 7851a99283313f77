"""Indices that fall outside of their table, which a shadow does not see by itself.

A fake embedding has no rows to look up, so an index beyond them passes, where the real model raises: a sequence longer
than the table of positions, a word that is not in the vocabulary. The values of small integer tensors are kept on a
shadow, and this asks them.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes

from effwidgets.profiling.calls import Call, tensors_in
from effwidgets.profiling.shadow import Shadow
from effwidgets.profiling.values import Values

__all__ = ["RangeCheck", "reads_tables"]

_LOOKUPS: Final = frozenset({functional.embedding, functional.embedding_bag})
_INDEXED: Final = frozenset({torch.Tensor.__getitem__, torch.index_select, torch.Tensor.index_select})


def reads_tables(model: nn.Module, call: Call) -> bool:
    """Say whether a model may look something up: it has an embedding, or is given whole numbers."""
    if any(isinstance(module, nn.Embedding | nn.EmbeddingBag) for module in model.modules()):
        return True
    return any(tensor.dtype in (torch.int32, torch.int64) for tensor in tensors_in(call))


class RangeCheck(TorchFunctionMode):
    """Raises the `IndexError` that the real model would raise; use it around `profile_shadow`.

    Sees embeddings, ``table[ids]`` and ``table.index_select(dim, ids)`` where the ids' values are kept.
    """

    def __init__(self, shadow: Shadow) -> None:
        super().__init__()
        self._values = Values(shadow.mode)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Look at the indices, then go on."""
        named = kwargs or {}
        if func in _LOOKUPS:
            given = {**dict(zip(("input", "weight"), args, strict=False)), **named}
            self._check(given.get("input"), given.get("weight"), 0)
        elif func in _INDEXED:
            self._check_indexing(func, args, named)
        return func(*args, **named)

    def _check_indexing(self, func: Any, args: Any, named: dict[str, Any]) -> None:
        if func is torch.Tensor.__getitem__:
            self._check(args[1], args[0], 0)
            return
        given = {**dict(zip(("input", "dim", "index"), args, strict=False)), **named}
        table = given.get("input")
        if isinstance(table, torch.Tensor) and table.dim():
            self._check(given.get("index"), table, given.get("dim", 0) % table.dim())

    def _check(self, ids: object, table: object, dim: int) -> None:
        if not isinstance(ids, torch.Tensor) or not isinstance(table, torch.Tensor) or not table.dim():
            return
        if ids.dtype in (torch.bool, torch.uint8) or ids.is_floating_point() or not ids.numel():
            return
        value = self._values.of(ids)
        if value is None:
            return
        rows = table.shape[dim]
        with _disable_current_modes(), torch._C.DisableTorchFunctionSubclass():
            low, high = int(value.min()), int(value.max())
        if high >= rows or low < -rows:
            raise IndexError(f"index {high if high >= rows else low} is out of range: the table has {rows} rows")
