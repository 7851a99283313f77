"""Repair in stages: after the steps that change shapes, before those that change how numbers are kept, and at the end.

What was rounded, masked or folded cannot be fitted any more, so that has to happen before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from effwidgets.records import Edit, Repaired
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.repair.units import STEPS
from effwidgets.transforms.repair.whole import repair

__all__ = ["Stages"]


@dataclass(slots=True, kw_only=True, eq=False)
class Stages:
    """Repairs a model again and again while a plan is carried out on it; each edit is repaired after once.

    Attributes:
        original: what the model was before all edits; not changed.
        data: what values are fitted to; without them nothing is done.
        steps: which kinds of repair; those that each edit asks for unless given.
        check: called between the layers; what it raises ends the work.
        repaired: what was done so far, all together; None where there was nothing to do.
    """

    original: nn.Module
    data: Calibration | None
    steps: Collection[str] | None = None
    check: Callable[[], None] | None = None
    repaired: Repaired | None = field(default=None, init=False)
    _done: int = field(default=0, init=False)

    def mend(self, model: nn.Module, edits: Sequence[Edit]) -> None:
        """Repair ``model``, in place, after those of ``edits``, all that were done so far, that are new."""
        if self.data is None or len(edits) == self._done or (self.steps is not None and not self.steps):
            return
        found = repair(model, self.original, edits, self.data, steps=self.steps, check=self.check, since=self._done)
        self._done = len(edits)
        self.repaired = found if self.repaired is None else _together(self.repaired, found)


def _together(one: Repaired, other: Repaired) -> Repaired:
    # What the steps between the stages cost lies between the errors of the two; their notes name all four.
    return replace(
        one,
        steps=tuple(step for step in STEPS if step in one.steps or step in other.steps),
        error_before=other.error_before if one.error_before is None else one.error_before,
        error_after=one.error_after if other.error_after is None else other.error_after,
        seconds=one.seconds + other.seconds,
        notes=(*one.notes, *other.notes),
        refits=(*one.refits, *other.refits),
    )
