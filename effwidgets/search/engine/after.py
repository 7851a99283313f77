"""What of a plan is done when the training is over: formats that it would undo, norms that would steady it no more."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from effwidgets.records import Plan
from effwidgets.transforms.apply import apply
from effwidgets.transforms.base import TRANSFORMS

if TYPE_CHECKING:
    from effwidgets.profiling.calls import Call
    from effwidgets.transforms.applied import Applied
    from effwidgets.transforms.calibration import Calibration

__all__ = ["finished", "parted"]

_FOR_TRAINING: Final = "recompute"
"""Family of what serves the training itself: checkpoints and reversible blocks."""


def parted(plan: Plan) -> tuple[Plan, Plan]:
    """Return the steps to train through, and those that follow the training.

    What changes shapes is trained, and what serves the training. Number formats, folded norms and compiled modules that
    come behind the last of these follow: rounding would be trained away or cut gradients off, zeros would fill again,
    and a norm that is folded steadies no training.

    >>> from effwidgets.records import Step
    >>> steps = [Step(transform=name, layers=("0",)) for name in ("channel_prune", "bf16", "fuse")]
    >>> [len(part) for part in parted(Plan(steps=tuple(steps)))]
    [1, 2]
    """
    steps = plan.steps
    end = next((place for place in range(len(steps), 0, -1) if _trained(steps[place - 1].transform)), 0)
    return Plan(steps=steps[:end]), Plan(steps=steps[end:])


def finished(
    applied: Applied, rest: Plan, call: Call, *, calibration: Calibration | None, check: Callable[[], None]
) -> Applied:
    """Return the trained model of ``applied`` after the steps of ``rest`` too, and the account of both.

    It is changed no more by training, so each step is fitted to, and repaired towards, the trained model.
    """
    if not len(rest):
        return applied
    last = apply(applied.model, rest, call, calibration=calibration, check=check)
    last.model.eval()
    return dataclasses.replace(
        applied,
        model=last.model,
        plan=applied.plan + rest,
        profile=dataclasses.replace(last.profile, origin=applied.profile.origin),
        edits=(*applied.edits, *last.edits),
        skipped=(*applied.skipped, *last.skipped),
        seconds=applied.seconds + last.seconds,
        notes=(*applied.notes, *last.notes),
        new_parameters=tuple(dict.fromkeys((*_still(applied, last), *last.new_parameters))),
        gone_parameters=tuple(dict.fromkeys((*applied.gone_parameters, *_lost(applied, last)))),
        repaired=applied.repaired or last.repaired,
        described=(*applied.described, *last.described),
        history=None,
    )


def _trained(transform: str) -> bool:
    found = TRANSFORMS[transform]
    return found.phase == "structure" or found.family == _FOR_TRAINING


def _still(applied: Applied, last: Applied) -> tuple[str, ...]:
    return tuple(name for name in applied.new_parameters if name not in last.gone_parameters)


def _lost(applied: Applied, last: Applied) -> tuple[str, ...]:
    # What the first part made itself is not the caller's to miss.
    return tuple(name for name in last.gone_parameters if name not in applied.new_parameters)
