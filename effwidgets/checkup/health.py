"""`health`: one real batch through a private copy, forward and back, and what it says about training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes

from effwidgets.checkup.activity import ActivityWatch
from effwidgets.checkup.findings import Pulse, findings_of
from effwidgets.checkup.losses import Loss, loss_of
from effwidgets.checkup.norms import nonfinite, norm, square
from effwidgets.errors import EffError, InputError
from effwidgets.profiling.calls import Call, Inputs, as_call, map_tensors, run, shapes_of, tensors_in
from effwidgets.profiling.failures import is_empty, model_error, real_stand_in
from effwidgets.profiling.recorder import Recorder, Tally
from effwidgets.profiling.shadow import check_module
from effwidgets.records import Gradient, Health, LayerHealth

__all__ = ["health"]


def health(
    model: nn.Module, inputs: Inputs, *, loss: Loss | None = None, target: Any = None, train: bool = True
) -> Health:
    """Look at one step of training that is not taken: norms, dead and saturated units, numbers that are none.

    The model runs once with real numbers, on a copy: its state, its gradients and the random state stay as they are,
    and nothing is updated. Give it a real batch of some dozen samples: a unit counts as dead or saturated when it is so
    for every sample and position of it. Not seen: activation functions inside of fused kernels (recurrent layers, fused
    attention).

    Args:
        model: any module with numbers in it.
        inputs: what it is called with.
        loss: takes the outputs, and the target where there is one, and returns one number. Left out:
            cross-entropy or mean squared error to ``target``; without a target the loss that the model returns; without
            that the mean of the outputs with fixed random signs (`effwidgets.checkup.losses.loss_of` says why).
        target: what the outputs are compared to.
        train: run in training mode, as a step would; otherwise in eval mode.

    Raises:
        InputError: not a module, a model on meta, inputs of an unknown kind, or a loss that is no single number.
        ModelError: the forward raised; the message names the layer.

    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> found = health(model, torch.ones(32, 4), loss=lambda out: out.sum())
    >>> found.layer("2").gradient, found.layer("1").units, found.loss_value is not None
    ('present', 8, True)
    """
    check_module(model)
    call = as_call(inputs)
    _check(model, call, loss)
    with _disable_current_modes(), real_stand_in(model, call) as (copy, copied):
        with torch.inference_mode(mode=False):
            goal = map_tensors(target, lambda tensor: tensor.detach().clone())
        copy.train(train)
        look = _Look(copy, copied)
        with torch.inference_mode(mode=False), torch.enable_grad():
            look.forward(copied)
            said, value = loss_of(look.outputs, loss, goal)
            look.backward(value)
        return look.record(said, value, train=train)


def _check(model: nn.Module, call: Call, loss: object) -> None:
    if is_empty(model, call):
        raise InputError(
            f"The {type(model).__name__} or its inputs stand on meta and have no numbers, so nothing can be said about "
            "their health. Build it with weights, and call it with a real batch."
        )
    if loss is not None and not callable(loss):
        raise InputError(f"loss is {type(loss).__name__}; a function of the outputs was expected.")


@dataclass(slots=True)
class _Look:
    """One forward and one backward over a private copy, and what was seen of each module."""

    model: nn.Module
    call: Call
    outputs: Any = None
    pulses: dict[str, Pulse] = field(default_factory=dict)
    watch: ActivityWatch = field(default_factory=lambda: ActivityWatch([""]))
    notes: list[str] = field(default_factory=list)
    bad_output: str | None = None
    bad_signal: str | None = None
    failed: bool = False
    order: int = 0

    def forward(self, call: Call) -> None:
        """Run the model and look at each module's outputs."""
        for parameter in self.model.parameters():
            parameter.grad = None
        self.pulses = {name: Pulse(name, type(module).__name__) for name, module in self.model.named_modules()}
        recorder = Recorder(self.model)
        try:
            with recorder.watching(), self._watching(recorder), self.watch.mode():
                self.outputs = run(self.model, call)
        except EffError:
            raise
        except Exception as error:  # the model's own forward
            raise model_error(recorder, call, error) from error

    def backward(self, value: torch.Tensor | None) -> None:
        """Run the backward of the loss; what goes wrong in it is a note."""
        if value is None or not value.requires_grad:
            self.notes.append("The loss depends on no parameter that asks for a gradient, so there was no backward.")
            return
        try:
            value.backward()  # type: ignore[no-untyped-call]
        except Exception as error:  # noqa: BLE001  a backward that does not exist, or anybody's own
            reason = str(error).partition("\n")[0][:200]
            self.notes.append(
                f"The backward failed ({type(error).__name__}: {reason}): nothing is said about gradients."
            )
            self.failed = True

    @contextmanager
    def _watching(self, recorder: Recorder) -> Iterator[None]:
        handles = []
        try:
            for name, module in self.model.named_modules():
                eyes = _Eyes(self, self.pulses[name], recorder.tallies[name])
                handles.append(module.register_forward_pre_hook(eyes.enter, with_kwargs=True))
                handles.append(module.register_forward_hook(eyes.leave, always_call=True))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def record(self, said: str, value: torch.Tensor | None, *, train: bool) -> Health:
        """Put together what was seen."""
        seen: set[int] = set()
        for name, module in self.model.named_modules():
            self._weigh(self.pulses[name], module, seen)
        for one in self.watch.found:
            pulse = self.pulses[one.layer]
            pulse.units += one.units
            pulse.dead += one.dead
            pulse.saturated += one.saturated
        number = None if value is None else float(value.detach())
        finite = number is not None and math.isfinite(number)
        return Health(
            model=type(self.model).__name__,
            inputs=shapes_of(self.call),
            loss=said,
            loss_value=number if finite else None,
            train=train,
            layers=tuple(_layer(pulse) for pulse in self.pulses.values()),
            activities=tuple(self.watch.found),
            findings=findings_of(
                tuple(self.pulses.values()),
                tuple(self.watch.found),
                bad=(self.bad_output, self.bad_signal, number is not None and not finite),
            ),
            notes=(*self.notes, *self.watch.notes),
        )

    def _weigh(self, pulse: Pulse, module: nn.Module, seen: set[int]) -> None:
        """Take norms of a module's own parameters; a tied one counts at the first module that holds it."""
        own = [tensor for tensor in module._parameters.values() if tensor is not None and id(tensor) not in seen]
        seen.update(map(id, own))
        trained = [tensor for tensor in own if tensor.requires_grad]
        pulse.params = sum(tensor.numel() for tensor in trained)
        pulse.matrix = any(tensor.dim() > 1 for tensor in trained)
        pulse.bad_weights = sum(nonfinite(tensor) for tensor in own)
        pulse.weight_norm = norm(trained)
        grads = [tensor.grad for tensor in trained if tensor.grad is not None]
        pulse.bad_gradients = sum(map(nonfinite, grads))
        pulse.gradient_norm = norm(grads)
        pulse.gradient = self._verdict(pulse, bool(own), bool(trained), bool(grads))

    def _verdict(self, pulse: Pulse, own: bool, trained: bool, grads: bool) -> Gradient:  # noqa: FBT001
        if not own:
            return "none"
        if not trained:
            return "frozen"
        if not grads:
            if pulse.calls == 0:
                return "not run"
            return "unknown" if self.failed else "disconnected"
        if pulse.bad_gradients:
            return "not finite"
        return "zero" if pulse.gradient_norm == 0 else "present"


