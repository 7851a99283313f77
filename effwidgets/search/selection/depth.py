"""Plans of fewer layers: blocks left out, the rest made narrower.

Where a model is so narrow that calling its kernels takes most of the time, only fewer of them make it faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from effwidgets.errors import EffError
from effwidgets.records import Plan, Profile, Site, Step
from effwidgets.search.selection.ladder import level_plan
from effwidgets.search.selection.offers import foreseen
from effwidgets.transforms.base import TRANSFORMS

__all__ = ["depths", "fewer_layers"]

_DROPS: Final = "drop_block"
_CUTS: Final = "prune"

_DEPTHS: Final = 5
"""So many depths are put together with widths, beside the full one."""

_WIDTHS: Final = (1.0, 0.75, 0.5, 0.35, 0.25, 0.15)
"""Shares of the channels that stay in the layers that stay."""


def depths(profile: Profile, judge: Callable[[Plan], float], most: int) -> tuple[Plan, ...]:
    """Return plans that leave out one residual block, two, three, ...: each those of the one before and one more.

    Which goes next is what `judge` finds least bad, as long as that takes at most ``most`` of its calls; else they go
    in the order of what each does alone, and of more than ``most`` blocks none goes.

    Args:
        profile: of the dense model, with groups.
        judge: how far the outputs part after a plan, carried out and repaired.
        most: how many calls of it.
    """
    left = _blocks(profile)
    if not left or len(left) > most:
        return ()
    every = len(left) * (len(left) + 1) // 2 <= most
    found: list[Plan] = []
    ranked: list[tuple[float, int]] = []
    while left:
        held = found[-1] if found else Plan()
        if every or not ranked:
            ranked = sorted((_loss(judge, held, step), place) for place, step in enumerate(left))
        if every:
            found.append(held + Plan(steps=(left.pop(ranked[0][1]),)))
        else:
            found.append(held + Plan(steps=(left[ranked[len(found)][1]],)))
            if len(found) == len(left):
                break
    return tuple(plan for plan in found if _fits(profile, plan))


def fewer_layers(profile: Profile, depths_found: Sequence[Plan]) -> tuple[Plan, ...]:
    """Return plans of a few depths, evenly over those that were found, each at a few widths."""
    count = min(_DEPTHS, len(depths_found))
    places = {round((place + 1) * len(depths_found) / count) - 1 for place in range(count)}
    plans = []
    for place in sorted(places):
        base = depths_found[place]
        after = foreseen(profile, base)
        for width in _WIDTHS:
            plan = base if width == 1 else base + level_plan(_CUTS, after, width)
            if plan not in plans and _fits(profile, plan):
                plans.append(plan)
    return tuple(plans)


def _blocks(profile: Profile) -> list[Step]:
    if _DROPS not in TRANSFORMS:
        return []
    found = TRANSFORMS[_DROPS].sites(profile)
    names = [site.layers for site in found if isinstance(site, Site) and site.advised]
    # Of blocks inside of blocks the outer ones.
    inner = [name for name in names if any(name[0].startswith(f"{other[0]}.") for other in names)]
    return [Step(transform=_DROPS, layers=name) for name in names if name not in inner]


def _loss(judge: Callable[[Plan], float], held: Plan, step: Step) -> float:
    try:
        return judge(held + Plan(steps=(step,)))
    except EffError:
        return float("inf")


def _fits(profile: Profile, plan: Plan) -> bool:
    try:
        foreseen(profile, plan)
    except EffError:
        return False
    return True
