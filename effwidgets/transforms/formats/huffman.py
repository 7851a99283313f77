"""How few bits a stream of symbols needs: its entropy, and the exact length under a canonical Huffman code."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["code_lengths", "code_words", "coded_bits", "decode", "encode", "entropy_bits"]


def entropy_bits(counts: Sequence[int]) -> float:
    """Return the least bits of a stream in which symbol ``i`` comes ``counts[i]`` times: Shannon 1948.

    >>> entropy_bits([2, 1, 1])
    6.0
    """
    total = sum(counts)
    return math.fsum(count * math.log2(total / count) for count in counts if count)


def code_lengths(counts: Sequence[int]) -> tuple[int, ...]:
    """Return the length of each symbol's code word in bits; 0 for those that never come.

    Huffman 1952: the two rarest become one, until one is left. Ties fall to what stands first, so that the answer is
    the same everywhere. A stream of one symbol alone has words of one bit.

    >>> code_lengths([2, 1, 1, 0])
    (1, 2, 2, 0)
    """
    heap: list[tuple[int, int, tuple[int, ...]]] = [(count, i, (i,)) for i, count in enumerate(counts) if count]
    lengths = [0] * len(counts)
    if len(heap) == 1:
        lengths[heap[0][1]] = 1
    heapq.heapify(heap)
    while len(heap) > 1:
        first, second = heapq.heappop(heap), heapq.heappop(heap)
        symbols = first[2] + second[2]
        for symbol in symbols:
            lengths[symbol] += 1
        heapq.heappush(heap, (first[0] + second[0], min(first[1], second[1]), symbols))
    return tuple(lengths)


def coded_bits(counts: Sequence[int]) -> int:
    """Return the bits of the stream under its Huffman code, the table left out.

    >>> coded_bits([2, 1, 1])
    6
    """
    return sum(count * length for count, length in zip(counts, code_lengths(counts), strict=True))


def code_words(lengths: Sequence[int]) -> dict[int, str]:
    """Return the canonical words, by symbol: in the order of length, then of symbol, each the next number.

    The lengths alone so tell the whole code (RFC 1951, 3.2.2): a table is one byte for each symbol.

    >>> code_words([1, 2, 2, 0])
    {0: '0', 1: '10', 2: '11'}
    """
    words: dict[int, str] = {}
    number = before = 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths) if length):
        number <<= length - before
        words[symbol] = f"{number:0{length}b}"
        number, before = number + 1, length
    return words


def encode(symbols: Tensor, lengths: Sequence[int]) -> bytes:
    """Return a stream of whole numbers from 0 as the bytes that a download would carry; the last is filled with zeros.

    Raises:
        KeyError: a symbol without a word.

    >>> encode(torch.tensor([0, 1, 2, 0]), [1, 2, 2]).hex()
    '58'
    """
    words = code_words(lengths)
    text = "".join(words[symbol] for symbol in symbols.flatten().tolist())
    text += "0" * (-len(text) % 8)
    return int(f"1{text}", 2).to_bytes(len(text) // 8 + 1, "big")[1:]


def decode(data: bytes, count: int, lengths: Sequence[int]) -> Tensor:
    """Return the ``count`` symbols that `encode` wrote.

    Raises:
        ValueError: the bytes end before, or are not of this code.

    >>> decode(bytes([0x58]), 4, [1, 2, 2]).tolist()
    [0, 1, 2, 0]
    """
    symbols = {word: symbol for symbol, word in code_words(lengths).items()}
    found: list[int] = []
    word = ""
    for bit in bin(int.from_bytes(b"\1" + data, "big"))[3:]:
        word += bit
        if word in symbols and len(found) < count:
            found.append(symbols[word])
            word = ""
    if len(found) < count:
        raise ValueError(f"The bytes hold {len(found)} symbols; {count} were expected.")
    return torch.tensor(found, dtype=torch.long)
