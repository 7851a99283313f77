"""Trained states and recipes of candidates: a folder for each number, one file for each rung."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from pathlib import Path

from effwidgets.errors import StoreError
from effwidgets.records import RUNGS, Rung
from effwidgets.search.store.files import ASIDE, told, write_whole

__all__ = ["Shelves"]

_RECIPE, _MODEL = "recipe.json", "model.safetensors"


class Shelves:
    """``<folder>/<number>/``: ``<rung>.safetensors``, and ``recipe.json`` with ``model.safetensors`` for `load`.

    Args:
        folder: made when the first state comes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, number: int, rung: Rung, tensors: bytes) -> None:
        """Keep a trained state, whole or not at all.

        Raises:
            StoreError: no safetensors, or it could not be written.
        """
        wrong = _wrong_with(tensors)
        if wrong:
            raise StoreError(f"The state of candidate {number} is not kept: {wrong}.")
        path = self._file(number, rung)
        write_whole(path, tensors)
        if self._highest(number) == path:
            self._offer(path)

    def put_recipe(self, number: int, recipe: str) -> None:
        """Keep a recipe.

        Raises:
            StoreError: it could not be written.
        """
        write_whole(self._folder / str(number) / _RECIPE, recipe.encode())

    def get(self, number: int, rung: Rung | None = None) -> bytes | None:
        """Return the state of a rung, or of the highest; None where there is none.

        Raises:
            StoreError: it cannot be read, or it is damaged.
        """
        path = self._highest(number) if rung is None else self._file(number, rung)
        if path is None or not path.is_file():
            return None
        with told(f"{path} could not be read"):
            tensors = path.read_bytes()
        wrong = _wrong_with(tensors)
        if wrong:
            raise StoreError(f"{path} is damaged: {wrong}. Take the file away to have the candidate trained anew.")
        return tensors

    def _file(self, number: int, rung: Rung) -> Path:
        return self._folder / str(number) / f"{rung.replace(' ', '-')}.safetensors"

    def _highest(self, number: int) -> Path | None:
        paths = (self._file(number, rung) for rung in reversed(RUNGS))
        return next((path for path in paths if path.is_file()), None)

    def _offer(self, path: Path) -> None:
        # The name under which `load` looks: a second name of the same file where the system has such.
        aside = path.with_name(f"{ASIDE}{os.getpid()}-{uuid.uuid4().hex[:8]}-{_MODEL}")
        with told(f"{path.with_name(_MODEL)} could not be written"):
            try:
                try:
                    os.link(path, aside)
                except OSError:
                    shutil.copyfile(path, aside)
                aside.replace(path.with_name(_MODEL))
            finally:
                with contextlib.suppress(OSError):
                    aside.unlink()


def _wrong_with(tensors: bytes) -> str:
    # The form is at https://github.com/huggingface/safetensors#format: the length of a JSON head, the head, numbers.
    size = int.from_bytes(tensors[:8], "little")
    try:
        head = json.loads(tensors[8 : 8 + size])
        ends = [entry["data_offsets"][1] for name, entry in head.items() if name != "__metadata__"]
        end = 8 + size + max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return "it is no safetensors"
    return "" if end == len(tensors) else f"{end} bytes were expected and {len(tensors)} came"
