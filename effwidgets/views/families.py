"""Families of techniques: what they are called, and the colour and shape that mark them on every screen.

One table, so that a family looks the same in static pictures, figures and live views. Shape as well as colour:
neither is ever the only sign.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["FAMILIES", "Family", "Shape", "family", "family_of", "family_of_steps", "know"]

Shape: TypeAlias = Literal["circle", "square", "diamond", "triangle", "bar", "ring", "cross"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How a family is shown.

    Attributes:
        name: the key in payloads ("factorize").
        title: what a reader calls it.
        light: colour on a light ground.
        dark: colour on a dark ground.
        shape: its mark.
    """

    name: str
    title: str
    light: str
    dark: str
    shape: Shape


FAMILIES: dict[str, Family] = {
    known.name: known
    for known in (
        Family(name="dense", title="Dense model", light="#1a1d23", dark="#f1f3f5", shape="ring"),
        Family(name="factorize", title="Factorize", light="#1f6fd6", dark="#74a9f7", shape="circle"),
        Family(name="prune", title="Prune", light="#c2620b", dark="#f0a254", shape="square"),
        Family(name="bottleneck", title="Bottleneck", light="#6f51c4", dark="#b197f5", shape="diamond"),
        Family(name="drop", title="Drop blocks", light="#0b7f8f", dark="#55c2d0", shape="bar"),
        Family(name="format", title="Number format", light="#17845a", dark="#5fc79a", shape="triangle"),
        Family(name="mixed", title="Mixed", light="#b02a6b", dark="#f083b4", shape="cross"),
        Family(name="other", title="Other", light="#5a6472", dark="#a3adba", shape="cross"),
    )
}

# Families that look like another one: five shapes and colours can be told apart at a glance, ten cannot.
_KIN = {"quantize": "format", "sparsify": "format", "replace": "bottleneck"}

_FAMILY_OF = {
    "low_rank": "factorize",
    "spatial_svd": "factorize",
    "bottleneck": "bottleneck",
    "channel_prune": "prune",
    "drop_block": "drop",
}


def know(transform: str, name: str) -> None:
    """Learn the family of a technique from another package; views cannot ask it themselves."""
    _FAMILY_OF[transform] = name


def family(name: str) -> Family:
    """Return how family ``name`` is shown; families that nobody described look like "other".

    >>> family("prune").shape, family("quantize").title, family("of one's own").title
    ('square', 'Number format', 'Other')
    """
    return FAMILIES.get(_KIN.get(name, name), FAMILIES["other"])


def family_of(transform: str) -> str:
    """Return the family of a technique by its name, "other" when it is not known.

    >>> family_of("spatial_svd"), family_of("mine")
    ('factorize', 'other')
    """
    return _FAMILY_OF.get(transform, "other")


def family_of_steps(transforms: Iterable[str]) -> str:
    """Return the one family of some steps, "mixed" when there are several, "dense" when there are no steps.

    >>> family_of_steps(["low_rank", "spatial_svd"]), family_of_steps(["low_rank", "channel_prune"])
    ('factorize', 'mixed')
    """
    found = {family_of(transform) for transform in transforms}
    if not found:
        return "dense"
    return found.pop() if len(found) == 1 else "mixed"
