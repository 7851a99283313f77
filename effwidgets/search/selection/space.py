"""What a sampler draws from: a number for each place, 0 to leave it as it is, then from weak to strong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from effwidgets.errors import EffError, InputError, UnknownNameError
from effwidgets.records import Knob, Option, Plan, Profile, Site, Step, settings
from effwidgets.search.selection.closing import closed, opened
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.foresee import foresee

__all__ = ["Space", "rescaled"]

_CUTS, _FACTORS, _DROPS = "prune", "factorize", "drop"
_PHASES = ("structure", "format", "schedule")


@dataclass(frozen=True, slots=True)
class _Slot:
    # A place with what can be done there, from weak to strong.
    name: str
    unit: frozenset[str]
    cuts: bool
    factors: bool
    formats: bool
    drops: bool
    steps: tuple[Step, ...]

    def meets(self, other: _Slot) -> bool:
        """Whether a plan can have a step of each: what shares a layer cannot, but for channels and one factorization.

        Prunings of several groups go together too, and pruning and how the numbers that stay are kept.
        """
        if not self.unit & other.unit or (self.cuts and other.cuts):
            return True
        if (self.cuts and other.drops) or (other.cuts and self.drops):
            # A stream may be narrower and have fewer blocks; channels inside of a block go with it.
            return not self.unit <= other.unit and not other.unit <= self.unit
        return (self.cuts and (other.factors or other.formats)) or (other.cuts and (self.factors or self.formats))


class Space:
    """Every plan that can be put together from ``options``, as whole numbers by name.

    A name stands for a group of channels, or for the layers that other techniques would change there: a layer is
    factored by one of them. Blocks left out come first in a plan, then pruning; a factorization of a layer that was cut
    keeps the share of the largest rank that pays, of what is left. Of two choices that cannot stand together (a block
    replaced as a whole and one of its layers factored) the one that changes more layers holds.

    Args:
        options: steps at one place each, as `seeds` or `sensitivity` give them; of each, several settings.
        profile: of the dense model, with its groups.
        closing: fold at the end of each plan all norms that can be (`closed`).

    Example:
        >>> import torch
        >>> from effwidgets import Call, profile
        >>> from effwidgets.search.selection.seeds import seeds
        >>> model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8))
        >>> space = Space(seeds(model, Call((torch.eye(64),)), most=4).options, profile(model, torch.eye(64)))
        >>> dense = dict.fromkeys(space.names, 0)
        >>> len(space.plan(dense)), space.params(space.plan({**dense, space.names[0]: 1}))[space.names[0]]
        (0, 1)
    """

    def __init__(self, options: Iterable[Option], profile: Profile, *, closing: bool = False) -> None:
        self._profile = profile
        self._closing = closing
        self._order = {layer.name: place for place, layer in enumerate(profile.layers)}
        slots = sorted(_slots(options), key=lambda slot: (not slot.cuts, -len(slot.unit), self._place(slot)))
        self._slots = {slot.name: slot for slot in slots}
        self._choice = {step: (slot.name, 1 + k) for slot in slots for k, step in enumerate(slot.steps)}

    @property
    def names(self) -> tuple[str, ...]:
        """One for each place: the technique or its family, and the layers."""
        return tuple(self._slots)

    def choices(self, name: str) -> int:
        """Return how many numbers there are for ``name``: from 0, which leaves it as it is, from weak to strong.

        Raises:
            UnknownNameError: no such place.
        """
        if name not in self._slots:
            raise UnknownNameError("place of the space", name, self._slots)
        return 1 + len(self._slots[name].steps)

    def steps(self, name: str) -> tuple[Step, ...]:
        """Return what the numbers from 1 on stand for, in the dense model.

        Raises:
            UnknownNameError: no such place.
        """
        self.choices(name)
        return self._slots[name].steps

    def settled(self, params: Mapping[str, int]) -> dict[str, int]:
        """Return the numbers with 0 for what cannot stand beside a choice that comes before it, or is missing."""
        kept = {slot.name: place for slot, _, place in self._held(params)}
        return {name: kept.get(name, 0) for name in self._slots}

    def plan(self, params: Mapping[str, int]) -> Plan:
        """Return the plan for these numbers; a name that is missing is left as it is.

        Raises:
            UnknownNameError: a name that there is not.
            InputError: a number that there is not.
        """
        plan = self._laid(params)
        return closed(self._profile, plan) if self._closing else plan

    def params(self, plan: Plan) -> dict[str, int] | None:
        """Return the numbers of a plan, so that `plan` gives it back; None where there are none."""
        params = dict.fromkeys(self._slots, 0)
        plan = opened(plan) if self._closing else plan
        shaped = tuple(step for step in plan if TRANSFORMS[step.transform].family in (_DROPS, _CUTS))
        for step in plan:
            # Behind prunings a rank may be what another choice is without them.
            found = self._before(step, shaped) or self._choice.get(step)
            if found is None or params[found[0]]:
                return None
            params[found[0]] = found[1]
        return params if set(self._laid(params).steps) == set(plan.steps) else None

    def _laid(self, params: Mapping[str, int]) -> Plan:
        held = self._held(params)
        dropped = tuple(step for slot, step, _ in held if slot.drops)
        shaped = (*dropped, *(step for slot, step, _ in held if slot.cuts))
        others = self._fitted(shaped, [(slot, step) for slot, step, _ in held if not (slot.drops or slot.cuts)])
        return Plan(steps=(*shaped, *sorted(others, key=self._turn)))

    def _held(self, params: Mapping[str, int]) -> list[tuple[_Slot, Step, int]]:
        held: list[tuple[_Slot, Step, int]] = []
        for name in params:
            self.choices(name)
        for name, slot in self._slots.items():
            choice = params.get(name, 0)
            if not 0 <= choice <= len(slot.steps):
                raise InputError(f"{name} is {choice}; a whole number from 0 to {len(slot.steps)} was expected.")
            if choice and all(slot.meets(other) for other, _, _ in held):
                held.append((slot, slot.steps[choice - 1], choice))
        return held

    def _before(self, step: Step, shaped: tuple[Step, ...]) -> tuple[str, int] | None:
        # The choice that, behind these drops and prunings, becomes ``step``.
        for slot in self._slots.values():
            if slot.factors and any(
                other.transform == step.transform and other.layers == step.layers for other in slot.steps
            ):
                for place, other in enumerate(slot.steps):
                    if [step] == self._fitted(shaped, [(slot, other)]):
                        return slot.name, 1 + place
        return None

    def _fitted(self, shaped: tuple[Step, ...], others: list[tuple[_Slot, Step]]) -> list[Step]:
        held = [slot for slot in self._slots.values() if slot.cuts and set(shaped) & set(slot.steps)]
        cut = {name for slot in held for name in slot.unit}
        if not any(slot.unit & cut for slot, _ in others):
            return [step for _, step in others]
        after = self._profile
        try:
            for step in shaped:
                after = foresee(after, step)
        except EffError:  # one that does not foresee: ranks stay as they are
            return [step for _, step in others]
        fitted = (rescaled(step, self._profile, after) if slot.unit & cut else step for slot, step in others)
        return [step for step in fitted if step is not None]

    def _turn(self, step: Step) -> tuple[int, int]:
        # Shapes before formats before schedules, each in the order of the forward.
        phase = _PHASES.index(TRANSFORMS[step.transform].phase)
        return phase, self._order.get(step.layers[0], 0) if step.layers else 0

    def _place(self, slot: _Slot) -> int:
        return min((self._order.get(name, 0) for name in slot.unit), default=0)


def _slots(options: Iterable[Option]) -> Iterator[_Slot]:
    held: dict[tuple[bool, tuple[str, ...]], list[Option]] = {}
    for option in options:
        cuts = option.family == _CUTS
        held.setdefault((cuts, option.step.layers), []).append(option)
    for (cuts, layers), found in held.items():
        ranked = sorted(found, key=lambda option: (-option.change.macs, -option.change.params, option.saving))
        kinds = dict.fromkeys(option.step.transform for option in ranked)
        yield _Slot(
            name=f"{'/'.join(kinds)} {', '.join(layers)}".strip(),
            unit=frozenset(layers).union(*(option.unit for option in found)),
            cuts=cuts,
            factors=all(option.family == _FACTORS for option in found),
            drops=any(option.family == _DROPS for option in found),
            formats=all(TRANSFORMS[option.step.transform].phase == "format" for option in found),
            steps=tuple(dict.fromkeys(option.step for option in ranked)),
        )


def rescaled(step: Step, before: Profile, after: Profile) -> Step | None:
    """Return a step found in one profile as it would be in another: numbers keep their share of the largest that pays.

    None where its technique does not apply there any more.
    """
    one, two = _site(step, before), _site(step, after)
    if one is None or two is None:
        return None
    knobs = {knob.name: knob for knob in two.knobs}
    values = dict(step.settings)
    for knob in one.knobs:
        value = values.get(knob.name)
        if knob.kind == "int" and isinstance(value, int) and knob.name in knobs:
            values[knob.name] = _share(value / max(1.0, _top(knob)), knobs[knob.name])
    return Step(transform=step.transform, layers=step.layers, settings=settings(values))


def _site(step: Step, profile: Profile) -> Site | None:
    found = TRANSFORMS[step.transform].sites(profile)
    return next((site for site in found if isinstance(site, Site) and site.layers == step.layers), None)


def _top(knob: Knob) -> float:
    top = knob.break_even if knob.break_even is not None else knob.high
    return (knob.low or 1.0) if top is None else top


def _share(share: float, knob: Knob) -> int:
    value = round(share * _top(knob) / knob.multiple) * knob.multiple
    return int(min(max(value, knob.low or knob.multiple), knob.high if knob.high is not None else value))
