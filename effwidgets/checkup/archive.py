"""How large the file is that `torch.save` or safetensors writes, to the byte, without writing it.

`torch.save` writes a zip archive whose entries are not compressed; each begins at a multiple of 64 bytes and is called
``<stem of the file's name>/data/0`` and so on, so that the size depends on the name of the file. The stream is counted
as it comes, the names are put in afterwards.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import torch

from effwidgets.errors import InputError
from effwidgets.profiling.memory import storage_of

__all__ = ["safetensors_bytes", "saved_bytes", "stem_of"]

_KEPT: Final = 1 << 24  # bytes of the end that are kept: the directory of some hundred thousand tensors
_HEADER: Final = 30  # of a local entry of a zip archive, before its name
_LARGE: Final = 0xFFFFFFFF
_STREAM: Final = "archive"  # what torch calls the folder where it does not know the name of the file

# Safetensors sorts by dtype, the widest first, then by name: https://github.com/huggingface/safetensors (tensor.rs).
_CODES: Final = {
    torch.bool: "BOOL", torch.uint8: "U8", torch.int8: "I8", torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fn: "F8_E4M3", torch.int16: "I16", torch.uint16: "U16", torch.float16: "F16",
    torch.bfloat16: "BF16", torch.int32: "I32", torch.uint32: "U32", torch.float32: "F32", torch.complex64: "C64",
    torch.float64: "F64", torch.int64: "I64", torch.uint64: "U64",
}  # fmt: skip
_ORDER: Final = {dtype: place for place, dtype in enumerate(_CODES)}


class _Counter(io.RawIOBase):
    """Counts what is written and forgets it, but for the end, which can be read."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0
        self._pieces: deque[bytes] = deque()  # joined when they are read: `torch.save` writes many small ones
        self._held = 0
        self._at = 0

    def write(self, data: Any) -> int:
        """Count ``data``."""
        count = len(data)
        piece = bytes(memoryview(data)[-_KEPT:])
        self.size += count
        self._pieces.append(piece)
        self._held += len(piece)
        while self._held - len(self._pieces[0]) >= _KEPT:
            self._held -= len(self._pieces.popleft())
        return count

    def seekable(self) -> bool:
        """Say that `zipfile` may look around in it."""
        return True

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Return bytes of the end."""
        if len(self._pieces) != 1:
            self._pieces = deque([b"".join(self._pieces)])
        end = self._pieces[0]
        start = self._at - (self.size - len(end))
        if start < 0:
            raise OSError("this part was not kept")
        data = end[start:] if size < 0 else end[start : start + size]
        self._at += len(data)
        return data


def stem_of(file: str) -> str:
    """Return the name of the folder that `torch.save` makes inside a file of this name.

    >>> stem_of("runs/model.pt"), stem_of("")
    ('model', 'archive')

    Raises:
        InputError: a name without a stem, which torch refuses.
    """
    if not file or not file.isascii():
        return _STREAM  # an open file, and names that torch hands on as one
    base = file.replace("\\", "/").rpartition("/")[2]
    stem = base.rpartition(".")[0] if "." in base else base
    if not stem:
        raise InputError(
            f"The file is called {file!r}, which torch.save refuses; a name such as 'model.pt' was expected."
        )
    return stem


def saved_bytes(state: Mapping[str, Any], file: str) -> int:
    """Return the size of the file that ``torch.save(state, file)`` writes; one tensor at a time is in memory.

    Raises:
        Exception: whatever `torch.save` raises: something in the state cannot be pickled.
    """
    counter = _Counter()
    torch.save(state, counter)  # type: ignore[arg-type]  # it only has to be written to
    stem = stem_of(file)
    return counter.size if len(stem) == len(_STREAM) else _renamed(counter, len(stem))


def _renamed(counter: _Counter, letters: int) -> int:
    """Return the size with a folder name of so many letters."""
    with zipfile.ZipFile(counter) as archive:
        entries, directory = archive.infolist(), archive.start_dir
    ends = [*(entry.header_offset for entry in entries[1:]), directory]
    cursor = 0
    for entry, end in zip(entries, ends, strict=True):
        length = len(entry.filename)
        behind = end - _begin(entry.header_offset, length, entry.file_size) - entry.file_size
        cursor = _begin(cursor, length - len(_STREAM) + letters, entry.file_size) + entry.file_size + behind
    return cursor + counter.size - directory + len(entries) * (letters - len(_STREAM))


def _begin(cursor: int, length: int, size: int) -> int:
    """Return where the data of an entry begins whose header begins at ``cursor``."""
    start = cursor + _HEADER + length + 4  # 4: the head of the extra field that fills the gap
    if size >= _LARGE or cursor >= _LARGE:  # zip64 writes the long numbers into an extra field before it
        start += 4 + 16 * (size >= _LARGE) + 8 * (cursor >= _LARGE)
    from torch.utils.serialization import config

    step: int = config.save.storage_alignment
    return -(-start // step) * step


def safetensors_bytes(state: Mapping[str, torch.Tensor]) -> int:
    """Return the size of the file that ``safetensors.torch.save_model`` writes; shapes alone are looked at.

    Raises:
        InputError: it would refuse: what is no dense tensor, a dtype that it does not know, or a part of a storage that
            no tensor holds as a whole.
    """
    for name, tensor in state.items():
        if not isinstance(tensor, torch.Tensor) or tensor.dtype not in _CODES or storage_of(tensor) is None:
            kind = tensor.dtype if isinstance(tensor, torch.Tensor) else type(tensor).__name__
            raise InputError(f"safetensors cannot hold {name!r} ({kind}).")
    left = _left_out(state)
    names = [name for name in state if name not in left]
    names.sort(key=lambda name: (-_ORDER[state[name].dtype], name.encode()))
    head: dict[str, Any] = {"__metadata__": left} if left else {}
    offset = 0
    for name in names:
        tensor = state[name]
        size = tensor.numel() * tensor.element_size()
        head[name] = {
            "dtype": _CODES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode()
    return 8 + -(-len(text) // 8) * 8 + offset


def _left_out(state: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Return the tensors that another holds already, each with the name of that one."""
    homes: dict[int, list[str]] = {}
    for name, tensor in state.items():
        if tensor.numel():
            homes.setdefault(tensor.untyped_storage()._cdata, []).append(name)
    left: dict[str, str] = {}
    for names in homes.values():
        for group in _overlapping(state, names):
            whole = sorted(name for name in group if _is_whole(state[name]))
            if not whole:
                raise InputError(f"safetensors refuses parts of a larger storage: {', '.join(group)}.")
            left.update({name: whole[0] for name in group if name != whole[0]})
    return left


def _is_whole(tensor: torch.Tensor) -> bool:
    size = tensor.numel() * tensor.element_size()
    return tensor.storage_offset() == 0 and size == tensor.untyped_storage().nbytes()


def _overlapping(state: Mapping[str, torch.Tensor], names: list[str]) -> list[list[str]]:
    """Return the tensors of one storage in groups that lie over one another."""
    spans: list[tuple[int, int, str]] = []
    for name in names:
        tensor = state[name]
        start = int(tensor.storage_offset()) * tensor.element_size()
        reach = sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True)) + 1
        spans.append((start, start + reach * tensor.element_size(), name))
    groups: list[list[str]] = []
    reached = -1
    for start, stop, name in sorted(spans):
        if start < reached:
            groups[-1].append(name)
        else:
            groups.append([name])
        reached = stop  # of the last one, as the library has it
    return groups
