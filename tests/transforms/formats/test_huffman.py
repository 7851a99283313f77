"""The lengths of Huffman codes, held against the bits that are really written."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from effwidgets.transforms.formats.huffman import code_lengths, code_words, coded_bits, decode, encode, entropy_bits

streams = st.lists(st.integers(0, 11), min_size=1, max_size=60)


def _counts(stream: list[int]) -> list[int]:
    return [stream.count(symbol) for symbol in range(12)]


@given(streams)
def test_what_is_written_has_the_stated_length_and_reads_back(stream: list[int]) -> None:
    counts = _counts(stream)
    data = encode(torch.tensor(stream), code_lengths(counts))
    assert len(data) == -(-coded_bits(counts) // 8)
    assert decode(data, len(stream), code_lengths(counts)).tolist() == stream


@given(streams)
def test_the_length_is_within_a_bit_a_symbol_of_the_entropy(stream: list[int]) -> None:
    # Huffman 1952: at least the entropy, and less than one bit more for each symbol; one symbol alone takes that bit.
    counts = _counts(stream)
    least = entropy_bits(counts)
    assert least - 1e-9 <= coded_bits(counts) <= least + len(stream)


@given(streams)
def test_no_word_is_the_beginning_of_another_and_none_is_left_over(stream: list[int]) -> None:
    words = code_words(code_lengths(_counts(stream))).values()
    assert not any(one != other and other.startswith(one) for one, other in itertools.product(words, words))
    if len(words) > 1:
        assert sum(Fraction(1, 2 ** len(word)) for word in words) == 1  # Kraft: the tree is full


def test_no_lengths_do_better_than_huffmans() -> None:
    # All lengths up to 4 that Kraft's inequality allows, tried one by one.
    counts = [9, 5, 2, 2, 1]
    allowed = (
        lengths
        for lengths in itertools.product(range(1, 5), repeat=5)
        if sum(Fraction(1, 2**length) for length in lengths) <= 1
    )
    best = min(sum(c * n for c, n in zip(counts, lengths, strict=True)) for lengths in allowed)
    assert coded_bits(counts) == best


def test_a_stream_that_ends_early_is_refused() -> None:
    with pytest.raises(ValueError, match="hold 8 symbols; 9 were expected"):
        decode(bytes(1), 9, [1, 1])
