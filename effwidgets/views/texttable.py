"""Plain tables for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Column", "fold", "table"]


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
        lines += textwrap.wrap(sentence, width, initial_indent=indent, subsequent_indent=indent)
    return lines
