"""What of a model a step touches, so that steps which have nothing in common can be done and looked at together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from effwidgets.records import Edit, Group, Step

__all__ = ["Place", "clash", "meet", "places_of", "touched_by"]

Place: TypeAlias = tuple[str, str]
"""A layer and one of its sides, "out" or "in". The model itself is ""."""

_SIDES = ("out", "in")


def places_of(step: Step, group: Group | None) -> frozenset[Place]:
    """Return what ``step`` will touch: the sides that the group it is about lies on, else the layers it names."""
    if group is not None:
        return frozenset((member.layer, member.side) for member in group.members if not member.tensor)
    return frozenset((layer, side) for layer in step.layers for side in _SIDES)


def touched_by(edit: Edit) -> frozenset[Place]:
    """Return what an edit has touched."""
    if edit.kept:
        return frozenset((kept.layer, kept.side) for kept in edit.kept)
    layers = {*(piece.layer for piece in edit.before), *edit.step.layers}
    return frozenset((layer, side) for layer in layers for side in _SIDES)


def clash(one: Iterable[Place], other: Iterable[Place]) -> bool:
    """Say whether both change the same side of a layer, or of one that contains the other."""
    found = list(other)
    return any(side == same and _nested(layer, held) for layer, side in one for held, same in found)


def meet(one: Iterable[Place], other: Iterable[Place]) -> bool:
    """Say whether both change one layer, maybe on different sides: then the later one sees what the earlier did."""
    found = {layer for layer, _ in other}
    return any(_nested(layer, held) for layer in {layer for layer, _ in one} for held in found)


def _nested(one: str, other: str) -> bool:
    return one == other or not one or not other or one.startswith(f"{other}.") or other.startswith(f"{one}.")
