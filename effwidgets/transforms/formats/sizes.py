"""What a weight takes in a file: its zeros left out, its positions and indices written as briefly as they can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from effwidgets.transforms.formats.huffman import coded_bits, entropy_bits

__all__ = ["Stored", "coded_bytes", "stored", "stored_two_of_four"]

_INDEX_BYTES: Final = 4  # of a column or a row pointer in CSR
_LONGEST: Final = 255  # zeros that one symbol stands for
_BITS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Bytes of one weight, measured on its numbers.

    Attributes:
        entries: how many numbers it has.
        zeros: how many of them are zero.
        csr_bytes: compressed rows: values, a column of 4 bytes for each, a pointer of 4 bytes for each row.
        bitmask_bytes: values, and one bit for each entry.
        download_bytes: values, and the runs of zeros between them under a Huffman code with its table; what a file
            would be, not what a kernel could use.
    """

    entries: int
    zeros: int
    csr_bytes: int
    bitmask_bytes: int
    download_bytes: int


def stored(weight: Tensor) -> Stored:
    """Return what ``weight`` takes without its zeros; its rows run along the first dimension.

    >>> stored(torch.tensor([[0.0, 0.0, 3.0, 0.0], [0.0, 1.0, 0.0, 0.0]]))
    Stored(entries=8, zeros=6, csr_bytes=28, bitmask_bytes=9, download_bytes=265)
    """
    entries, values = weight.numel(), int(weight.count_nonzero())
    held = values * weight.element_size()
    return Stored(
        entries=entries,
        zeros=entries - values,
        csr_bytes=held + _INDEX_BYTES * (values + weight.shape[0] + 1),
        bitmask_bytes=held + _whole(entries),
        download_bytes=held + _whole(coded_bits(gap_counts(weight))) + _LONGEST + 1,
    )


def stored_two_of_four(weight: Tensor) -> int:
    """Return the bytes of a weight of which two of each four are kept: half of the values, two bits of place for each.

    As torch.sparse.to_sparse_semi_structured lays it out on CUDA.
    """
    values = weight.numel() // 2
    return values * weight.element_size() + _whole(2 * values)


def gap_counts(weight: Tensor) -> list[int]:
    """Return how often each run of zeros comes before a value: Han et al. 2016, arXiv:1510.00149, section 2.

    Symbol ``i`` below 255 says "i zeros, then a value", symbol 255 says "255 zeros"; zeros behind the last value are
    known from the shape.
    """
    places = weight.flatten().nonzero().flatten()
    gaps = torch.diff(places, prepend=places.new_tensor([-1])) - 1
    counts = torch.bincount(gaps % _LONGEST, minlength=_LONGEST + 1)
    counts[_LONGEST] = (gaps // _LONGEST).sum()
    return [int(count) for count in counts]


def coded_bytes(indices: Tensor, symbols: int) -> tuple[int, float]:
    """Return the bytes of indices below ``symbols`` as a download with its tables, and the bytes of their entropy.

    The shorter of two codes: one word for each index; or, where index 0 is the value zero and common, runs of it and
    words for the others.
    """
    counts = [int(count) for count in torch.bincount(indices.flatten().int(), minlength=symbols)]
    each = _whole(coded_bits(counts)) + symbols
    others = [0, *counts[1:]]
    runs = _whole(coded_bits(others)) + symbols + _whole(coded_bits(gap_counts(indices))) + _LONGEST + 1
    return min(each, runs), entropy_bits(counts) / _BITS


def _whole(bits: int) -> int:
    return -(-bits // _BITS)
