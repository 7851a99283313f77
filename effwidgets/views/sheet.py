"""Plain tables of typed columns, and what they become: a pandas table, a CSV file, a table in Markdown."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.views.texttable import plain

__all__ = ["Field", "checked", "csv_text", "escaped", "frame", "pipe_table"]

_DTYPES: Final = {"int": "int64", "some_int": "Int64", "float": "Float64", "text": "string", "bool": "boolean"}
# What a spreadsheet reads as a formula, at the start or behind spaces; also as full-width letters.
_FORMULA: Final = re.compile(r"\s*[=+\-@\t\r\n|%\uff1d\uff0b\uff0d\uff20]")
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]|#~$^])")


@dataclass(frozen=True, slots=True)
class Field:
    """One column. ``int`` columns have a number in each row; the others may hold None where nothing is known.

    Whole numbers that may be missing are ``some_int``: as floats they would be rounded from 2^53 on.
    """

    name: str
    kind: Literal["int", "some_int", "float", "text", "bool"]
    cells: Sequence[int | float | str | bool | None]


def checked(depth: int, columns: Sequence[str] | None, known: Collection[str], usual: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of a table for a paper: those asked for, else the usual ones; and check its depth.

    Raises:
        InputError: a depth that is no whole number from 0 on; columns that are no list of names, or an empty one.
        UnknownNameError: a column that is not known.

    >>> checked(1, None, ("params", "macs"), ("macs",)), checked(0, ["params"], ("params", "macs"), ("macs",))
    (('macs',), ('params',))
    """
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 0:
        raise InputError(f"depth is {depth!r}; a whole number from 0 on was expected: 0 is the whole model alone.")
    if columns is None:
        return tuple(usual)
    if isinstance(columns, str) or not columns:
        raise InputError(f"columns is {columns!r}; a list of names was expected, such as {list(usual)}.")
    for key in columns:
        if key not in known:
            raise UnknownNameError("column", key, known)
    return tuple(columns)


def frame(columns: Sequence[Field], facts: dict[str, Any]) -> Any:
    """Return a ``pandas.DataFrame``; ``facts`` about all of it become its ``attrs``."""
    import pandas as pd

    series: Any = pd.Series  # its types know a dtype only where it is written out
    table = pd.DataFrame({one.name: series(list(one.cells), dtype=_DTYPES[one.kind]) for one in columns})
    table.attrs.update(facts)
    return table


def csv_text(columns: Sequence[Field]) -> str:
    r"""Return the table as RFC 4180 has it; text that a spreadsheet would read as a formula gets an apostrophe.

    >>> csv_text([Field("layer", "text", ["=1+1", "fc"]), Field("params", "int", [3, 4])])
    "layer,params\r\n'=1+1,3\r\nfc,4\r\n"
    """
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow([one.name for one in columns])
    for row in zip(*(one.cells for one in columns), strict=True):
        writer.writerow([_cell(value) for value in row])
    return file.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)  # reads back as the same number
    if not isinstance(value, str):
        return str(value)
    text = value.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")
    return f"'{text}" if _FORMULA.match(text) else text


def escaped(text: str) -> str:
    r"""Escape text for Markdown: it is shown as it is and never becomes markup.

    >>> escaped("a_b|<script>") == r"a\_b\|&lt;script&gt;"
    True
    """
    safe = plain(text).encode("utf-8", "replace").decode("utf-8").replace("&", "&amp;")
    return _MARKUP.sub(r"\\\1", safe.replace("<", "&lt;").replace(">", "&gt;"))


def pipe_table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Lay out cells, which are Markdown already, so that the source reads as a table too.

    >>> pipe_table(["Layer", "Params"], [["fc", "5"]], [False, True])
    ['| Layer | Params |', '| :---- | -----: |', '| fc    |      5 |']
    """
    widths = [max(3, *(len(row[index]) for row in (head, *rows))) for index in range(len(head))]
    rule = [
        f"{'-' * (width - 1)}:" if at_right else f":{'-' * (width - 1)}"
        for width, at_right in zip(widths, right, strict=True)
    ]
    lines = []
    for row in (head, rule, *rows):
        cells = zip(row, widths, right, strict=True)
        lines.append(f"| {' | '.join(c.rjust(w) if at_right else c.ljust(w) for c, w, at_right in cells)} |")
    return lines
