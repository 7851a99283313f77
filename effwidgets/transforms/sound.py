"""Whether a model can be run and answers with numbers: asked once, before anything is tried on it."""

from __future__ import annotations

import re

import torch
from torch import nn

from effwidgets.errors import EffError, InputError, ModelError
from effwidgets.profiling.calls import Call, shapes_of, tensors_in
from effwidgets.profiling.failures import is_empty, model_error
from effwidgets.profiling.memory import Ledger
from effwidgets.profiling.recorder import Recorder
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.trial import answer, stand_in
from effwidgets.units import shape_text

__all__ = ["check_answers", "check_calibration", "check_real", "what_failed"]


def check_real(model: nn.Module, call: Call) -> None:
    """Raise an `InputError` when the model or its inputs have shapes and no numbers."""
    if is_empty(model, call):
        held = [*model.named_parameters(), *model.named_buffers()]
        where = next((f"its {name} stands" for name, tensor in held if tensor.is_meta), "its inputs stand")
        raise InputError(
            f"The {type(model).__name__} has no numbers to work with: {where} on the meta device. It can be profiled "
            "as it is; to change it, make the model and its inputs on a real device."
        )


def check_answers(model: nn.Module, call: Call, what: str = "these inputs") -> None:
    """Run ``model`` once, on a stand-in, and see that there is something to compare later answers with.

    Args:
        model: not changed.
        call: what it is called with.
        what: how a message names the call.

    Raises:
        InputError: model or inputs have no numbers, or there is nothing in the batch.
        ModelError: the forward fails, or answers with nothing but infinities and NaN; the message names the layer.
    """
    check_real(model, call)
    twin = stand_in(model)
    recorder = Recorder(twin)
    try:
        with recorder.watching(Ledger()):
            found = [tensor for tensor in tensors_in(answer(twin, call)) if tensor.is_floating_point()]
    except EffError:
        raise
    except Exception as error:  # the model's own forward
        failure = model_error(recorder, call, error)
        raise ModelError(f"With {what}: {failure}" if what != "these inputs" else str(failure)) from error
    if found and not any(tensor.numel() for tensor in found):
        raise InputError(
            f"With {what} the {type(model).__name__} answers with empty tensors, so no change of it could be measured. "
            "Give a batch of at least one."
        )
    if found and not any(bool(torch.isfinite(tensor).any()) for tensor in found):
        raise ModelError(
            f"With {what} the {type(model).__name__} answers with nothing but infinities and NaN, so no change of it "
            f"could be measured; they begin in {_first_odd(model, call)}. Look for NaN in its weights and the inputs."
        )


def check_calibration(model: nn.Module, calibration: Calibration, call: Call) -> None:
    """Run ``model`` once, on a stand-in, with the first calibration batch.

    Args:
        model: not changed.
        calibration: what is looked at.
        call: what the model is called with else; a message names its shapes.

    Raises:
        InputError: model or data have no numbers, or there is nothing in the batch.
        ModelError: the forward fails with these data, or answers with nothing but infinities and NaN.
    """
    try:
        check_answers(model, calibration.batches[0], "their first batch")
    except (InputError, ModelError) as error:
        shapes = ", ".join(map(shape_text, shapes_of(call))) or "no tensors"
        raise type(error)(
            f"The calibration data do not fit the model. {error} Its inputs here are {shapes}: give batches of the "
            "same kind, with another batch size if you like."
        ) from error


def what_failed(error: BaseException) -> str:
    """Say in a line what a changed model or a plug-in raised.

    >>> what_failed(AttributeError("'Sequential' object has no attribute 'weight'"))
    "something else than the layer reads its 'weight', so it must stay one layer"
    """
    text = str(error).strip()
    read = re.fullmatch(r"'Sequential' object has no attribute '(\w+)'.*", text, re.DOTALL)
    if isinstance(error, AttributeError) and read:
        return f"something else than the layer reads its {read[1]!r}, so it must stay one layer"
    first = text.partition("\n")[0][:300] or "no message"
    return text or "no message" if isinstance(error, EffError) else f"{type(error).__name__}: {first}"


def _first_odd(model: nn.Module, call: Call) -> str:
    # The first module to return that has such an entry in what it returns: the innermost one.
    if any(not bool(torch.isfinite(tensor).all()) for tensor in tensors_in(call) if tensor.is_floating_point()):
        return "the inputs"
    twin = stand_in(model)
    odd: list[str] = []

    def look(name: str, output: object) -> None:
        floats = [tensor for tensor in tensors_in(output) if tensor.is_floating_point()]
        if not all(bool(torch.isfinite(tensor).all()) for tensor in floats):
            odd.append(name)

    for name, module in twin.named_modules():
        module.register_forward_hook(lambda _module, _inputs, output, name=name: look(name, output))
    answer(twin, call)
    return f"layer {odd[0]!r}" if odd and odd[0] else "its own forward"
