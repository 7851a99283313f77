"""Which storages are alive, which are kept for the backward, and the most bytes there ever were of either."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any, Final

import torch

__all__ = ["Cell", "Ledger", "storage_of"]

_NOBODY: Final[frozenset[str]] = frozenset()


def storage_of(tensor: torch.Tensor) -> torch.UntypedStorage | None:
    """Return the storage behind a tensor, or None where there is not one (sparse layouts)."""
    try:
        return tensor.untyped_storage()
    except (NotImplementedError, RuntimeError):
        return None


class Cell:
    """What is known about one storage.

    Attributes:
        bytes: its size as it counts: 0 for one that was there before the run or came from elsewhere.
        counts: whether an operation of the run made it.
        alive: whether the storage stands.
        holders: how many tensors autograd keeps of it by their description alone.
        saved: whether it was counted as kept for the backward.
        returned: whether it was counted as an output of a layer.
        keepers: the layers whose operations keep it for the backward, where somebody asks for them.
        given: whether a layer was called with it.
        readers: the layers whose operations read it after a layer returned it or was given it, "" for the model itself;
            likewise.
        carries: what the channels' followers say of the tensor for which it was made: its shape and its dimensions.
    """

    __slots__ = (
        "alive",
        "bytes",
        "carries",
        "counts",
        "given",
        "holders",
        "keepers",
        "readers",
        "returned",
        "saved",
        "watch",
    )

    def __init__(self, size: int, *, counts: bool = True) -> None:
        self.bytes = size
        self.counts = counts
        self.alive = True
        self.holders = 0
        self.saved = False
        self.returned = False
        self.keepers = _NOBODY
        self.readers = _NOBODY
        self.given = False
        self.carries: tuple[tuple[int, ...], list[Any]] | None = None
        self.watch: _Watch | None = None


class _Watch(weakref.ref[torch.UntypedStorage]):
    """A weak reference that knows its cell, so that one callback serves all."""

    __slots__ = ("cell", "key")

    cell: Cell
    key: int


class Ledger:
    """Bytes of the storages that operations made, each once.

    Two sums: ``live`` counts storages that stand, ``held`` also those that only autograd still needs. A run that keeps
    descriptions in place of tensors for the backward so sees at once what a run without gradients would hold (``live``)
    and what a run with them holds (``held``).

    Args:
        outside: tensors whose storages never count (parameters, buffers, inputs); they must outlive this.
    """

    def __init__(self, outside: Iterable[torch.Tensor] = ()) -> None:
        found = (storage_of(tensor) for tensor in outside)
        self.outside = frozenset(storage._cdata for storage in found if storage is not None)
        self._cells: dict[int, Cell] = {}
        self.backward = False
        self.live = 0
        self.held = 0
        self.live_peak_bytes = 0
        self.live_peak_at = ""
        self.held_peak_bytes = 0
        self.held_peak_at = ""

    def add(self, tensors: Iterable[torch.Tensor], at: str) -> None:
        """Count the storages of ``tensors`` that are new; ``at`` is the layer that made them."""
        for tensor in tensors:
            storage = storage_of(tensor)
            if storage is not None:
                key = storage._cdata
                cell = self._cells.get(key)
                if cell is not None:
                    self._resize(cell, storage.nbytes())
                elif key not in self.outside:
                    self.open(storage, storage.nbytes())
        self.mark(at)

    def open(self, storage: torch.UntypedStorage, size: int) -> Cell:
        """Count a storage that is new."""
        cell = Cell(size)
        self._watch(storage, cell)
        self.live += size
        self.held += size
        return cell

    def _resize(self, cell: Cell, size: int) -> None:
        # `resize_` and `out=` make a storage grow in its place.
        if cell.counts and size != cell.bytes:
            self.live += size - cell.bytes
            self.held += size - cell.bytes
            cell.bytes = size

    def mark(self, at: str) -> None:
        """Note the peaks, and the layer that made them."""
        if self.held > self.held_peak_bytes:
            self.held_peak_bytes = self.held
            self.held_peak_at = at
        if self.live > self.live_peak_bytes and not self.backward:
            self.live_peak_bytes = self.live
            self.live_peak_at = at

    def cell_of(self, tensor: torch.Tensor) -> Cell | None:
        """Return the cell of a tensor's storage; None for those outside and for tensors without a storage."""
        storage = storage_of(tensor)
        if storage is None:
            return None
        key = storage._cdata
        if key in self.outside:
            return None
        cell = self._cells.get(key)
        if cell is None:  # no operation of this run made it: a tensor that a layer keeps as an attribute
            cell = Cell(0, counts=False)
            self._watch(storage, cell)
        return cell

    def find(self, tensor: torch.Tensor) -> Cell | None:
        """Return the cell of a tensor's storage; None for one that no operation of the run has touched so far."""
        storage = storage_of(tensor)
        return None if storage is None else self._cells.get(storage._cdata)

    def at(self, storage: torch.UntypedStorage) -> Cell | None:
        """Return the cell of a storage; None for one that no operation of the run has touched so far."""
        return self._cells.get(storage._cdata)

    def hold(self, cell: Cell) -> None:
        """Autograd keeps a description of a tensor of this storage."""
        cell.holders += 1

    def release(self, cell: Cell) -> None:
        """Autograd needs that description no more."""
        cell.holders -= 1
        if not cell.holders and not cell.alive:
            self.held -= cell.bytes

    def revive(self, cell: Cell, size: int) -> torch.UntypedStorage:
        """Return the storage of a cell; a new one of ``size`` bytes in its place when it is gone."""
        storage = cell.watch() if cell.watch is not None else None
        if storage is None:
            # A view keeps the whole of its storage.
            storage = torch.UntypedStorage(max(size, cell.bytes), device="meta")  # type: ignore[no-untyped-call]
            self._watch(storage, cell)
            cell.alive = True
            self.live += cell.bytes
            if not cell.holders:
                self.held += cell.bytes
        return storage

    def _watch(self, storage: torch.UntypedStorage, cell: Cell) -> None:
        watch = _Watch(storage, self._gone)
        watch.cell = cell
        watch.key = key = storage._cdata
        cell.watch = watch
        self._cells[key] = cell

    def _gone(self, watch: weakref.ref[torch.UntypedStorage]) -> None:
        # An address is used again once its storage is gone, so the entry leaves with the storage.
        assert isinstance(watch, _Watch)  # noqa: S101  made here
        cell = watch.cell
        if self._cells.get(watch.key) is cell:
            del self._cells[watch.key]
        cell.alive = False
        self.live -= cell.bytes
        if not cell.holders:
            self.held -= cell.bytes
