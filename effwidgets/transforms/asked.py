"""What a step asks for that every technique understands."""

from __future__ import annotations

from effwidgets.errors import TransformError
from effwidgets.records import Step

__all__ = ["anyway"]


def anyway(step: Step) -> bool:
    """Say whether a step is to be done even where it saves nothing: its setting ``anyway``.

    Raises:
        TransformError: the setting is neither True nor False.

    >>> from effwidgets.records import settings
    >>> anyway(Step(transform="low_rank", layers=("fc",), settings=settings(rank=4, anyway=True)))
    True
    """
    asked = dict(step.settings).get("anyway", False)
    if not isinstance(asked, bool):
        raise TransformError(f"{step}: anyway is {asked!r}; True or False was expected.")
    return asked
