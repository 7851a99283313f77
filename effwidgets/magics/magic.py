"""One line read and done; the magic registered in a shell."""

from __future__ import annotations

import ast
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from effwidgets.errors import EffError
from effwidgets.line import words_of
from effwidgets.magics.scope import Scope
from effwidgets.magics.vocabulary import LAST_TRACE, WORDS, manual, word_named
from effwidgets.magics.word import Asked

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["effdl", "register", "unregister"]


def effdl(line: str, cell: str | None = None, *, names: dict[str, Any]) -> Any:
    """Do what one line says, and return what it gave.

    Args:
        line: a word and its arguments; an expression with spaces outside of its brackets in quotes.
        cell: the rest of a ``%%effdl`` cell: it is run first, so that the line can name what it makes.
        names: the notebook's variables.

    Raises:
        EffError: the word is unknown, an argument is wrong, or the verb failed.

    >>> import torch
    >>> from torch import nn
    >>> effdl("profile layer x", names={"layer": nn.Linear(8, 4), "x": torch.zeros(2, 8)}).cost.macs
    64
    """
    if cell is not None:
        exec(compile(ast.parse(cell), "<%%effdl>", "exec"), names)  # noqa: S102  it is the user's own cell
    texts = words_of(line)
    word = word_named(texts[0]) if texts else WORDS["help"]
    try:
        return word.does(word.parser.parse_args(texts[1:]), Scope(names))
    except Asked as asked:
        print(asked)  # noqa: T201


def _magic(shell: InteractiveShell) -> Callable[[str, str | None], Any]:
    def run(line: str, cell: str | None = None) -> Any:
        try:
            return effdl(line, cell, names=shell.user_ns)
        except EffError as error:
            LAST_TRACE[:] = traceback.format_exception(error)
            # IPython asks the error itself how it is shown: as its message, without a page of our own frames.
            told = [f"{type(error).__name__}: {error}", "(%effdl trace shows where it happened)"]
            error._render_traceback_ = lambda: told  # type: ignore[attr-defined]  # IPython's protocol
            raise

    run.__doc__ = manual() + "\n\nIn a cell of its own, %%effdl WORD ... first runs the cell, then the line."
    return run


def register(shell: InteractiveShell) -> None:
    """Add ``%effdl`` and ``%%effdl`` to ``shell``."""
    add: Any = shell.register_magic_function
    add(_magic(shell), "line_cell", "effdl")


def unregister(shell: InteractiveShell) -> None:
    """Take them away again."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("effdl", None)
