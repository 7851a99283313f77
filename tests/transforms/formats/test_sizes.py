"""Bytes of weights without their zeros, counted by hand and written out."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from effwidgets.transforms.formats.huffman import code_lengths, coded_bits, decode, encode
from effwidgets.transforms.formats.sizes import coded_bytes, gap_counts, stored, stored_two_of_four


def _symbols(weight: Tensor) -> list[int]:
    # One by one: how many zeros before each value, 255 of them at a time.
    found, gap = [], 0
    for number in weight.flatten().tolist():
        if number:
            found.append(gap)
            gap = 0
        else:
            gap += 1
            if gap == 255:
                found.append(255)
                gap = 0
    while found and found[-1] == 255 and gap >= 0 and not weight.flatten()[-1]:
        found.pop()  # zeros behind the last value are not written
    return found


@given(st.lists(st.tuples(st.integers(0, 700), st.integers(1, 9)), min_size=1, max_size=8), st.integers(0, 300))
def test_runs_of_zeros_are_counted_as_a_writer_would_write_them(runs: list[tuple[int, int]], behind: int) -> None:
    numbers = [number for zeros, value in runs for number in (*[0] * zeros, value)] + [0] * behind
    weight = torch.tensor(numbers, dtype=torch.float32)[None]
    symbols = _symbols(weight)
    assert gap_counts(weight) == [symbols.count(symbol) for symbol in range(256)]
    lengths = code_lengths(gap_counts(weight))
    assert decode(encode(torch.tensor(symbols), lengths), len(symbols), lengths).tolist() == symbols


def test_a_sparse_weight_is_stored_as_worked_out_by_hand() -> None:
    weight = torch.zeros(3, 16)
    weight[0, 3] = weight[2, 1] = weight[2, 2] = 1.0
    found = stored(weight)
    assert (found.entries, found.zeros) == (48, 45)
    assert found.csr_bytes == 3 * 4 + 3 * 4 + 4 * 4  # values, columns, pointers
    assert found.bitmask_bytes == 3 * 4 + 6
    # Gaps 3, 29, 0: three words, of 1, 2 and 2 bits; a byte of table for each of 256 symbols.
    assert found.download_bytes == 3 * 4 + 1 + 256


def test_two_of_four_keeps_half_of_the_values_and_two_bits_for_each() -> None:
    assert stored_two_of_four(torch.zeros(8, 16, dtype=torch.float16)) == 64 * 2 + 16


def test_indices_take_the_shorter_of_both_codes() -> None:
    dense = torch.arange(64) % 4  # each index a quarter of the time: two bits each
    size, least = coded_bytes(dense, 4)
    assert (size, least) == (64 * 2 // 8 + 4, 16.0)
    rare = torch.zeros(80_000, dtype=torch.uint8)
    rare[::100] = 1
    size, _ = coded_bytes(rare, 2)
    # Runs: gaps of 99 and one of 0, a bit each; values: one symbol alone, a bit each; two tables.
    assert size == 100 + 256 + 100 + 2
    assert coded_bits([rare.numel() - 800, 800]) // 8 + 2 > size
