"""The finished models that a search keeps: a few in memory, trained ones beyond that on disk or in its store."""

from __future__ import annotations

import copy
import dataclasses
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

from effwidgets.errors import StoreError
from effwidgets.records import Candidate, Rung
from effwidgets.search.engine.states import from_bytes
from effwidgets.transforms.apply import Applied

if TYPE_CHECKING:
    from effwidgets.search.store.base import Store

__all__ = ["Shelf"]

TRAINED: tuple[Rung, ...] = ("briefly tuned", "fine-tuned")

_BYTES: Final = 2 * 2**30


class Shelf:
    """Keeps at most ``keep`` models in memory, and no more than 2 GiB of them.

    An untrained model that has to go is forgotten: its plan makes it again, to the bit. A trained one leaves its
    tensors (safetensors, no pickle) in the store; without one that lasts, in a temporary folder that ends with the
    shelf.

    Args:
        keep: how many.
        store: where trained states go; None for the temporary folder.
        dear: tells the numbers that stay in memory longest: the front.
    """

    def __init__(self, keep: int, store: Store | None = None, dear: Callable[[], Collection[int]] = tuple) -> None:
        self._keep = keep
        self._store = store
        self._dear = dear
        self._lock = threading.Lock()
        self._models: dict[int, Applied] = {}
        self._sizes: dict[int, int] = {}  # in bytes
        self._written: dict[int, Path] = {}
        self._folder: Path | None = None

    def put(
        self, number: int, applied: Applied | None, tensors: bytes | None = None, rung: Rung = "fine-tuned"
    ) -> None:
        """Keep a model, and its ``tensors`` where it was trained; of those in memory the oldest off the front goes."""
        if tensors is not None and self._store is not None:
            self._store.put_tensors(number, rung, tensors)
        with self._lock:
            if tensors is not None and self._store is None:
                self._write(number, tensors)
            self._models.pop(number, None)
            if applied is None:
                return
            self._models[number] = applied
            self._sizes[number] = _size(applied)
            dear = self._dear() if self._is_full() else ()
            while self._is_full():
                spare = next((held for held in self._models if held not in dear), next(iter(self._models)))
                del self._models[spare], self._sizes[spare]

    def take(self, candidate: Candidate, build: Callable[[], Applied]) -> Applied:
        """Return a copy of a candidate's model that is the caller's own; ``build`` makes it where it is gone."""
        with self._lock:
            held = self._models.get(candidate.number)
        if held is not None:
            return dataclasses.replace(held, model=copy.deepcopy(held.model))
        applied = build()
        tensors = self._read(candidate)
        if tensors is not None:
            from_bytes(applied.model, tensors)
            if [edit.step for edit in applied.edits] == [edit.step for edit in candidate.edits]:
                applied = dataclasses.replace(applied, edits=candidate.edits)  # some were fitted after the training
        elif candidate.rung in TRAINED:
            raise StoreError(
                f"Candidate {candidate.number} is {candidate.rung}, and its trained state is not where the search is "
                "kept: it was trained elsewhere, or its file was taken away. Bring it back, or train it again."
            )
        return applied

    def __contains__(self, number: object) -> bool:
        return number in self._models

    def _is_full(self) -> bool:
        held = len(self._models)
        return held > self._keep or (held > 1 and sum(self._sizes[number] for number in self._models) > _BYTES)

    def _write(self, number: int, tensors: bytes) -> None:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="effwidgets-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        path = self._folder / f"{number}.safetensors"
        path.write_bytes(tensors)
        self._written[number] = path

    def _read(self, candidate: Candidate) -> bytes | None:
        if candidate.rung not in TRAINED:
            return None
        if self._store is not None:
            return self._store.tensors(candidate.number, candidate.rung)
        path = self._written.get(candidate.number)
        return None if path is None else path.read_bytes()


def _size(applied: Applied) -> int:
    model = applied.model
    return sum(tensor.numel() * tensor.element_size() for tensor in (*model.parameters(), *model.buffers()))
