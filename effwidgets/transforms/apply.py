"""Do what a plan says, on a copy: step by step, each one checked, and undone when it broke the model."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from effwidgets.errors import Cancelled, EffError, InputError, UnknownNameError
from effwidgets.profiling.calls import Call, Inputs, as_call
from effwidgets.profiling.failures import is_empty, real_copy, real_stand_in
from effwidgets.profiling.profile import ProfileOptions, parameters_only, profile, profile_shadow
from effwidgets.profiling.shadow import check_module, make_shadow, share
from effwidgets.records import Edit, Plan, Profile, Skip, Step
from effwidgets.transforms.architecture import Line, architecture_of
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.calibration import Calibration, calibration_of
from effwidgets.transforms.describe import Description, reads_of
from effwidgets.transforms.repair import reestimate_batch_norm
from effwidgets.transforms.sound import check_answers, check_calibration
from effwidgets.transforms.surgery import layer_names
from effwidgets.transforms.trial import answers_of, apart
from effwidgets.transforms.verify import verify

__all__ = ["LEFT_OUT", "Applied", "apply", "check_plan", "hypothetical", "options_for", "private_copy"]

LEFT_OUT = "Left out: "
"""How a note of `hypothetical` begins that tells of a step which could not be done, and why."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Applied:
    """An edited copy of a model and what was done to it.

    Attributes:
        model: the edited copy.
        plan: what was asked for.
        before: the model that was handed in.
        profile: the edited copy; its groups are not looked for.
        edits: what was done, in order.
        skipped: steps that failed or broke the model and were undone, each with the reason.
        seconds: how long it took.
        notes: what a reader must know beside that, in sentences.
        described: for each edit, the profile that its rewrite read; None where it reads none.
        dense: the architecture that was handed in, for a recipe.
    """

    model: nn.Module
    plan: Plan
    before: Profile
    profile: Profile
    edits: tuple[Edit, ...]
    skipped: tuple[Skip, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    described: tuple[Profile | None, ...] = ()
    dense: tuple[Line, ...] = ()

    def __repr__(self) -> str:
        undone = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"Applied({self.profile.model}: {len(self.edits)} edits{undone}, {self.profile.cost!r})"


def apply(  # noqa: PLR0913  the verb of the package: each has a plain meaning, all but three a default
    model: nn.Module,
    plan: Plan,
    inputs: Inputs,
    *,
    calibration: object = None,
    repair: bool = True,
    check: Callable[[], None] | None = None,
    known: Profile | None = None,
) -> Applied:
    """Carry out ``plan`` on a copy of ``model``.

    A step that cannot be done, or after which the model does not do what the step says, is undone and stands in
    `Applied.skipped`; the others are done. ``model`` is never changed.

    Args:
        model: what to edit.
        plan: the steps, in order.
        inputs: what the model is called with, to profile it and to check each step.
        calibration: batches of real inputs (see `calibration_of`): each edit's error is measured on the first one,
            batch-norm statistics are estimated again on all.
        repair: estimate batch-norm statistics again where there are calibration data.
        check: called between the steps; what it raises ends the work.
        known: the profile of ``model`` with ``inputs``, with groups, where it is at hand.

    Raises:
        UnknownNameError: the plan names a transformation or a layer that there is not; nothing was done yet.
        InputError: not a module, not a plan, inputs or calibration data of an unknown kind.
        ModelError: the forward of ``model`` itself fails, with the inputs or with the calibration data.
    """
    started = time.perf_counter()
    check_module(model)
    check_plan(model, plan)
    call, data = as_call(inputs), calibration_of(calibration)
    options = options_for(plan)
    if known is None and len(plan):
        check_answers(model, call)
    if data is not None and len(plan):
        check_calibration(model, data, call)
    before = known or profile(model, call, options=options)
    description = Description(before, lambda now: profile(now, call, options=options))
    work = _Work(private_copy(model), call, data)
    with torch.inference_mode(mode=False):  # what is made inside of that mode could not be trained
        for step in plan:
            if check:
                check()
            work.do(step, description)
        if check:
            check()
        note = reestimate_batch_norm(work.model, model, data) if repair and data and work.edits else ""
    after = profile(work.model, call, options=ProfileOptions(groups=False, origin=before.origin))
    return Applied(
        model=work.model,
        plan=plan,
        before=before,
        profile=after,
        edits=tuple(work.edits),
        skipped=tuple(work.skipped),
        seconds=time.perf_counter() - started,
        notes=(note,) if note else (),
        described=tuple(work.described),
        dense=architecture_of(model),
    )


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
            edit = transform.rewrite(work, step, description.before(step, transform, work))
            if fill:
                transform.fit(work, snapshot, edit, None)
        except Exception as error:  # noqa: BLE001  a plug-in's code ran
            work = snapshot
            notes.append(f"{LEFT_OUT}{_skip(step, error, edits).reason}")
        else:
            edits.append(edit)
            description.note(edit)
    return work, notes


class _Work:
    # The copy and what was done to it so far.

    def __init__(self, model: nn.Module, call: Call, calibration: Calibration | None) -> None:
        self.model = model
        self.edits: list[Edit] = []
        self.skipped: list[Skip] = []
        self.described: list[Profile | None] = []
        self._call = call
        self._calibration = calibration

    def do(self, step: Step, description: Description) -> None:
        transform, snapshot = TRANSFORMS[step.transform], share(self.model)
        try:
            read = description.before(step, transform, self.model)
            edit = transform.rewrite(self.model, step, read)
            edit = transform.fit(self.model, snapshot, edit, self._calibration)
            verify(transform, edit, self.model, original=snapshot, call=self._call)
            edit = self._measured(edit, snapshot)
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001  a plug-in's code and the model's own forward ran
            self.model = snapshot
            self.skipped.append(_skip(step, error, self.edits))
        else:
            description.note(edit)
            self.edits.append(edit)
            self.described.append(read if reads_of(transform) else None)

    def _measured(self, edit: Edit, snapshot: nn.Module) -> Edit:
        if self._calibration is None:
            return edit
        layers, batch = frozenset(piece.layer for piece in edit.before), self._calibration.batches[0]
        error = apart(answers_of(self.model, batch, layers), answers_of(snapshot, batch, layers))
        return dataclasses.replace(edit, error=error if error is not None and math.isfinite(error) else None)


def _skip(step: Step, error: Exception, edits: Sequence[Edit]) -> Skip:
    text = str(error) if isinstance(error, EffError) else f"{step}: {type(error).__name__}: {error}"
    for edit in edits:
        stands = [piece.layer for piece in edit.after]
        gone = [piece.layer for piece in edit.before if piece.layer not in stands and piece.layer in step.layers]
        if gone:
            text = (
                f"{step}: {gone[0]} was replaced by an earlier step of this plan, {edit.step}; {', '.join(stands)} "
                "stand there now. Leave one of the two steps out, or name one of these."
            )
    return Skip(transform=step.transform, layers=step.layers, reason=text)


def check_plan(model: nn.Module, plan: object) -> None:
    """Look up every name in a plan.

    Raises:
        InputError: not a plan.
        UnknownNameError: a transformation or a layer that there is not.
    """
    if not isinstance(plan, Plan):
        message = f"The plan is {type(plan).__name__}; a Plan was expected: Plan(steps=(Step(...), ...))."
        raise InputError(message)
    names = layer_names(model)
    made: list[str] = []
    for step in plan:
        TRANSFORMS[step.transform]
        for layer in step.layers:
            # What an earlier step puts in has names below the one it was asked for.
            if layer not in names and not any(layer.startswith(f"{earlier}.") for earlier in made):
                raise UnknownNameError(f"layer of {type(model).__name__}", layer, names)
        made.extend(step.layers)


def options_for(plan: Plan) -> ProfileOptions:
    """Return how a model is profiled for ``plan``: with a second opinion where channels are removed by groups."""
    groups = any("groups" in reads_of(TRANSFORMS[step.transform]) for step in plan)
    return ProfileOptions(groups=groups, second_opinion=groups)


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
