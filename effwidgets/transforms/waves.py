"""Which steps of a plan can be done together: those that touch nothing of each other, in as few waves as can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from effwidgets.records import Plan, Profile, Step
from effwidgets.transforms.base import TRANSFORMS, Transform
from effwidgets.transforms.describe import Description, asked_for, reads_of
from effwidgets.transforms.places import Place, clash, meet, places_of

__all__ = ["kind_of", "waves_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Laid:
    # A step in its wave. What it touches is None where only a look at the model could tell.
    wave: int
    places: frozenset[Place] | None
    kind: tuple[object, ...]


def waves_of(plan: Plan, profile: Profile) -> tuple[tuple[int, ...], ...]:
    """Return the numbers of the steps, wave by wave; within a wave in the order of the plan.

    A step comes in a later wave than every earlier one that changes the same side of a layer, and in none before one
    that it shares a layer with: so the waves give the model that the steps give one after the other. Steps of different
    kinds (see `kind_of`) that follow each other keep their order too.
    """
    laid: list[_Laid] = []
    ahead = Description(profile, None)
    for step in plan:
        transform = TRANSFORMS[step.transform]
        places = _places(step, transform, ahead)
        ahead.note(step, places or ())
        kind = kind_of(transform)
        laid.append(_Laid(wave=_wave(places, kind, laid), places=places, kind=kind))
    count = max((step.wave for step in laid), default=-1) + 1
    return tuple(tuple(number for number, step in enumerate(laid) if step.wave == wave) for wave in range(count))


def kind_of(transform: Transform) -> tuple[object, ...]:
    """Return what steps that are looked at together must have in common: a coarse one would hide faults of others."""
    return transform.phase, getattr(transform, "tolerance", 0.0), getattr(transform, "inference_only", False)


def _places(step: Step, transform: Transform, ahead: Description) -> frozenset[Place] | None:
    if "groups" not in reads_of(transform):
        return places_of(step, None)
    profile = ahead.told(step, transform)
    return None if profile is None else places_of(step, asked_for(step, profile))


def _wave(places: frozenset[Place] | None, kind: tuple[object, ...], earlier: Sequence[_Laid]) -> int:
    wave = 0
    for step in earlier:
        if places is None or step.places is None or step.kind != kind or clash(places, step.places):
            wave = max(wave, step.wave + 1)
        elif meet(places, step.places):
            wave = max(wave, step.wave)
    return wave
