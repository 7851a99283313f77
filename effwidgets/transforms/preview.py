"""`preview`: what a plan would change, before anything is built."""

from __future__ import annotations

import dataclasses

from torch import nn

from effwidgets.profiling.calls import Inputs
from effwidgets.profiling.profile import profile
from effwidgets.profiling.shadow import check_module
from effwidgets.records import Comparison, Plan, Profile
from effwidgets.transforms.apply import LEFT_OUT, check_plan, hypothetical, options_for
from effwidgets.whatif.comparison import compare

__all__ = ["preview"]


def preview(model: nn.Module, plan: Plan, inputs: Inputs, *, known: Profile | None = None) -> Comparison:
    """Compare ``model`` with what ``plan`` would make of it; shapes only, no weight is copied or computed.

    The numbers are those of ``compare(profile(model, inputs), apply(model, plan, inputs).profile)``, to the integer. A
    step that cannot be done is left out, and a warning says so; one that `apply` would undo because it breaks the model
    is not noticed, for nothing is run with real numbers.

    Args:
        model: what the plan is for; it is not changed.
        plan: the steps, in order.
        inputs: what the model is called with.
        known: the profile of ``model`` with ``inputs``, where it is at hand; for a plan that removes channels with
            groups and `ProfileOptions.second_opinion`, as `apply` asks.

    Raises:
        UnknownNameError: the plan names a transformation or a layer that there is not.
        ModelError: the forward fails, as it is or after the edits.

    >>> from torch import ones
    >>> from effwidgets.records import Step, settings
    >>> step = Step(transform="low_rank", layers=("0",), settings=settings(rank=2))
    >>> preview(nn.Sequential(nn.Linear(16, 16)), Plan(steps=(step,)), ones(1, 16)).layer("0").change.macs
    -192
    """
    check_module(model)
    check_plan(model, plan)
    before = known or profile(model, inputs, options=options_for(plan))
    after = hypothetical(model, plan, inputs, known=before)
    found = compare(before, after)
    undone = [note for note in after.notes if note.startswith(LEFT_OUT)]
    others = tuple(note for note in found.notes if not any(note.endswith(left) for left in undone))
    hint = "Nothing of this was built: apply(model, plan, inputs) does it."
    return dataclasses.replace(found, warnings=(*undone, *found.warnings), notes=(*others, hint))
