"""Whether to go on, asked from inside of one long step: by a fit, between its own steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

__all__ = ["ask", "asking"]


class _StoppedError(BaseException):
    # Not an Exception: what stands around the code of plug-ins takes these for a failure of the step alone.

    def __init__(self, cause: BaseException) -> None:
        super().__init__()
        self.cause = cause


def _go_on() -> None:
    """Stop nothing."""


_CHECK: Final[ContextVar[Callable[[], None]]] = ContextVar("check", default=_go_on)


@contextmanager
def asking(check: Callable[[], None] | None) -> Iterator[None]:
    """Have `ask` call ``check`` inside of the context; what it raised comes out at the end of it."""
    token = _CHECK.set(check or _go_on)
    try:
        yield
    except _StoppedError as stopped:
        raise stopped.cause from None
    finally:
        _CHECK.reset(token)


def ask() -> None:
    """Call what the caller of `apply` gave as ``check``; where it raises, the whole work ends.

    >>> ask()
    """
    check = _CHECK.get()
    if check is _go_on:
        return
    try:
        check()
    except BaseException as error:
        raise _StoppedError(error) from error
