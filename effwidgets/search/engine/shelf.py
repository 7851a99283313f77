"""The finished models that a search keeps: a few in memory, trained ones beyond that on disk."""

from __future__ import annotations

import copy
import dataclasses
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Collection
from pathlib import Path

import torch

from effwidgets.transforms.apply import Applied

__all__ = ["Shelf"]


class Shelf:
    """Keeps at most ``keep`` models in memory.

    An untrained model that has to go is forgotten: its plan makes it again, to the bit. A trained one leaves its
    tensors (safetensors, no pickle) in a temporary folder that ends with the shelf.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._models: dict[int, tuple[Applied, bool]] = {}
        self._written: dict[int, Path] = {}
        self._folder: Path | None = None

    def put(self, number: int, applied: Applied, *, trained: bool, dear: Collection[int]) -> None:
        """Keep a model; of those in memory the oldest outside ``dear`` (the front) goes first."""
        with self._lock:
            self._models[number] = (applied, trained)
            while len(self._models) > self._keep:
                spare = next((held for held in self._models if held not in dear), next(iter(self._models)))
                gone, was_trained = self._models.pop(spare)
                if was_trained:
                    self._write(spare, gone)

    def take(self, number: int, build: Callable[[], Applied]) -> Applied:
        """Return a copy of the model under ``number`` that is the caller's own; ``build`` makes it where it is gone."""
        with self._lock:
            held = self._models.get(number)
        if held is not None:
            return dataclasses.replace(held[0], model=copy.deepcopy(held[0].model))
        applied = build()
        if number in self._written:
            self._read(number, applied)
        return applied

    def __contains__(self, number: object) -> bool:
        return number in self._models

    def _write(self, number: int, applied: Applied) -> None:
        from safetensors.torch import save_file

        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="effwidgets-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        path = self._folder / f"{number}.safetensors"
        # Tied tensors are written twice: safetensors refuses shared storages, and reading puts the same values back.
        state = {name: tensor.detach().contiguous().clone() for name, tensor in applied.model.state_dict().items()}
        save_file(state, path)
        self._written[number] = path

    def _read(self, number: int, applied: Applied) -> None:
        from safetensors.torch import load_file

        with torch.no_grad():
            applied.model.load_state_dict(load_file(self._written[number]))
