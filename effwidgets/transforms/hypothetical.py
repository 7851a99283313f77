"""`hypothetical`: the profile of what a plan would make, on a shadow, before anything is built."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import nn

from effwidgets.errors import Cancelled, EffError
from effwidgets.profiling.calls import Inputs, as_call
from effwidgets.profiling.failures import is_empty, real_stand_in
from effwidgets.profiling.profile import ProfileOptions, parameters_only, profile, profile_shadow
from effwidgets.profiling.shadow import check_module, make_shadow, share
from effwidgets.records import Edit, Plan, Profile
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.describe import Description, reads_of
from effwidgets.transforms.plans import check_order, check_plan, options_for, skip_of

__all__ = ["LEFT_OUT", "hypothetical"]

LEFT_OUT = "Left out: "
"""How a note of `hypothetical` begins that tells of a step which could not be done, and why."""


def hypothetical(
    model: nn.Module, plan: Plan, inputs: Inputs, *, known: Profile | None = None, backward: bool = True
) -> Profile:
    """Profile what ``plan`` would make of ``model``, without building it: shapes only, nothing allocated, no groups.

    A step that cannot be done is left out, and a note says so. What only a run can tell, such as a parent that reads
    the weight of a replaced layer, fails here with the forward.

    Args:
        model: what the plan is for.
        plan: the steps, in order.
        inputs: what the model is called with.
        known: the profile of ``model`` with ``inputs``, with groups, where it is at hand.
        backward: also run a backward, for its MACs and the training peak; half of the time.

    Raises:
        UnknownNameError: the plan names a transformation or a layer that there is not.
        ModelError: the forward fails, as it is or after the edits.
    """
    check_module(model)
    check_plan(model, plan)
    call, options = as_call(inputs), options_for(plan)
    last = ProfileOptions(groups=False, backward=backward)
    shadow = make_shadow(model)

    def look(now: nn.Module, how: ProfileOptions = options) -> Profile:
        return profile_shadow(dataclasses.replace(shadow, model=now), call, how)

    try:
        work, notes = _laid_out(shadow.model, plan, look, known)
        found = look(work, last)
    except EffError as error:
        if isinstance(error, Cancelled) or error.__cause__ is None or is_empty(model, call):
            raise
        # The forward asks for the values of activations, so it is built after all, and run as `profile` runs it.
        with real_stand_in(model, call) as (copied, _):
            work, notes = _laid_out(copied, plan, lambda now: profile(now, call, options=options), known, fill=True)
            found = profile(work, call, options=last)
    return dataclasses.replace(found, notes=(*found.notes, *notes))


def _laid_out(
    work: nn.Module, plan: Plan, look: Callable[[nn.Module], Profile], known: Profile | None, *, fill: bool = False
) -> tuple[nn.Module, list[str]]:
    # The edited model, and what was left out; with fill, with the values that `apply` would give it.
    if known is None:
        reads = any(reads_of(TRANSFORMS[step.transform]) for step in plan)
        known = look(work) if reads else parameters_only(work)
    description = Description(known, look)
    edits: list[Edit] = []
    notes: list[str] = []
    for step in plan:
        transform, snapshot = TRANSFORMS[step.transform], share(work)
        try:
            read = description.before(step, transform, work)
            check_order(step, transform, read, edits)
            edit = transform.rewrite(work, step, read)
            if fill:
                transform.fit(work, snapshot, edit, None)
        except Exception as error:  # noqa: BLE001  a plug-in's code ran
            work = snapshot
            notes.append(f"{LEFT_OUT}{skip_of(step, error, edits).reason}")
        else:
            edits.append(edit)
            description.edited(edit)
    return work, notes
