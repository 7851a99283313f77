"""All words of the magic, and the manual that tells them."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from effwidgets.errors import UnknownNameError
from effwidgets.magics.changing import CHANGING
from effwidgets.magics.choosing import CHOOSING
from effwidgets.magics.looking import LOOKING
from effwidgets.magics.planning import PLANNING
from effwidgets.magics.scope import Scope
from effwidgets.magics.sensing import SENSING
from effwidgets.magics.word import Word

__all__ = ["LAST_TRACE", "WORDS", "manual", "word_named"]

LAST_TRACE: Final[list[str]] = []
"""Where the last error happened, line by line; for ``%effdl trace``."""


def _trace(args: Namespace, scope: Scope) -> None:
    del args, scope
    print("".join(LAST_TRACE) or "No word of %effdl has failed yet.")  # noqa: T201


def _help(args: Namespace, scope: Scope) -> None:
    del scope
    print(manual() if args.word is None else word_named(args.word).parser.format_help())  # noqa: T201  help is printed


WORDS: Final = {
    word.name: word
    for word in (
        *LOOKING,
        *PLANNING,
        *SENSING,
        *CHOOSING,
        *CHANGING,
        Word("trace", "Print where the last error of %%effdl happened.", _trace),
        Word("help", "Say what there is.", _help).takes("word", nargs="?", help="one word in full"),
    )
}
"""By their names, in the order of the manual."""


def word_named(name: str) -> Word:
    """Return a word.

    Raises:
        UnknownNameError: there is none of that name; the message lists the known ones.

    >>> word_named("profile").summary
    'Count parameters, FLOPs and memory of every layer.'
    """
    if name not in WORDS:
        raise UnknownNameError("word of %effdl", name, WORDS)
    return WORDS[name]


def manual() -> str:
    """Return what ``%effdl help`` prints."""
    lines = [f"  %effdl {word.parser.format_usage().split('%effdl ', 1)[1].strip()}" for word in WORDS.values()]
    told = "\n".join(f"  {word.name:<9} {word.summary.replace('%%', '%')}" for word in WORDS.values())
    usage = "\n".join(" ".join(line.split()) for line in lines)
    return f"%effdl WORD ...  in full: %effdl help WORD\n\n{told}\n\n{usage}"
