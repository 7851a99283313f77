"""Look at a model after an edit: does it still run, and does it do what the edit says?"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from effwidgets.errors import VerifyError
from effwidgets.profiling.calls import Call, tensors_in
from effwidgets.records import Edit
from effwidgets.transforms.base import Transform
from effwidgets.transforms.sound import what_failed
from effwidgets.transforms.surgery import find_layer, layer_names
from effwidgets.transforms.trial import answer, stand_in
from effwidgets.units import shape_text

__all__ = ["reference_of", "tolerance", "verify"]

# Relative, on the norm of an output. Ten thousand roundings of float32: a deep network adds up a few hundred of them,
# and the least wrongness worth catching, one of a thousand channels, is 30 times larger.
_TOLERANCES = {torch.float64: 1e-8, torch.float32: 1e-3}
_COARSE = 5e-2  # half precision: 6 roundings of bfloat16


def tolerance(dtype: torch.dtype) -> float:
    """Return how far, relative to its norm, an output may be from that of an equal model."""
    return _TOLERANCES.get(dtype, _COARSE)


def verify(transform: Transform, edit: Edit, model: nn.Module, *, original: nn.Module, call: Call) -> None:
    """Check ``model``, which is ``original`` after ``edit``.

    In evaluation mode, on stand-ins: the new parameters are finite, ties hold, the forward runs, the answers have
    the same kinds and shapes and no new infinities, a gradient reaches the new parameters, and the answers equal those
    of the transformation's witness.

    Raises:
        VerifyError: what is wrong, and where.
    """
    where = str(edit.step)
    _finite_parameters(edit, model, where)
    _ties(model, original, where)
    before, coarsest = reference_of(original, call)
    try:
        after = list(tensors_in(answer(stand_in(model), call)))
    except Exception as error:
        raise VerifyError(f"{where}: the forward fails afterwards: {what_failed(error)}.") from error
    _same_kind(after, before, where)
    _same_values((after, _witnessed(transform, edit, model, original, call), before), coarsest, where)
    _gradients(edit, model, original, call)


def reference_of(original: nn.Module, call: Call) -> tuple[list[Tensor], float]:
    """Return what ``original`` answers, and the tolerance of the coarsest dtype in it: autocast rounds inside."""
    twin = stand_in(original)
    found: list[float] = []

    def look(_module: nn.Module, _inputs: object, output: object) -> None:
        found.extend(tolerance(tensor.dtype) for tensor in tensors_in(output) if tensor.is_floating_point())

    for module in twin.modules():
        module.register_forward_hook(look)
    answers = list(tensors_in(answer(twin, call)))
    return answers, max(found, default=0.0)


def _new(edit: Edit, model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    names = set(layer_names(model))
    for piece in edit.after:
        if piece.layer in names:
            for name, parameter in find_layer(model, piece.layer).named_parameters(recurse=False):
                yield f"{piece.layer}.{name}", parameter


def _finite_parameters(edit: Edit, model: nn.Module, where: str) -> None:
    for name, parameter in _new(edit, model):
        if not bool(torch.isfinite(parameter.detach()).all()):
            raise VerifyError(f"{where}: {name} has entries that are infinite or not a number.")


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


def _witnessed(transform: Transform, edit: Edit, model: nn.Module, original: nn.Module, call: Call) -> list[Tensor]:
    # What the model should answer, from the one before the edit.
    witness = stand_in(original)
    with torch.no_grad():
        transform.witness(witness, edit, model)
    return list(tensors_in(answer(witness, call)))


def _same_values(answers: tuple[list[Tensor], list[Tensor], list[Tensor]], coarsest: float, where: str) -> None:
    for new, right, old in zip(*answers, strict=True):
        if not new.is_floating_point():
            continue  # an index may flip where two values are a rounding apart
        scale = max(_size(right), _size(old))
        off = _size(new.double().nan_to_num() - right.double().nan_to_num())
        if off > max(coarsest, tolerance(new.dtype)) * scale:
            raise VerifyError(
                f"{where}: the outputs are {off / scale:.2g} (relative) from those that the edit should give. "
                "Something else than the edited layers reads their weights or mixes their channels."
            )


def _size(tensor: Tensor) -> float:
    return float(tensor.double().nan_to_num().norm())


def _gradients(edit: Edit, model: nn.Module, original: nn.Module, call: Call) -> None:
    new = {name: parameter for name, parameter in _new(edit, model) if parameter.requires_grad}
    if not new or not _unreached(model, new, call):
        return
    old = {
        name: parameter
        for piece in edit.before
        for name, parameter in find_layer(original, piece.layer).named_parameters(piece.layer, recurse=False)
        if parameter.requires_grad
    }
    if old and not _unreached(original, old, call):
        missing = ", ".join(sorted(_unreached(model, new, call))[:3])
        raise VerifyError(f"{edit.step}: no gradient reaches {missing}; it could not be trained.")


def _unreached(model: nn.Module, parameters: dict[str, nn.Parameter], call: Call) -> set[str]:
    # Which of the parameters no output depends on. Their .grad is not touched.
    output = answer(stand_in(model), call, gradients=True)
    ends = [tensor for tensor in tensors_in(output) if tensor.requires_grad]
    if not ends:
        return set(parameters)
    with torch.inference_mode(mode=False), torch.enable_grad():  # whatever the caller is inside of
        total = torch.stack([tensor.double().nan_to_num().sum() for tensor in ends if not tensor.is_complex()]).sum()
        found = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
    return {name for name, gradient in zip(parameters, found, strict=True) if gradient is None}
