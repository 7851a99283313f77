"""Which profile describes the model that the next step meets; a new one is made only when the step needs it."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from effwidgets.records import Edit, Profile, Step
from effwidgets.transforms.base import Transform

__all__ = ["Description", "reads_of"]

_EVERYTHING = frozenset({"layers", "groups"})


def reads_of(transform: Transform) -> frozenset[str]:
    """Return what of the profile `Transform.rewrite` reads; everything for one that does not say."""
    reads = getattr(transform, "reads", _EVERYTHING)
    return frozenset(reads)


class Description:
    """The profile of a model that is edited step by step.

    Profiling takes longer than most edits, and most edits leave true what the next step reads: factoring one layer
    says nothing about the channels of others.

    Args:
        profile: the model before the first step; None to make it when it is asked for.
        refresh: makes a profile of the model as it is.
    """

    def __init__(self, profile: Profile | None, refresh: Callable[[nn.Module], Profile]) -> None:
        self._profile = profile
        self._refresh = refresh
        self._touched: set[tuple[str, str]] = set()

    def before(self, step: Step, transform: Transform, model: nn.Module) -> Profile:
        """Return a profile that is true of ``model`` in everything that ``step`` reads."""
        if self._profile is None or self._stale(step, transform, self._profile):
            self._profile = self._refresh(model)
            self._touched.clear()
        return self._profile

    def note(self, edit: Edit) -> None:
        """Remember what an edit changed."""
        self._touched |= {(kept.layer, kept.side) for kept in edit.kept}
        if not edit.kept:
            self._touched |= {(piece.layer, side) for piece in edit.before for side in ("out", "in")}

    def _stale(self, step: Step, transform: Transform, profile: Profile) -> bool:
        reads = reads_of(transform)
        if not reads or not self._touched:
            return False
        group = next((group for group in profile.groups if group.name in step.layers), None)
        if "layers" in reads or group is None:
            return True
        return any((member.layer, member.side) in self._touched for member in group.members)
