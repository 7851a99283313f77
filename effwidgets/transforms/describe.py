"""Which profile describes the model that the next step meets: foreseen where arithmetic tells, else made anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn

from effwidgets.errors import EffError
from effwidgets.records import Edit, Group, Profile, Step
from effwidgets.transforms.base import TRANSFORMS, Transform
from effwidgets.transforms.foresee import Foresees, foresee
from effwidgets.transforms.places import Place, touched_by

__all__ = ["Description", "reads_of"]

_EVERYTHING = frozenset({"layers", "groups"})


def reads_of(transform: Transform) -> frozenset[str]:
    """Return what of the profile `Transform.rewrite` reads; everything for one that does not say."""
    reads = getattr(transform, "reads", _EVERYTHING)
    return frozenset(reads)


class Description:
    """The profile of a model that is edited step by step.

    Profiling takes longer than most edits, and most edits leave true what the next step reads: factoring one layer
    says nothing about the channels of others. Where they do not, what the steps since then change is worked out by
    arithmetic (`foresee`), and the model is profiled only where that cannot be.

    Args:
        profile: the model before the first step; None to make it when it is asked for.
        refresh: makes a profile of the model as it is; None where there is no model, only arithmetic.
    """

    def __init__(self, profile: Profile | None, refresh: Callable[[nn.Module], Profile] | None) -> None:
        self._profile = profile
        self._refresh = refresh
        self._pending: tuple[Step, ...] = ()
        self._touched: frozenset[Place] = frozenset()

    def copy(self) -> Description:
        """Return one that stands where this one does, to go back to."""
        twin = Description(self._profile, self._refresh)
        twin._pending, twin._touched = self._pending, self._touched
        return twin

    def before(self, step: Step, transform: Transform, model: nn.Module) -> Profile:
        """Return a profile that is true of ``model`` in everything that ``step`` reads."""
        found = self.told(step, transform)
        if found is None:
            assert self._refresh is not None, "nobody asks for a model where there is none"  # noqa: S101  our own
            found = self._now(self._refresh(model))
        return found

    def told(self, step: Step, transform: Transform) -> Profile | None:
        """Return the same without a look at the model; None where only that could tell."""
        if self._profile is None:
            return None
        if not self._stale(step, transform, self._profile):
            return self._profile
        found = self._profile
        for done in self._pending:
            try:
                found = foresee(found, done)
            except EffError:
                if self._refresh or not isinstance(TRANSFORMS[done.transform], Foresees):
                    return None
                # Only planned, and arithmetic tells that it cannot be done: it will be left out.
        if self._refresh and "groups" in reads_of(transform) and not _whole(asked_for(step, found), found):
            return None
        return self._now(found)

    def note(self, step: Step, touched: Iterable[Place]) -> None:
        """Remember what a step changed."""
        self._pending = (*self._pending, step)
        self._touched |= frozenset(touched)

    def edited(self, edit: Edit) -> None:
        """Remember what an edit changed."""
        self.note(edit.step, touched_by(edit))

    def _now(self, profile: Profile) -> Profile:
        self._profile, self._pending, self._touched = profile, (), frozenset()
        return profile

    def _stale(self, step: Step, transform: Transform, profile: Profile) -> bool:
        reads = reads_of(transform)
        if not reads or not self._touched:
            return False
        group = asked_for(step, profile)
        if "layers" in reads or group is None:
            return True
        return any((member.layer, member.side) in self._touched for member in group.members)


def asked_for(step: Step, profile: Profile) -> Group | None:
    """Return the group of channels that ``step`` names."""
    return next((group for group in profile.groups if group.name in step.layers), None)


def _whole(group: Group | None, profile: Profile) -> bool:
    # A transformation that does not look after the groups leaves members in them that are gone.
    names = {path for layer in profile.layers for path in (layer.name, *layer.aliases)}
    return group is None or all(member.layer in names for member in group.members)
