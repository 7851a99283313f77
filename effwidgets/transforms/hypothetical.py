"""`hypothetical`: the profile of what a plan would make, on a shadow, before anything is built; `Drafts`: of many."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import Tensor, nn

from effwidgets.errors import Cancelled, EffError
from effwidgets.profiling.calls import Call, Inputs, as_call
from effwidgets.profiling.failures import is_empty, real_stand_in
from effwidgets.profiling.profile import ProfileOptions, parameters_only, profile, profile_shadow
from effwidgets.profiling.shadow import Shadow, check_module, copy_tree, make_shadow, share
from effwidgets.records import Edit, Plan, Profile
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.describe import Description, reads_of
from effwidgets.transforms.plans import check_order, check_plan, options_for, skip_of

__all__ = ["LEFT_OUT", "Drafts", "hypothetical"]

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
    return Drafts(model, inputs, known=known).profile(plan, backward=backward)


class Drafts:
    """`hypothetical` for several plans of one model: its shadow is made once.

    The model must stay as it is meanwhile.

    Args:
        model: what the plans are for.
        inputs: what it is called with.
        known: its profile with them, with groups, where it is at hand.

    >>> import torch
    >>> from effwidgets.records import Step, settings
    >>> drafts = Drafts(nn.Sequential(nn.Linear(64, 64)), torch.ones(1, 64))
    >>> steps = [Step(transform="low_rank", layers=("0",), settings=settings(rank=rank)) for rank in (4, 8)]
    >>> [drafts.profile(Plan(steps=(step,))).cost.macs for step in steps]
    [512, 1024]
    """

    def __init__(self, model: nn.Module, inputs: Inputs, *, known: Profile | None = None) -> None:
        check_module(model)
        self._model, self._call, self._known = model, as_call(inputs), known
        self._shadow: Shadow | None = None
        self._writes: list[tuple[Tensor, int]] = []  # into each of its tensors, when it was made

    def profile(self, plan: Plan, *, backward: bool = True) -> Profile:
        """Return the profile of what ``plan`` would make; raises what `hypothetical` raises."""
        model, call, known = self._model, self._call, self._known
        check_plan(model, plan)
        options, last = options_for(plan), ProfileOptions(groups=False, backward=backward)
        shadow = self._shadow or make_shadow(model)
        if self._shadow is None:
            self._writes = _writes(shadow.model)
        self._shadow = None  # until it is known that nothing was written into it

        def look(now: nn.Module, how: ProfileOptions = options) -> Profile:
            return profile_shadow(dataclasses.replace(shadow, model=now), call, how)

        try:
            work, notes = _laid_out(shadow.model, plan, look, known)
            found = look(work, last)
        except EffError as error:
            if isinstance(error, Cancelled) or error.__cause__ is None or is_empty(model, call):
                raise
            found, notes = _built(model, call, plan, known, last)
        else:
            if all(_written(tensor) == writes for tensor, writes in self._writes):
                self._shadow = shadow
        return dataclasses.replace(found, notes=(*found.notes, *notes))


def _writes(model: nn.Module) -> list[tuple[Tensor, int]]:
    # Each tensor that a copy shares with the model, plain attributes too, and how often it was written into.
    found: list[tuple[Tensor, int]] = []

    def note(tensor: Tensor) -> Tensor:
        found.append((tensor, _written(tensor)))
        return tensor

    copy_tree(model, note)
    return found


def _written(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version  # noqa: SLF001  it has no other name


def _built(
    model: nn.Module, call: Call, plan: Plan, known: Profile | None, last: ProfileOptions
) -> tuple[Profile, list[str]]:
    # The forward asks for the values of activations, so it is built after all, and run as `profile` runs it.
    options = options_for(plan)
    with real_stand_in(model, call) as (copied, _):
        work, notes = _laid_out(copied, plan, lambda now: profile(now, call, options=options), known, fill=True)
        return profile(work, call, options=last), notes


def _laid_out(
    held: nn.Module, plan: Plan, look: Callable[[nn.Module], Profile], known: Profile | None, *, fill: bool = False
) -> tuple[nn.Module, list[str]]:
    # A copy of the model, edited, and what was left out; with fill, with the values that `apply` would give it.
    work = share(held)
    if known is None:
        reads = any(reads_of(TRANSFORMS[step.transform]) for step in plan)
        known = look(work) if reads else parameters_only(work)
    description = Description(known, look)
    edits: list[Edit] = []
    notes: list[str] = []
    for number, step in enumerate(plan):
        transform = TRANSFORMS[step.transform]
        try:
            read = description.before(step, transform, work)
            check_order(step, transform, read, edits)
            edit = transform.rewrite(work, step, read)
            if fill:
                transform.fit(work, held, edit, None)
        except Exception as error:  # noqa: BLE001  a plug-in's code ran
            work = share(held)
            notes.append(f"{LEFT_OUT}{skip_of(step, error, edits).reason}")
        else:
            edits.append(edit)
            description.edited(edit)
            if number + 1 < len(plan):
                held = share(work)
    return work, notes
