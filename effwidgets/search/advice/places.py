"""Where what could be done, as steps with settings; arithmetic on a profile alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from effwidgets.errors import EffError
from effwidgets.records import Cost, Knob, Plain, Profile, Site, Skip, Step, settings
from effwidgets.search.advice.goals import serves
from effwidgets.transforms.base import TRANSFORMS, Transform
from effwidgets.transforms.describe import reads_of

__all__ = ["DROPS", "FRACTIONS", "Place", "change_of", "holders", "places_of", "step_at", "steps_at"]

FRACTIONS = ((0.25, 0.5, 0.75), (0.5, 0.625, 0.75))
"""Shares that are tried of the largest setting that pays, where there is one, and else of the largest."""


DROPS: Final = "drop"
"""The family of what takes blocks out with all layers inside."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A site with the transformation that found it."""

    transform: Transform
    site: Site

    def fractions(self) -> tuple[float, ...]:
        """Return the shares worth trying here; one, of no meaning, where there is nothing to set."""
        even, full = FRACTIONS
        if not any(knob.kind != "choice" for knob in self.site.knobs):
            return (1.0,)
        return even if any(knob.break_even is not None for knob in self.site.knobs) else full


def places_of(
    profile: Profile, families: Iterable[str] | None = None, *, goal: str | None = None
) -> tuple[list[Place], list[Skip]]:
    """Return the places that the registered transformations find in ``profile``, and those that they leave alone.

    Without a goal only transformations of the structure are asked; with one also those that change how numbers are
    kept, fuse or run again, as far as they serve it (`goals.serves`). What is an expert choice is left out: it is done
    when a plan names it. One that raises is a skip of its own: it may be a stranger's.
    """
    places: list[Place] = []
    skips: list[Skip] = []
    wanted = None if families is None else set(families)
    for name, transform in TRANSFORMS.items():
        shapes = transform.phase == "structure"
        if wanted is not None and transform.family not in wanted:
            continue
        if not shapes and goal is None:
            continue
        served = serves(transform, goal or "macs")
        if not served:
            skips += _not_asked(transform, goal, served)
            continue
        try:
            for found in transform.sites(profile):
                if isinstance(found, Skip):
                    skips.append(found)
                elif found.advised or not shapes:
                    places.append(Place(transform, found))
        except Exception as error:  # noqa: BLE001  a plug-in may raise anything
            skips.append(Skip(transform=name, layers=(), reason=f"it could not look at this model: {error}"))
    return places, skips


def _not_asked(transform: Transform, goal: str | None, served: bool | None) -> Iterator[Skip]:  # noqa: FBT001
    # Said of the model as a whole; what changes shapes and is left to experts is not listed, as ever.
    if goal is None or transform.phase == "structure":
        return
    if served is None:
        reason = "left to who knows what it asks for: it is done when a plan names it"
    else:
        reason = f"it does not serve {goal}"
    yield Skip(transform=transform.name, layers=(), reason=reason)


def step_at(place: Place, fraction: float) -> Step:
    """Return the step with every number at ``fraction`` of what pays (or of its range), choices at their first."""
    values = {knob.name: _value(knob, fraction) for knob in place.site.knobs}
    return Step(transform=place.site.transform, layers=place.site.layers, settings=settings(values))


def _value(knob: Knob, fraction: float) -> Plain:
    if knob.kind == "choice":
        return knob.choices[0] if knob.choices else None
    low = knob.low or 0.0
    top = knob.break_even if knob.break_even is not None else (low if knob.high is None else knob.high)
    value = min(max(fraction * top, low), top)
    return max(int(low), round(value / knob.multiple) * knob.multiple) if knob.kind == "int" else value


def change_of(profile: Profile, step: Step) -> Cost | None:
    """Return the change that the transformation promises; None where it says that the step cannot be done."""
    try:
        return TRANSFORMS[step.transform].estimate(profile, step)
    except EffError:
        return None


def holders(profile: Profile, step: Step) -> frozenset[str]:
    """Return the layers that a step changes: those that it names, and the members of a group that it names.

    A group bears the name of a layer: only who asks for the groups of a profile can mean all its members. With a block
    that is left out go all layers inside.
    """
    named, transform = set(step.layers), TRANSFORMS[step.transform]
    if transform.family == DROPS:
        inside = tuple(f"{name}." for name in named)
        return frozenset(named | {layer.name for layer in profile.layers if layer.name.startswith(inside)})
    if "groups" not in reads_of(transform):
        return frozenset(named)
    groups = [group for group in profile.groups if group.name in named]
    return frozenset(named | {member.layer for group in groups for member in group.members if not member.tensor})


def steps_at(places: Iterable[Place], profile: Profile, fraction: float) -> Iterator[Step]:
    """Yield a step for each place that saves something worth having at ``fraction``; each layer is factored once.

    Less than a hundredth of the MACs and a twentieth of the parameters is not worth a layer: the last one, which has
    as many outputs as there are classes, would be ruined for nothing. Two transformations of one family at one layer:
    the one that saves more MACs.
    """
    whole = profile.cost
    best: dict[tuple[str, ...], tuple[int, Step]] = {}
    for place in places:
        step = step_at(place, fraction)
        change = change_of(profile, step)
        if change is None or not (-change.macs > 0.01 * whole.macs or -change.params > 0.05 * whole.params):
            continue
        held = best.get(step.layers)
        if held is None or change.macs < held[0]:
            best[step.layers] = (change.macs, step)
    for _, step in best.values():
        yield step
