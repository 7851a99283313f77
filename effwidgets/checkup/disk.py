"""How many bytes the state of a model takes as a file, and how many of them go over a wire."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import torch
from torch import nn

from effwidgets.checkup.archive import safetensors_bytes, saved_bytes, stem_of
from effwidgets.errors import EffError, InputError
from effwidgets.profiling.calls import tensors_in
from effwidgets.profiling.memory import storage_of
from effwidgets.profiling.shadow import check_module
from effwidgets.records import DiskBytes, LayerBytes

__all__ = ["disk"]

_LEVEL: Final = 6  # what zip, gzip and browsers use where nobody says otherwise
_CHUNK: Final = 1 << 20
_MOST_THREADS: Final = 4  # each holds a tensor, where it has to be brought from a GPU


def disk(model: nn.Module, *, file: str = "model.pt", compress: bool = True) -> DiskBytes:
    """Measure the file that ``torch.save(model.state_dict(), file)`` writes; nothing is written.

    Every weight is read, once to be counted and once to be compressed (about 20 MB a second for each thread), as in a
    zip archive: by deflate at level 6, each tensor alone. Tied tensors count once, at the first layer that holds them;
    what a state dict leaves out (buffers that are not persistent) is not on the disk. A model on meta has no bytes to
    read: only what its shapes tell is returned, and a note says so.

    Args:
        model: the model; it is only read.
        file: what the file would be called: its name stands in it several times. "" for an open file.
        compress: also measure what is left of it when it is compressed, which takes most of the time.

    Raises:
        InputError: not a module, or its state cannot be taken.

    >>> found = disk(nn.Linear(64, 64))
    >>> found.data_bytes, found.safetensors_bytes
    (16640, 16776)
    """
    check_module(model)
    if not isinstance(file, str):
        raise InputError(f"file is {type(file).__name__}; the name of a file was expected, such as 'model.pt'.")
    stem_of(file)
    state = _state_of(model)
    storages = _storages(state)
    notes: list[str] = []
    sizes = {key: storage.nbytes() for key, (_, storage) in storages.items()}
    data = sum(sizes.values())
    saved, packed = _read(state, file, storages if compress else None, notes)
    whole = None if packed is None or saved is None else saved - data + sum(packed.values())
    return DiskBytes(
        model=type(model).__name__,
        file=file,
        data_bytes=data,
        saved_bytes=saved,
        safetensors_bytes=_as_safetensors(state, notes),
        compressed_bytes=whole,
        codec=f"deflate, level {_LEVEL}",
        layers=_layers(storages, sizes, packed),
        notes=tuple(notes),
    )


_Storages = dict[int, tuple[str, torch.UntypedStorage]]


def _read(
    state: Mapping[str, Any], file: str, storages: _Storages | None, notes: list[str]
) -> tuple[int | None, dict[int, int] | None]:
    """Return the size of the saved file, and that of each storage compressed; None where it is not known."""
    if any(tensor.is_meta for tensor in tensors_in(state)):
        notes.append(
            "The model stands on meta and has no numbers: what torch.save writes and how it compresses are not known."
        )
        return None, None
    saved = _saved(state, file, notes)
    if any(storage_of(tensor) is None for tensor in tensors_in(state)):
        notes.append("Tensors without a storage of their own (sparse) count in the saved file alone.")
        return saved, None
    return saved, None if storages is None else _packed(storages)


def _state_of(model: nn.Module) -> Mapping[str, Any]:
    try:
        return model.state_dict()
    except Exception as error:  # a model may have a state_dict of its own
        raise InputError(
            f"The state of the {type(model).__name__} cannot be taken: its state_dict() raised {type(error).__name__}: "
            f"{error}. Call it yourself; once that works, so does this."
        ) from error


def _storages(state: Mapping[str, Any]) -> _Storages:
    """Return each storage once, with the layer that holds it first."""
    found: _Storages = {}
    for key, value in state.items():
        for tensor in tensors_in(value):
            storage = storage_of(tensor)
            if storage is not None:
                found.setdefault(storage._cdata, (key.rpartition(".")[0], storage))
    return found


def _saved(state: Mapping[str, Any], file: str, notes: list[str]) -> int | None:
    try:
        return saved_bytes(state, file)
    except EffError:
        raise
    except Exception as error:  # noqa: BLE001  pickling runs anybody's code
        notes.append(f"torch.save refuses this state ({type(error).__name__}: {str(error)[:160]}).")
        return None


def _as_safetensors(state: Mapping[str, Any], notes: list[str]) -> int | None:
    try:
        return safetensors_bytes(state)
    except InputError as error:
        notes.append(str(error))
        return None


def _packed(storages: _Storages) -> dict[int, int]:
    threads = max(1, min(_MOST_THREADS, torch.get_num_threads()))
    with ThreadPoolExecutor(threads) as pool:  # zlib lets other threads run
        sizes = pool.map(_deflated, (storage for _, storage in storages.values()))
        return dict(zip(storages, sizes, strict=True))


def _deflated(storage: torch.UntypedStorage) -> int:
    """Return the compressed size; a piece at a time, so that nothing is held twice."""
    local = storage if storage.device.type == "cpu" else storage.cpu()  # type: ignore[no-untyped-call]
    entries = torch.empty(0, dtype=torch.uint8, device="cpu").set_(local)
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    size = 0
    for start in range(0, len(entries), _CHUNK):
        size += len(packer.compress(entries[start : start + _CHUNK].numpy().data))
    return size + len(packer.flush())


def _layers(storages: _Storages, sizes: dict[int, int], packed: dict[int, int] | None) -> tuple[LayerBytes, ...]:
    rows: dict[str, list[int]] = {}
    for key, (layer, _) in storages.items():
        rows.setdefault(layer, []).append(key)
    return tuple(
        LayerBytes(
            name=layer,
            data_bytes=sum(sizes[key] for key in keys),
            compressed_bytes=None if packed is None else sum(packed[key] for key in keys),
        )
        for layer, keys in rows.items()
    )
