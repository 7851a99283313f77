"""The names of the notebook, and how expressions in a line are read."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from torch import nn

from effwidgets.errors import InputError
from effwidgets.session import sessions

__all__ = ["Scope"]

_OF_IPYTHON = frozenset({"In", "Out", "exit", "get_ipython", "open", "quit"})  # in every notebook; nobody meant them


class Scope:
    """The names of the notebook, and how expressions in a line are read."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names

    def value(self, text: str) -> Any:
        """Evaluate one expression; an unknown name is answered with the closest known ones.

        Raises:
            InputError: it is no expression, or it raised.
        """
        try:
            return eval(text, self.names)  # noqa: S307  it is the user's own line
        except NameError as error:
            known = [name for name in self.names if not name.startswith("_") and name not in _OF_IPYTHON]
            close = difflib.get_close_matches(str(error.name), known, n=5, cutoff=0.4)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise InputError(f"The notebook has no variable {error.name!r}.{hint}") from error
        except SyntaxError as error:
            raise InputError(f"{text!r} is no expression. Quote what contains spaces, or name a variable.") from error
        except Exception as error:
            raise InputError(f"{text} raised {type(error).__name__}: {error}") from error

    def maybe(self, text: str | None) -> Any:
        """Evaluate an expression where there is one; else None."""
        return self.value(text) if text else None

    def model(self, text: str | None) -> nn.Module:
        """Return the model that ``text`` names; without text, the only one there is a session of.

        Raises:
            InputError: it is no model, or it is not clear which is meant.
        """
        if text is not None:
            found = self.value(text)
            if not isinstance(found, nn.Module):
                raise InputError(f"{text} is {type(found).__name__}; a torch.nn.Module was expected.")
            return found
        known = sessions()
        if len(known) != 1:
            titles = ", ".join(session.title for session in known) or "none was profiled yet"
            raise InputError(f"Name the model, because it is not clear which is meant ({titles}).")
        return known[0].model

    def inputs(self, texts: Sequence[str]) -> Any:
        """Return what the model is called with: one value, a tuple of several, or None."""
        values = [self.value(text) for text in texts]
        return None if not values else values[0] if len(values) == 1 else tuple(values)
