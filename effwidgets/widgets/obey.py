"""A message from a page becomes a command of the session that it is meant for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from effwidgets.errors import EffError, InputError, UnknownNameError
from effwidgets.records import COMMANDS, Command, settings

__all__ = ["GONE", "GoneError", "obey"]

GONE = "The model behind this view is gone: it was deleted, or the kernel was restarted. Run its cell again."

_log = logging.getLogger(__name__)


class GoneError(EffError):
    """The session that a command was meant for does not exist any more."""


def obey(message: Mapping[str, Any]) -> None:
    """Hand the command in ``message`` (origin, verb, args, id) to its session, which queues it and returns.

    Raises:
        InputError: the message is no command.
        GoneError: there is no such session.
        EffError: the session refused; whatever else it raises is logged and told in one.
    """
    command = _command(message)
    try:
        handle = COMMANDS[command.origin]
    except UnknownNameError as error:
        raise GoneError(GONE) from error
    try:
        handle(command)
    except EffError:
        raise
    except Exception as error:
        _log.exception("The command %r of %s failed.", command.verb, command.origin)
        raise EffError(f"{command.verb} failed: {type(error).__name__}: {error}") from error


def _command(message: Mapping[str, Any]) -> Command:
    origin, verb, ident = (message.get(name, "") for name in ("origin", "verb", "id"))
    args = message.get("args") or {}
    if not (isinstance(origin, str) and isinstance(verb, str) and verb and isinstance(args, Mapping)):
        raise InputError(f"A command has an origin, a verb and args; this came: {dict(message)!r:.200}")
    return Command(origin=origin, verb=verb, args=settings(args), id=str(ident))
