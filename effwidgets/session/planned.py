"""What the verbs take for a plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from effwidgets.errors import InputError
from effwidgets.records import Chosen, Plan, Ranks, Rounded, Site, Step, Suggestion, Suggestions

__all__ = ["Planned", "plan_of"]

Planned: TypeAlias = Plan | Step | Suggestion | Suggestions | Ranks | Rounded | Chosen | Sequence[Step]
"""A plan, or what has one: a step, several in a list, suggestions, ranks by rule, measured widths, a choice."""


def plan_of(planned: Planned) -> Plan:
    """Return the plan that ``planned`` is or has.

    Raises:
        InputError: it is none of these.

    >>> plan_of([Step(transform="int8", layers=("fc",))]).steps[0].transform
    'int8'
    """
    match planned:
        case Plan():
            return planned
        case Step():
            return Plan(steps=(planned,))
        case Suggestion():
            return Plan(steps=(planned.step,))
        case Suggestions():
            return planned.plan()
        case Ranks() | Rounded() | Chosen():
            return planned.plan
        case list() | tuple():
            return Plan(steps=tuple(planned))
    if isinstance(planned, Site):
        raise InputError("A site came, which has no settings yet; make a step of it, such as site.step(rank=8).")
    raise InputError(f"A plan, a step or a suggestion was expected, and {type(planned).__name__} came.")
