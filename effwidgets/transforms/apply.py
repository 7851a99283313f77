"""Do what a plan says, on a copy: each edit is checked, and undone when it broke the model."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Collection

import torch
from torch import nn

from effwidgets.errors import UnknownNameError
from effwidgets.profiling.calls import Inputs, as_call
from effwidgets.profiling.failures import real_copy
from effwidgets.profiling.profile import ProfileOptions, profile
from effwidgets.profiling.shadow import check_module
from effwidgets.records import Plan, Profile
from effwidgets.transforms.applied import Applied, History, notes_of, optimizer_note, parameters_changed
from effwidgets.transforms.asking import asking
from effwidgets.transforms.calibration import calibration_of
from effwidgets.transforms.describe import Description
from effwidgets.transforms.factorize.whitening import fitted_layers, prepared
from effwidgets.transforms.hypothetical import LEFT_OUT, hypothetical
from effwidgets.transforms.plans import check_plan, options_for
from effwidgets.transforms.recipes.architecture import architecture_of
from effwidgets.transforms.sound import check_calibration
from effwidgets.transforms.verify import Reference, sound_reference
from effwidgets.transforms.work import Work

__all__ = ["LEFT_OUT", "Applied", "apply", "check_plan", "hypothetical", "options_for", "private_copy"]

_NOTHING = Reference(answers=[], coarsest=0.0)


def apply(  # noqa: PLR0913  the verb of the package: each has a plain meaning, all but three a default
    model: nn.Module,
    plan: Plan,
    inputs: Inputs,
    *,
    calibration: object = None,
    repair: bool | Collection[str] = True,
    check: Callable[[], None] | None = None,
    known: Profile | None = None,
) -> Applied:
    """Carry out ``plan`` on a copy of ``model``.

    A step that cannot be done, or after which the model does not do what the step says, is undone and stands in
    `Applied.skipped`; the others are done. ``model`` is never changed. `undo` takes steps back.

    Args:
        model: what to edit.
        plan: the steps, in order.
        inputs: what the model is called with, to profile it and to check each step.
        calibration: batches of real inputs (see `calibration_of`): each edit's error is measured on the first one,
            repair works with all.
        repair: bring the model back afterwards, without labels, where there are calibration data: True for what helps
            after each edit (its transformation's ``repairs``), False for nothing, or names: "least_squares", "bias",
            "batch_norm". It comes after the steps that change shapes, before those that change how numbers are kept,
            and at the end.
        check: called between the steps; what it raises ends the work.
        known: the profile of ``model`` with ``inputs``, with groups, where it is at hand.

    Raises:
        UnknownNameError: the plan names a transformation or a layer that there is not; nothing was done yet.
        InputError: not a module, not a plan, inputs or calibration data of an unknown kind.
        ModelError: the forward of ``model`` itself fails, with the inputs or with the calibration data.
    """
    # With least squares and all of that: much of what an import of the package would take.
    from effwidgets.transforms.repair.stages import Stages

    started = time.perf_counter()
    check_module(model)
    check_plan(model, plan)
    techniques = _asked(repair)
    call = as_call(inputs)
    data = calibration_of(calibration, like=call)
    reference = sound_reference(model, call) if len(plan) else _NOTHING
    if data is not None and len(plan):
        check_calibration(model, data, call)
    options = options_for(plan)
    before = known or profile(model, call, options=options)
    description = Description(before, lambda now: profile(now, call, options=options))
    work = Work(private_copy(model), call, data, description, reference)
    first = dict(work.model.named_parameters())
    stages = Stages(original=model, data=data, steps=techniques, check=check)
    with torch.inference_mode(mode=False):  # what is made inside of that mode could not be trained
        with asking(check), prepared(model, fitted_layers(plan), data):
            work.carry_out(plan, before, check or _never, mend=lambda: stages.mend(work.model, work.edits))
        if check:
            check()
        stages.mend(work.model, work.edits)
    after = profile(work.model, call, options=ProfileOptions(groups=False, origin=before.origin))
    new, gone = parameters_changed(first, work.model)
    return Applied(
        model=work.model,
        plan=plan,
        before=before,
        profile=after,
        edits=work.edits,
        skipped=work.skipped,
        seconds=time.perf_counter() - started,
        notes=notes_of(work.edits, work.notes, optimizer_note(new, gone), stages.repaired),
        new_parameters=new,
        gone_parameters=gone,
        repaired=stages.repaired,
        described=tuple(made.read for made in work.made.values()),
        dense=architecture_of(model),
        history=History(
            call=call, calibration=data, taken=tuple(made.taken for made in work.made.values()), first=first
        ),
    )


def _asked(repair: bool | Collection[str]) -> tuple[str, ...] | None:  # noqa: FBT001  what a caller of `apply` wrote
    # None: what each transformation asks for.
    if isinstance(repair, bool):
        return None if repair else ()
    from effwidgets.transforms.repair.units import STEPS

    names = (repair,) if isinstance(repair, str) else tuple(repair)
    for name in names:
        if name not in STEPS:
            raise UnknownNameError("kind of repair", name, STEPS)
    return names


def private_copy(model: nn.Module) -> nn.Module:
    """Return a deep copy of ``model`` without gradients.

    Raises:
        InputError: it holds something that cannot be copied; the message names the attribute.
    """
    with torch.inference_mode(mode=False):
        try:
            work = copy.deepcopy(model)
        except Exception:  # noqa: BLE001  also of an activation that the model keeps, with its history; ours copies that
            work = real_copy(model)
    for parameter in work.parameters():
        parameter.grad = None
    return work


def _never() -> None:
    """Stop nothing."""
