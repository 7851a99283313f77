"""What a profile will say after a step, by arithmetic: plans are estimated step by step without a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from effwidgets.errors import TransformError
from effwidgets.records import Cost, Group, Handed, LayerProfile, Plan, Profile, Seam, Step
from effwidgets.transforms.base import TRANSFORMS

__all__ = ["Foreseen", "Foresees", "change_between", "estimate_plan", "foresee"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What a step changes in a profile.

    Attributes:
        layers: by the name of a layer that there is: what stands there afterwards, with its own costs. The first has
            the name itself; others lie below it (``fc``, ``fc.0``, ``fc.1``) and take the place of those that did.
        groups: the groups afterwards; None where they are as they were.
        seams: the seams afterwards; None where they are as they were.
        handed: who hands what to whom afterwards; None where it is as it was.
        gone: names of layers that stand nowhere any more, beside those whose place others take.
    """

    layers: Mapping[str, tuple[LayerProfile, ...]] = field(default_factory=dict)
    groups: tuple[Group, ...] | None = None
    seams: tuple[Seam, ...] | None = None
    handed: tuple[Handed, ...] | None = None
    gone: frozenset[str] = frozenset()


@runtime_checkable
class Foresees(Protocol):
    """A transformation that tells what the profile will be, so that a plan of several steps can be estimated."""

    def foresee(self, profile: Profile, step: Step) -> Foreseen:
        """Return what ``step`` changes in ``profile``: exact in the fields that the transformation promises."""
        ...


def change_between(profile: Profile, foreseen: Foreseen) -> Cost:
    """Return the change of the whole cost, after minus before."""
    total = Cost()
    for name, made in foreseen.layers.items():
        for layer in made:
            total += layer.self_cost
        for layer in _standing(profile, name, made):
            total -= layer.self_cost
    for layer in profile.layers:
        if layer.name in foreseen.gone:
            total -= layer.self_cost
    return total


def foresee(profile: Profile, step: Step) -> Profile:
    """Return the profile that the model will have after ``step``. Memory peaks and latency are not foreseen.

    Raises:
        TransformError: the step cannot be done, or its transformation does not foresee.
        UnknownNameError: no such transformation or layer.
    """
    transform = TRANSFORMS[step.transform]
    if not isinstance(transform, Foresees):
        raise TransformError(
            f"{step}: {step.transform} does not tell what the profile will be after it, so a plan cannot go on from "
            "there without a profile. Profile the edited model: preview(model, plan, inputs)."
        )
    found = transform.foresee(profile, step)
    layers = tuple(_summed(tuple(_laid(profile, found))))
    change = change_between(profile, found)
    groups = profile.groups if found.groups is None else found.groups
    seams = profile.seams if found.seams is None else found.seams
    handed = profile.handed if found.handed is None else found.handed
    return replace(profile, layers=layers, groups=groups, seams=seams, handed=handed, cost=profile.cost + change)


def estimate_plan(profile: Profile, plan: Plan) -> Cost:
    """Return the change that all steps of ``plan`` make together: later steps meet what earlier ones left.

    Neighbouring prunings multiply: half the outputs of one layer and half the inputs of it leave a quarter.

    Raises:
        TransformError: a step cannot be done, or one that is not the last does not foresee.
        UnknownNameError: no such transformation or layer.

    >>> import torch
    >>> from effwidgets import profile, settings
    >>> model = torch.nn.Sequential(*(torch.nn.Linear(8, 8, bias=False) for _ in range(3)))
    >>> steps = [
    ...     Step(transform="channel_prune", layers=(name,), settings=settings(channels=4, criterion="l2"))
    ...     for name in ("0", "1")
    ... ]
    >>> estimate_plan(profile(model, torch.ones(1, 8)), Plan(steps=tuple(steps))).params
    -112
    """
    total = Cost()
    for number, step in enumerate(plan.steps):
        total += TRANSFORMS[step.transform].estimate(profile, step)
        if number + 1 < len(plan):
            profile = foresee(profile, step)
    return total


def _standing(profile: Profile, name: str, made: tuple[LayerProfile, ...]) -> Iterator[LayerProfile]:
    # What the new layers stand for: the layer itself and, where others are put below it, all that stood below it.
    below = len(made) > 1
    for layer in profile.layers:
        if layer.name == name or (below and layer.name.startswith(f"{name}.")):
            yield layer


def _laid(profile: Profile, found: Foreseen) -> Iterator[LayerProfile]:
    gone = {layer.name for name, made in found.layers.items() for layer in _standing(profile, name, made)} | found.gone
    for layer in profile.layers:
        if layer.name in found.layers:
            yield from found.layers[layer.name]
        elif layer.name not in gone:
            yield layer


def _summed(layers: tuple[LayerProfile, ...]) -> Iterator[LayerProfile]:
    # The cost of a layer is its own and that of all below it.
    whole: dict[str, Cost] = {layer.name: layer.self_cost for layer in layers}
    for layer in reversed(layers):
        if layer.name:
            parent = layer.name.rpartition(".")[0]
            if parent in whole:
                whole[parent] += whole[layer.name]
    for layer in layers:
        cost = whole[layer.name]
        yield layer if layer.cost == cost else replace(layer, cost=cost)
