"""Which storages are alive, and which were met before."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from functools import partial

import torch

__all__ = ["Live", "Once", "storage_of"]


def storage_of(tensor: torch.Tensor) -> torch.UntypedStorage | None:
    """Return the storage behind a tensor, or None where there is not one (sparse layouts)."""
    try:
        return tensor.untyped_storage()
    except (NotImplementedError, RuntimeError):
        return None


def _keys(tensors: Iterable[torch.Tensor]) -> frozenset[int]:
    found = (storage_of(tensor) for tensor in tensors)
    return frozenset(storage._cdata for storage in found if storage is not None)


class Once:
    """Meets each storage once, without keeping it alive.

    Args:
        outside: tensors whose storages never count (parameters, buffers, inputs); they must outlive this.
    """

    def __init__(self, outside: Iterable[torch.Tensor] = ()) -> None:
        self._outside = _keys(outside)
        self._met: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def meet(self, tensor: torch.Tensor) -> torch.UntypedStorage | None:
        """Return the storage of ``tensor`` at the first meeting; None later, and for those outside."""
        storage = storage_of(tensor)
        if storage is None:
            return None
        key = storage._cdata
        if key in self._met or key in self._outside:
            return None
        # An address is used again once its storage is gone, so the entry leaves with the storage.
        self._met[key] = weakref.ref(storage, partial(self._gone, key, storage.nbytes()))
        return storage

    def _gone(self, key: int, size: int, _: object) -> None:
        del size
        self._met.pop(key, None)


class Live(Once):
    """Bytes of the storages that are alive, each once, and the most there ever were."""

    def __init__(self, outside: Iterable[torch.Tensor] = ()) -> None:
        super().__init__(outside)
        self.bytes = 0
        self.peak_bytes = 0
        self.peak_at = ""

    def add(self, tensors: Iterable[torch.Tensor], at: str) -> None:
        """Count the storages of ``tensors`` that are new; ``at`` is the layer that made them."""
        for tensor in tensors:
            storage = self.meet(tensor)
            if storage is not None:
                self.bytes += storage.nbytes()
        if self.bytes > self.peak_bytes:
            self.peak_bytes = self.bytes
            self.peak_at = at

    def _gone(self, key: int, size: int, _: object) -> None:
        if self._met.pop(key, None) is not None:
            self.bytes -= size
