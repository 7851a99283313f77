"""`undo`: take steps of an `Applied` back.

An edit replaces tensors and never writes into old ones, so `apply` keeps what each edit took out instead of freeing it
(see `taken`): to undo is to put these very tensors back, which is exact, where a step done backwards or a plan carried
out anew would only be near. What stands elsewhere stays to the bit, with what repair and training made of it. Only
steps that were done later on the same layers are done again, because they began from what is taken back.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from effwidgets.errors import InputError, TransformError, UnknownNameError
from effwidgets.profiling.profile import ProfileOptions, profile
from effwidgets.records import Edit, Plan, Step
from effwidgets.transforms.applied import Applied, History, notes_of, optimizer_note, parameters_changed
from effwidgets.transforms.describe import Description
from effwidgets.transforms.places import meet, touched_by
from effwidgets.transforms.plans import options_for
from effwidgets.transforms.sound import what_failed
from effwidgets.transforms.taken import Copies, copies_of, put_back
from effwidgets.transforms.verify import look_at
from effwidgets.transforms.work import Made, Work

__all__ = ["undo"]


def undo(applied: Applied, step: Step | int | None = None, *, last: int = 1) -> Applied:
    """Return ``applied`` without a step, or without the last ones; ``applied`` and its model stay as they are.

    The layers of the step are what they were before it, to the bit; all others are as they are now: fine-tuned weights
    and what repair has changed are kept. Later steps on the same layers are done again from what stands there then;
    they are checked as `apply` checks, and one that cannot be done any more stands in ``skipped``.

    Args:
        applied: what `apply` returned.
        step: which one: a step of ``applied.edits``, or its number there; None for the last ones.
        last: how many of the last edits, where no step is named.

    Raises:
        InputError: not what `apply` returned, or fewer edits than ``last``.
        UnknownNameError: no such step was done.
        TransformError: ``applied`` does not hold any more what its edits replaced, or the model does not run after it.

    >>> from torch import nn, ones
    >>> from effwidgets import Plan, Step, apply, settings
    >>> steps = tuple(Step(transform="low_rank", layers=(name,), settings=settings(rank=2)) for name in "01")
    >>> applied = apply(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), Plan(steps=steps), ones(1, 8))
    >>> undo(applied, steps[0]).model
    Sequential(
      (0): Linear(in_features=8, out_features=8, bias=True)
      (1): Sequential(
        (0): Linear(in_features=8, out_features=2, bias=False)
        (1): Linear(in_features=2, out_features=8, bias=True)
      )
    )
    """
    started = time.perf_counter()
    history, gone = _history(applied), _gone(applied, step, last)
    again = _again(applied.edits, gone)
    left = [number for number in range(len(applied.edits)) if number not in gone | again]
    copies = copies_of(
        applied.model,
        tuple(history.taken[number] for number in sorted(gone | again, reverse=True)),
        tuple(history.taken[number] for number in left),
    )
    work = _done_again(copies, applied, sorted(again))
    parts = {
        number: Made(edit=applied.edits[number], read=applied.described[number], taken=taken)
        for number, taken in zip(left, copies.kept, strict=True)
    }
    parts |= {sorted(again)[number]: made for number, made in work.made.items()}
    made = [parts[number] for number in sorted(parts)]
    first = {name: copies.memo.get(id(parameter), parameter) for name, parameter in history.first.items()}
    new, lost = parameters_changed(first, work.model)
    edits = tuple(one.edit for one in made)
    return replace(
        applied,
        model=work.model,
        plan=_shorter(applied, gone),
        profile=profile(work.model, history.call, options=ProfileOptions(groups=False, origin=applied.profile.origin)),
        edits=edits,
        skipped=(*applied.skipped, *work.skipped),
        seconds=time.perf_counter() - started,
        notes=notes_of(edits, (*_said(applied, gone, again), *work.notes), optimizer_note(new, lost), None),
        new_parameters=new,
        gone_parameters=lost,
        described=tuple(one.read for one in made),
        history=replace(history, taken=tuple(one.taken for one in made), first=first),
    )


def _history(applied: Applied) -> History:
    if not isinstance(applied, Applied):
        raise InputError(f"{type(applied).__name__} came; what apply() returned was expected: undo(apply(...)).")
    if applied.history is None:
        raise TransformError(
            "This Applied does not hold any more what its edits replaced. Apply the shorter plan to the model that you "
            "began with: apply(model, plan, inputs)."
        )
    return applied.history


def _gone(applied: Applied, step: Step | int | None, last: int) -> set[int]:
    count, steps = len(applied.edits), [edit.step for edit in applied.edits]
    if step is None:
        if not isinstance(last, int) or isinstance(last, bool) or not 1 <= last <= count:
            raise InputError(
                f"last is {last!r}; a whole number from 1 to {count}, the edits that there are, was expected."
            )
        return set(range(count - last, count))
    known = [f"{number}: {done}" for number, done in enumerate(steps)]
    if isinstance(step, Step) and step in steps:
        return {len(steps) - 1 - steps[::-1].index(step)}
    if isinstance(step, int) and not isinstance(step, bool) and -count <= step < count:
        return {step % count}
    raise UnknownNameError("edit", step, known)


def _again(edits: Sequence[Edit], gone: set[int]) -> set[int]:
    # Later edits on the same layers, and those that are later on the layers of these.
    again: set[int] = set()
    for number, edit in enumerate(edits):
        before = [touched_by(edits[other]) for other in gone | again if other < number]
        if number not in gone and any(meet(touched_by(edit), places) for places in before):
            again.add(number)
    return again


def _done_again(copies: Copies, applied: Applied, again: Sequence[int]) -> Work:
    history = _history(applied)
    call, plan = history.call, Plan(steps=tuple(applied.edits[number].step for number in again))
    model = copies.model
    with torch.inference_mode(mode=False):
        try:
            for taken in copies.restored:
                model = put_back(model, taken)
            reference = look_at(model, call)
        except Exception as error:  # the edited model may have been changed by hand since
            raise TransformError(f"The model does not run without these steps: {what_failed(error)}.") from error
        options = options_for(plan)
        known = profile(model, call, options=options)
        description = Description(known, lambda now: profile(now, call, options=options))
        work = Work(model, call, history.calibration, description, reference)
        work.carry_out(plan, known, lambda: None)
    return work


def _shorter(applied: Applied, gone: set[int]) -> Plan:
    steps = list(applied.plan.steps)
    for number in gone:
        if applied.edits[number].step in steps:
            steps.remove(applied.edits[number].step)
    return Plan(steps=tuple(steps))


def _said(applied: Applied, gone: set[int], again: set[int]) -> list[str]:
    said = [f"Taken back: {'; '.join(str(applied.edits[number].step) for number in sorted(gone))}."]
    if again:
        steps = "; ".join(str(applied.edits[number].step) for number in sorted(again))
        said.append(f"Done again from what stands there now, without repair: {steps}.")
    if applied.repaired is not None:
        said.append(
            "What repair changed in other layers stands as it was; apply the shorter plan to have it made anew."
        )
    return said