class _Eyes:
    """The two hooks of one module; those of a copy that a forward makes of it are blind."""

    __slots__ = ("_look", "_pulse", "_tally")

    def __init__(self, look: _Look | None, pulse: Pulse, tally: Tally) -> None:
        self._look = look
        self._pulse = pulse
        self._tally = tally

    def __deepcopy__(self, memo: object) -> _Eyes:
        """Leave copies alone that a forward makes of its layers: what they do is the work of who called them."""
        return _Eyes(None, self._pulse, self._tally)

    def enter(self, _module: nn.Module, args: Any, kwargs: Any) -> None:
        look = self._look
        pulse = self._pulse
        if look is None:
            return
        self._tally.inputs = shapes_of((args, kwargs))  # what a message says where the forward fails
        if pulse.calls == 0:
            look.order += 1
            pulse.order = look.order
        pulse.calls += 1
        with look.watch.guard("the inputs", pulse.name):
            if look.bad_output is None and any(map(nonfinite, tensors_in((args, kwargs)))):
                # What comes in is bad already: whoever is running made it itself, or the inputs are.
                look.bad_output = "the inputs" if not pulse.name else look.watch.stack[-1]
        look.watch.stack.append(pulse.name)

    def leave(self, _module: nn.Module, _args: Any, out: Any) -> None:
        look = self._look
        if look is None:
            return
        if len(look.watch.stack) > 1:
            look.watch.stack.pop()
        for tensor in tensors_in(out):
            if tensor.is_floating_point():
                with look.watch.guard("an output", self._pulse.name):
                    self._weigh(look, tensor)

    def _weigh(self, look: _Look, tensor: torch.Tensor) -> None:
        pulse = self._pulse
        bad, squares = nonfinite(tensor), square(tensor)
        pulse.bad_outputs += bad
        pulse.entries += tensor.numel()
        pulse.square += squares
        if bad and look.bad_output is None:
            look.bad_output = pulse.name
        if tensor.requires_grad:
            tensor.register_hook(self._signal)  # type: ignore[no-untyped-call]

    def _signal(self, gradient: torch.Tensor) -> None:
        look = self._look
        if look is None:
            return
        with look.watch.guard("a gradient", self._pulse.name):
            self._pulse.signal_square = (self._pulse.signal_square or 0.0) + square(gradient)
            if look.bad_signal is None and nonfinite(gradient):
                look.bad_signal = self._pulse.name


def _layer(pulse: Pulse) -> LayerHealth:
    ratio = pulse.gradient_norm / pulse.weight_norm if pulse.gradient_norm is not None and pulse.weight_norm else None
    return LayerHealth(
        name=pulse.name,
        kind=pulse.kind,
        calls=pulse.calls,
        params=pulse.params,
        weight_norm=pulse.weight_norm,
        gradient=pulse.gradient,
        gradient_norm=pulse.gradient_norm,
        update_ratio=ratio,
        output_rms=pulse.output_rms,
        signal_norm=pulse.signal_norm,
        units=pulse.units,
        dead=pulse.dead,
        saturated=pulse.saturated,
        nonfinite_outputs=pulse.bad_outputs,
        nonfinite_gradients=pulse.bad_gradients,
    )
