"""Look at a model after edits: does it still run, and does it do what they say?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from effwidgets.errors import EffError, ModelError, VerifyError
from effwidgets.profiling.calls import Call, tensors_in
from effwidgets.records import Edit, Piece
from effwidgets.transforms.base import Transform
from effwidgets.transforms.gradients import learners, unreached
from effwidgets.transforms.sound import check_answers, check_real, what_failed
from effwidgets.transforms.trial import answer, stand_in
from effwidgets.units import shape_text

__all__ = [
    "Done",
    "Reference",
    "compare_together",
    "look_at",
    "reference_of",
    "sound_reference",
    "still_learns",
    "tolerance",
    "verify",
    "verify_together",
]

# Relative, on the norm of an output. Ten thousand roundings of float32: a deep network adds up a few hundred of them,
# and the least wrongness worth catching, one of a thousand channels, is 30 times larger.
_TOLERANCES = {torch.float64: 1e-8, torch.float32: 1e-3}
_COARSE = 5e-2  # half precision: 6 roundings of bfloat16
_SHOWN = 3  # names in a message

Done = tuple[Transform, Edit]
"""A transformation and what it did."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """What a model answers.

    Attributes:
        answers: its tensors, in order.
        coarsest: the tolerance of the coarsest dtype in it: autocast rounds inside.
        notes: what was found beside that, in sentences.
    """

    answers: list[Tensor]
    coarsest: float
    notes: tuple[str, ...] = ()


def tolerance(dtype: torch.dtype) -> float:
    """Return how far, relative to its norm, an output may be from that of an equal model."""
    return _TOLERANCES.get(dtype, _COARSE)


def verify(transform: Transform, edit: Edit, model: nn.Module, *, original: nn.Module, call: Call) -> None:
    """Check ``model``, which is ``original`` after ``edit``; see `verify_together`.

    Raises:
        VerifyError: what is wrong, and where.
    """
    verify_together([(transform, edit)], model, original=original, call=call, before=look_at(original, call))


def verify_together(
    done: Sequence[Done], model: nn.Module, *, original: nn.Module, call: Call, before: Reference
) -> Reference:
    """Check ``model``, which is ``original`` after edits that have nothing in common.

    What `compare_together` does, and gradients reach what they reached before and the new parameters.

    Args:
        done: the transformations and what they did.
        model: after them.
        original: before them.
        call: what both are called with.
        before: what ``original`` answers.

    Returns:
        what ``model`` answers; with a note where a transformation for inference cut gradients off.

    Raises:
        VerifyError: what is wrong, and where.
    """
    found = compare_together(done, model, original=original, call=call, before=before)
    return replace(found, notes=_gradients(done, model, original, call))


def compare_together(
    done: Sequence[Done], model: nn.Module, *, original: nn.Module, call: Call, before: Reference
) -> Reference:
    """Check the answers of ``model``, which is ``original`` after edits that have nothing in common; see above.

    In evaluation mode, on stand-ins: the new parameters are finite, ties hold, the forward runs, the answers have
    the same kinds and shapes and no new infinities, and they equal those of the witness, ``original`` as all
    transformations change it for comparison.

    Raises:
        VerifyError: what is wrong, and where.
    """
    where = _where(done)
    held = dict(model.named_modules(remove_duplicate=False))
    for _, edit in done:
        _finite_parameters(edit, held)
    _ties(model, original, where)
    try:
        after = look_at(model, call)
    except Exception as error:
        raise VerifyError(f"{where}: the forward fails afterwards: {what_failed(error)}.") from error
    _same_kind(after.answers, before.answers, where)
    right = _witnessed(done, model, original, call)
    allowed = max(before.coarsest, after.coarsest, *(getattr(transform, "tolerance", 0.0) for transform, _ in done))
    _same_values((after.answers, right, before.answers), allowed, where)
    return after


def still_learns(model: nn.Module, original: nn.Module, call: Call) -> bool:
    """Say whether gradients reach all of ``model`` but what they did not reach in ``original`` either.

    One look for any number of edits. Where it says no, `verify_together` tells after each edit which one it was, and
    whether it is a fault.
    """
    lost = unreached(model, call)
    if not lost:
        return True
    never = {id(parameter) for parameter in unreached(original, call).values()}
    return all(id(parameter) in never for parameter in lost.values())


def reference_of(original: nn.Module, call: Call) -> tuple[list[Tensor], float]:
    """Return what ``original`` answers, and the tolerance of the coarsest dtype in it: autocast rounds inside."""
    found = look_at(original, call)
    return found.answers, found.coarsest


def look_at(model: nn.Module, call: Call) -> Reference:
    """Return what ``model`` answers, on a stand-in."""
    twin = stand_in(model)
    dtypes: set[torch.dtype] = set()

    def look(_module: nn.Module, _inputs: object, output: object) -> None:
        dtypes.update(tensor.dtype for tensor in tensors_in(output) if tensor.is_floating_point())

    for module in twin.modules():
        module.register_forward_hook(look)
    answers = list(tensors_in(answer(twin, call)))
    return Reference(answers=answers, coarsest=max(map(tolerance, dtypes), default=0.0))


def sound_reference(model: nn.Module, call: Call) -> Reference:
    """Return what the model answers before any edit.

    Raises:
        InputError: model or inputs have no numbers, or there is nothing in the batch.
        ModelError: the forward fails, or answers with nothing but infinities and NaN; the message names the layer.
    """
    check_real(model, call)
    try:
        found = look_at(model, call)
    except EffError:
        raise
    except Exception as error:  # the model's own forward
        check_answers(model, call)  # says where
        raise ModelError(f"The forward of the {type(model).__name__} fails: {what_failed(error)}.") from error
    floats = [tensor for tensor in found.answers if tensor.is_floating_point()]
    if floats and not any(bool(torch.isfinite(tensor).any()) for tensor in floats):
        check_answers(model, call)
    return found


def _held(pieces: Sequence[Piece], held: dict[str, nn.Module]) -> Iterator[tuple[str, nn.Parameter]]:
    for piece in pieces:
        if piece.layer in held:
            for name, parameter in held[piece.layer].named_parameters(recurse=False):
                yield f"{piece.layer}.{name}" if piece.layer else name, parameter


def _finite_parameters(edit: Edit, held: dict[str, nn.Module]) -> None:
    for name, parameter in _held(edit.after, held):
        if not bool(torch.isfinite(parameter.detach()).all()):
            raise VerifyError(f"{edit.step}: {name} has entries that are infinite or not a number.")


def _ties(model: nn.Module, original: nn.Module, where: str) -> None:
    held: dict[int, list[str]] = {}
    for name, parameter in original.named_parameters(remove_duplicate=False):
        held.setdefault(id(parameter), []).append(name)
    now = dict(model.named_parameters(remove_duplicate=False))
    for names in held.values():
        left = [name for name in names if name in now]
        if len({id(now[name]) for name in left}) > 1:
            raise VerifyError(f"{where}: {' and '.join(left)} shared one parameter and no longer do.")


def _same_kind(after: list[Tensor], before: list[Tensor], where: str) -> None:
    if len(after) != len(before):
        raise VerifyError(f"{where}: the model answers {len(after)} tensors; {len(before)} before.")
    for new, old in zip(after, before, strict=True):
        if new.shape != old.shape or new.dtype != old.dtype:
            raise VerifyError(
                f"{where}: an output is {shape_text(tuple(new.shape))} {new.dtype}; "
                f"{shape_text(tuple(old.shape))} {old.dtype} before."
            )
        if new.is_floating_point() and bool((torch.isfinite(old) & ~torch.isfinite(new)).any()):
            raise VerifyError(f"{where}: the outputs have new entries that are infinite or not a number.")


def _witnessed(done: Sequence[Done], model: nn.Module, original: nn.Module, call: Call) -> list[Tensor]:
    # What the model should answer, from the one before the edits.
    witness = stand_in(original)
    with torch.no_grad():
        for transform, edit in done:
            transform.witness(witness, edit, model)
    return list(tensors_in(answer(witness, call)))


def _same_values(answers: tuple[list[Tensor], list[Tensor], list[Tensor]], allowed: float, where: str) -> None:
    for new, right, old in zip(*answers, strict=True):
        if not new.is_floating_point():
            continue  # an index may flip where two values are a rounding apart
        scale = max(_size(right), _size(old))
        off = _size(new.double().nan_to_num() - right.double().nan_to_num())
        if off > max(allowed, tolerance(new.dtype)) * scale:
            raise VerifyError(
                f"{where}: the outputs are {off / scale:.2g} (relative) from those that the edit should give. "
                "Something else than the edited layers reads their weights or mixes their channels."
            )


def _size(tensor: Tensor) -> float:
    return float(tensor.double().nan_to_num().norm())


def _gradients(done: Sequence[Done], model: nn.Module, original: nn.Module, call: Call) -> tuple[str, ...]:
    lost = unreached(model, call)
    if not lost:
        return ()
    old = learners(original).values()
    never = {id(parameter) for parameter in unreached(original, call).values()}  # these need none afterwards
    reached = {id(parameter) for parameter in old} - never
    gone = {id(parameter) for parameter in lost.values()}
    held, before = (dict(net.named_modules(remove_duplicate=False)) for net in (model, original))
    trained = [edit for transform, edit in done if not getattr(transform, "inference_only", False)]
    for edit in trained:
        new = {name for name, parameter in _held(edit.after, held) if id(parameter) in gone}
        parents = [parameter for _, parameter in _held(edit.before, before) if parameter.requires_grad]
        if new and parents and all(id(parameter) in reached for parameter in parents):
            raise VerifyError(f"{edit.step}: no gradient reaches {_named(new)}; it could not be trained.")
    cut = {name for name, parameter in lost.items() if id(parameter) in reached}
    if not cut:
        return ()
    if len(trained) == len(done):
        raise VerifyError(f"{_where(done)}: no gradient reaches {_named(cut)} any more; it could not be trained.")
    steps = {str(edit.step) for transform, edit in done if getattr(transform, "inference_only", False)}
    return (f"No gradient reaches {_named(cut)} any more, because of {_named(steps)}: train before that step.",)


def _where(done: Sequence[Done]) -> str:
    return str(done[0][1].step) if len(done) == 1 else f"{len(done)} steps together"


def _named(names: set[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(sorted(names)[:_SHOWN]) + more
