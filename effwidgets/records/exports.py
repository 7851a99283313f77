"""How a record leaves the notebook: as a table, as text for a paper, as a tree in a terminal.

The records know no pandas: each way is a view, found by its medium as every other view is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from effwidgets.errors import UnknownNameError
from effwidgets.records.doors import VIEWS, Medium, View, views_of
from effwidgets.records.files import write_file

__all__ = ["Exported", "Text"]


class Text(str):
    """Text of several lines that a console shows as it is, without quotes around it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Exported:
    """Mixin of the records that can be handed on as a table.

    Every number is the record's own; nothing is rounded but in `to_markdown` and `tree`, which are for reading.
    """

    __slots__ = ()

    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame``, one row for each layer; units stand in the names of the columns.

        Raises:
            UnknownNameError: there is no table of this type.
        """
        return _view(self, "frame").draw(self)

    def to_csv(self, path: str | Path | None = None) -> str | None:
        """Return the same table as CSV, or write it to ``path``.

        It opens in a spreadsheet: text that one would read as a formula ("=1+1" as the name of a layer) gets a leading
        apostrophe, and a file with letters beyond ASCII begins with the mark that says UTF-8.

        Raises:
            InputError: the file cannot be written.
        """
        text: str = _view(self, "csv").draw(self)
        return _give(text, path, "utf-8" if text.isascii() else "utf-8-sig")

    def to_markdown(
        self, path: str | Path | None = None, *, depth: int = 1, columns: Sequence[str] | None = None
    ) -> str | None:
        """Return a table for a paper, aligned, with units in its head and its conventions in the caption.

        Args:
            path: where to write it; left out: it is returned.
            depth: how deep rows go below the model: 1 lists its children. The last row is the whole.
            columns: which numbers, in this order; left out: the usual ones.

        Raises:
            UnknownNameError: an unknown column; the message lists the known ones.
            InputError: a depth below 0, or a file that cannot be written.
        """
        return _give(_view(self, "markdown").draw(self, depth, columns), path, "utf-8")

    def tree(self, *, depth: int | None = None, width: int | None = None, fold: bool = True) -> Text:
        """Return the layers as a tree for a terminal, columns aligned; print it.

        Args:
            depth: how deep it goes below the model; left out: to the leaves.
            width: letters on a line; left out: those of the terminal.
            fold: draw layers in a row that are built alike once, "12 × BertLayer", with their numbers added up.

        Raises:
            InputError: a depth below 0 or a width below 40.
        """
        return Text(_view(self, "tree").draw(self, depth, width, fold))


def _view(record: object, medium: Medium) -> View:
    fitting = views_of(record, medium)
    if not fitting:
        known = sorted({view.shows.__name__ for _, view in VIEWS.items() if view.medium == medium})
        raise UnknownNameError(f"{medium} of", type(record).__name__, known)
    return fitting[0][1]


def _give(text: str, path: str | Path | None, encoding: str) -> str | None:
    if path is None:
        return text
    write_file(path, text, encoding=encoding)
    return None
