"""A line of ``%effdl`` as its words, with Python expressions kept whole."""

from __future__ import annotations

import re

from effwidgets.errors import InputError

__all__ = ["words_of"]

_OPEN, _CLOSE, _QUOTES = "([{", ")]}", "'\""
_OPTION = re.compile(r"(--[\w-]+=)(.*)", re.DOTALL)


def words_of(line: str) -> list[str]:
    r"""Split a line at the spaces that stand outside of brackets and quotes.

    Quotes inside of a word are part of an expression and stay. A word that is one quoted text as a whole, or an option
    with one behind its ``=``, loses them; a backslash keeps a space in a word.

    >>> words_of('profile model batch["input ids"] torch.ones(2, 3)')
    ['profile', 'model', 'batch["input ids"]', 'torch.ones(2, 3)']
    >>> words_of("save applied 'my folder' --plan=\"a + b\"")
    ['save', 'applied', 'my folder', '--plan=a + b']

    Raises:
        InputError: a quote is not closed.
    """
    words: list[str] = []
    word, depth, quote = "", 0, ""
    rest = iter(line)
    for letter in rest:
        if letter.isspace() and not depth and not quote:
            words += [word] if word else []
            word = ""
            continue
        word += letter
        if letter == "\\":
            after = next(rest, "")
            word = word[:-1] + after if after.isspace() and not quote else word + after
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in _QUOTES:
            quote = letter
        else:
            depth = max(0, depth + (letter in _OPEN) - (letter in _CLOSE))
    if quote:
        raise InputError(f"The line cannot be read: {word} has no closing quotation mark. Close the quotes.")
    words += [word] if word else []
    return [_bare(word) for word in words]


def _bare(word: str) -> str:
    option = _OPTION.fullmatch(word)
    if option is not None:
        return option[1] + _bare(option[2])
    if len(word) < 2 or word[0] not in _QUOTES or word[-1] != word[0]:
        return word
    quote, inside = word[0], word[1:-1]
    if quote in re.sub(r"\\.", "", inside, flags=re.DOTALL):  # two texts, such as 'a'+'b'
        return word
    return inside.replace(f"\\{quote}", quote)
