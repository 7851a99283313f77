"""Whether a new block adds what goes in to what comes out."""

from __future__ import annotations

from math import prod

from effwidgets.errors import TransformError
from effwidgets.records import Step
from effwidgets.transforms.blocks.spots import Spot

__all__ = ["shortcut_of"]


def shortcut_of(spot: Spot, step: Step) -> bool:
    """Return the setting ``shortcut`` of ``step``.

    Unless it is given: where the shapes agree and the old block works element by element itself, as one that adds does.

    Raises:
        TransformError: neither True nor False, or True where the shapes do not agree.
    """
    fits = spot.before == spot.after
    value = dict(step.settings).get("shortcut", fits and spot.layer.self_cost.elementwise_ops >= prod(spot.after))
    if not isinstance(value, bool):
        raise TransformError(f"{step}: shortcut is {value!r}; True or False was expected.")
    if value and not fits:
        shapes = " x ".join(map(str, spot.before)), " x ".join(map(str, spot.after))
        raise TransformError(f"{step}: there can be no shortcut from {shapes[0]} to {shapes[1]}.")
    return value
