"""Plain tables for a terminal."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Column", "fold", "plain", "table"]

_BREAKS = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def plain(text: str) -> str:
    r"""Return ``text`` on one line: what breaks lines, turns their direction or rings a bell becomes a mark.

    Names of layers and classes are text from strangers.

    >>> plain("a\nb") == "a\ufffdb"
    True
    """
    if text.isprintable():
        return text
    odd = {letter for letter in text if letter in _TURNS or unicodedata.category(letter) in _BREAKS}
    return "".join("\ufffd" if letter in odd else letter for letter in text)


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; numbers stand at the right."""

    title: str
    right: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out ``rows`` under their headings, one line each.

    >>> table([Column("Layer"), Column("Params", right=True)], [["fc", "5.13 k"]])
    ['Layer  Params', '─────  ──────', 'fc     5.13 k']
    """
    rows = [[plain(cell) for cell in row] for row in rows]
    widths = [max([len(column.title), *(len(row[i]) for row in rows)]) for i, column in enumerate(columns)]
    head = _line([column.title for column in columns], columns, widths)
    rule = "  ".join("─" * width for width in widths)
    return [head, rule, *(_line(row, columns, widths) for row in rows)]


def _line(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    placed = [
        cell.rjust(width) if column.right else cell.ljust(width)
        for cell, column, width in zip(cells, columns, widths, strict=True)
    ]
    return "  ".join(placed).rstrip()


def fold(sentences: Sequence[str], *, width: int = 100, indent: str = "") -> list[str]:
    """Break long sentences into lines."""
    lines: list[str] = []
    for sentence in sentences:
        wrapped = textwrap.wrap(sentence, width, initial_indent=indent, subsequent_indent=indent)
        lines += [plain(line) for line in wrapped]
    return lines
