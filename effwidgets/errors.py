"""The errors that effwidgets raises.

    EffError                   everything below; catch this one
    |- InputError              the caller handed in something else than was expected
    |  |- UnknownNameError     a word that no registry, model or list knows; names the known ones
    |- ModelError              the model's own forward failed; names the layer it failed in
    |- TransformError          a step could not be applied; names transform, layers and value
    |  |- VerifyError          a step was applied and broke the model; it was rolled back
    |- SearchError             a study cannot go on; what it finished is kept
    |  |- StoreError           where a study is kept cannot be read or written; what is there is left as it is
    |- RecipeError             a saved recipe cannot be read or does not fit the model
    |- Cancelled               the user asked to stop; not a fault

A message gives what came, what was expected, at which layer, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "Cancelled",
    "EffError",
    "InputError",
    "ModelError",
    "RecipeError",
    "SearchError",
    "StoreError",
    "TransformError",
    "UnknownNameError",
    "VerifyError",
]


class EffError(Exception):
    """Base class of every error that effwidgets raises on purpose."""


class InputError(EffError, ValueError):
    """The caller handed in something else than was expected."""


class UnknownNameError(InputError, LookupError):
    """A name that is not known; the message lists the known ones, the closest first.

    Args:
        kind: what the name was meant to be, as a noun ("layer", "transform").
        name: what came.
        known: the names that would have been accepted.
    """

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        self.known = tuple(known)
        close = difflib.get_close_matches(str(name), self.known, n=3, cutoff=0.5)
        shown = [*close, *(word for word in self.known if word not in close)]
        more = f" and {len(shown) - 12} more" if len(shown) > 12 else ""
        listed = ", ".join(repr(word) for word in shown[:12]) or "none at all"
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"There is no {kind} {name!r}.{hint} Known: {listed}{more}.")


class ModelError(EffError, RuntimeError):
    """The model's own forward failed; the message names the layer."""


class TransformError(EffError, RuntimeError):
    """A step could not be applied; the message names transform, layers and value."""


class VerifyError(TransformError):
    """A step was applied and broke the model; it was rolled back."""


class SearchError(EffError, RuntimeError):
    """A study cannot go on; what it finished is kept."""


class StoreError(SearchError):
    """Where a study is kept cannot be read or written, or is another study's; what is there is left as it is."""


class RecipeError(EffError, ValueError):
    """A saved recipe cannot be read, or does not fit the model it is replayed on."""


class Cancelled(EffError):
    """The user asked to stop. Not a fault: what was finished is kept."""
