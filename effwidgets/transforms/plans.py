"""What is asked of a plan: names that there are, an order that can be followed, and words for what cannot be done."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from effwidgets.errors import EffError, InputError, TransformError, UnknownNameError
from effwidgets.profiling.profile import ProfileOptions
from effwidgets.records import Edit, Plan, Profile, Skip, Step
from effwidgets.transforms.base import TRANSFORMS, Transform
from effwidgets.transforms.describe import asked_for, reads_of
from effwidgets.transforms.places import meet, places_of, touched_by
from effwidgets.transforms.surgery import layer_names

__all__ = ["check_order", "check_plan", "options_for", "skip_of"]


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
            # What an earlier step puts in has names below the one it was asked for; "" is the model itself.
            if layer and layer not in names and not any(_below(layer, earlier) for earlier in made):
                raise UnknownNameError(f"layer of {type(model).__name__}", layer, names)
        made.extend(step.layers)


def _below(layer: str, earlier: str) -> bool:
    return not earlier or layer.startswith(f"{earlier}.")


def options_for(plan: Plan) -> ProfileOptions:
    """Return how a model is profiled for ``plan``: with a second opinion where channels are removed by groups.

    What stands between modules is always asked for: what edits do to it is foreseen.
    """
    groups = any("groups" in reads_of(TRANSFORMS[step.transform]) for step in plan)
    return ProfileOptions(groups=groups, seams=True, second_opinion=groups)


def check_order(step: Step, transform: Transform, profile: Profile, edits: Sequence[Edit]) -> None:
    """Refuse a change of shapes where an earlier step has changed how the same weights are kept.

    Structure comes before format: splitting a weight that was masked would fill its zeros again without a word.

    Raises:
        TransformError: such a step is among ``edits``.
    """
    if transform.phase != "structure":
        return
    places = places_of(step, asked_for(step, profile) if "groups" in reads_of(transform) else None)
    for edit in edits:
        if TRANSFORMS[edit.step.transform].phase == "format" and meet(places, touched_by(edit)):
            raise TransformError(
                f"{step}: {edit.step} comes before it and has changed how the same weights are kept. Steps that change "
                "shapes come first: put it before that one in the plan."
            )


def skip_of(step: Step, error: Exception, edits: Sequence[Edit]) -> Skip:
    """Return why a step was left out after ``edits``, which may have taken away what it names."""
    text = str(error) if isinstance(error, EffError) else f"{step}: {type(error).__name__}: {error}"
    if any(TRANSFORMS[edit.step.transform].phase == "format" and str(edit.step) in text for edit in edits):
        return Skip(transform=step.transform, layers=step.layers, reason=text)
    for edit in edits:
        stands = [piece.layer for piece in edit.after]
        gone = [piece.layer for piece in edit.before if piece.layer not in stands and piece.layer in step.layers]
        if gone:
            text = (
                f"{step}: {gone[0]} was replaced by an earlier step of this plan, {edit.step}; {', '.join(stands)} "
                "stand there now. Leave one of the two steps out, or name one of these."
            )
    return Skip(transform=step.transform, layers=step.layers, reason=text)
