"""Which steps cannot be taken together."""

from __future__ import annotations

from collections.abc import Sequence

from effwidgets.records import Profile, Step
from effwidgets.search.advice.places import DROPS, holders
from effwidgets.transforms.base import TRANSFORMS

__all__ = ["clash", "clashes_of"]

_RERUN = "recompute"


def clashes_of(profile: Profile, steps: Sequence[Step]) -> list[tuple[int, ...]]:
    """Return for each step the places in the row of those that cannot be taken with it.

    >>> import torch
    >>> from effwidgets import profile, settings
    >>> known = profile(torch.nn.Sequential(torch.nn.Linear(64, 64)), torch.ones(1, 64))
    >>> steps = [Step(transform=name, layers=("0",)) for name in ("low_rank", "int8")]
    >>> clashes_of(known, steps)
    [(1,), (0,)]
    """
    held = [holders(profile, step) for step in steps]
    at: dict[str, list[int]] = {}
    for place, layers in enumerate(held):
        for layer in layers:
            at.setdefault(layer, []).append(place)
    near = [sorted({other for layer in layers for other in at[layer]} - {place}) for place, layers in enumerate(held)]
    reruns = [place for place, step in enumerate(steps) if _family(step) == _RERUN]
    found = [
        {other for other in others if clash(steps[place], steps[other]) or _vain(steps, held, place, other)}
        for place, others in enumerate(near)
    ]
    for place in reruns:
        found[place] |= {other for other in reruns if other != place and _nested(steps[place], steps[other])}
    return [tuple(sorted(others)) for others in found]


def clash(one: Step, other: Step) -> bool:
    """Say whether two steps that change one layer cannot both be taken.

    Channels go first, of several groups too, and whatever else is done finds the layer narrower. A layer that was split
    or put into another format stands there no more for a second such step. A block that runs again in the backward is
    wrapped last, whatever stands in it.
    """
    families = {_family(one), _family(other)}
    return not families & {"prune", _RERUN} or (one.transform, one.layers) == (other.transform, other.layers)


def _vain(steps: Sequence[Step], held: Sequence[frozenset[str]], one: int, other: int) -> bool:
    # Channels that lie inside of a block which is left out.
    pairs = ((one, other), (other, one))
    return any(_family(steps[block]) == DROPS and held[inner] <= held[block] for block, inner in pairs)


def _family(step: Step) -> str:
    return TRANSFORMS[step.transform].family


def _nested(one: Step, other: Step) -> bool:
    return any(
        f"{a}.".startswith(f"{b}.") or f"{b}.".startswith(f"{a}.") for a in one.layers for b in other.layers if a and b
    )
