"""`profile`: a model and what it is called with in, a `Profile` out, the model as it was."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes

from effwidgets.errors import Cancelled, EffError, InputError, UnknownNameError
from effwidgets.profiling.calls import Call, Inputs, as_call, shapes_of, tensors_in
from effwidgets.profiling.coupling.coupling import confirmed, coupling_of
from effwidgets.profiling.failures import is_empty, python_random_kept, real_stand_in
from effwidgets.profiling.interrupts import interrupts_held
from effwidgets.profiling.layers import layers_of
from effwidgets.profiling.look import Findings, Wanted, look
from effwidgets.profiling.memory import Ledger
from effwidgets.profiling.recorder import Recorder
from effwidgets.profiling.shadow import Shadow, check_module, make_shadow
from effwidgets.profiling.tree import Tree
from effwidgets.profiling.values import Values
from effwidgets.records import Environment, Group, LayerProfile, Memory, Profile, Uncounted

__all__ = ["OPTIMIZERS", "ProfileOptions", "parameters_only", "profile", "profile_shadow"]

OPTIMIZERS: Final = {"sgd": 0, "momentum": 1, "adam": 2, "adamw": 2}
"""Optimizer -> tensors of the parameter's size that it keeps for each trainable parameter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileOptions:
    """How to profile.

    Attributes:
        train: look at the model in training mode; otherwise in eval mode. The model's own flags stay as they are.
        latency: also measure the time of a forward and of each layer, on a copy with buffers of its own that shares the
            model's parameters.
        optimizer: whose state is part of the training peak: one of `OPTIMIZERS`.
        sparsity: also count the zeros of each parameter, on the model itself; reads every weight.
        groups: also find out which layers' channels change together.
        seams: also find out what autograd keeps between modules, and which hands its output to which, without which
            little is said of what folds, replaces or reruns modules; None for where groups are asked for.
        second_opinion: ask torch-pruning too, and bar the groups on which it differs; takes ten times as long. Whatever
            removes channels asks for it.
        backward: also run a backward, for its MACs and the training peak; half of the time of a profile.
        origin: name of the session that asks.
    """

    train: bool = False
    latency: bool = False
    optimizer: str = "sgd"
    sparsity: bool = False
    groups: bool = True
    seams: bool | None = None
    second_opinion: bool = False
    backward: bool = True
    origin: str = ""

    def __post_init__(self) -> None:
        """Refuse an optimizer that is not known, with those that are."""
        if self.optimizer not in OPTIMIZERS:
            raise UnknownNameError("optimizer", self.optimizer, OPTIMIZERS)


def profile(model: nn.Module, inputs: Inputs, *, options: ProfileOptions = ProfileOptions()) -> Profile:
    """Count parameters, MACs and bytes of each layer for one call.

    Runs on a shadow of the model: nothing is allocated, the model is not touched. Where the forward asks for the
    values of its activations, which a shadow has not, it runs once on a copy of the model instead, and a note says so.

    Returns:
        the profile, one layer for each module.

    Raises:
        InputError: not a module, or inputs of an unknown kind.
        ModelError: the forward raised; the message names the layer.

    >>> layer = profile(nn.Linear(8, 4), torch.zeros(2, 8)).layer("")
    >>> layer.cost.params, layer.cost.macs
    (36, 64)
    """
    with _disable_current_modes():  # a forward may profile another model
        return _profile(model, as_call(inputs), options)


def _profile(model: nn.Module, call: Call, options: ProfileOptions) -> Profile:
    if not isinstance(options, ProfileOptions):
        raise InputError(f"options is {type(options).__name__}; ProfileOptions(train=True, ...) was expected.")
    shadow = make_shadow(model)
    try:
        found = _profile_shadow(shadow, call, options, strict=not is_empty(model, call))
    except EffError as error:
        if isinstance(error, Cancelled) or error.__cause__ is None or is_empty(model, call):
            raise
        found = _profile_real(model, call, options, error)
    if options.sparsity:
        from effwidgets.profiling.sparsity import sparsity_of

        found = replace(found, zeros=sparsity_of(model))
    if options.latency:
        from effwidgets.profiling.timing.latency import with_latency

        found = with_latency(found, model, call, train=options.train)
    return found


def profile_shadow(shadow: Shadow, call: Call, options: ProfileOptions = ProfileOptions()) -> Profile:
    """Profile a shadow that stands already, as it is now; for hypothetical edits.

    Raises:
        ModelError: the forward raised, or asked for values that a shadow has not.
    """
    with _disable_current_modes():
        return _profile_shadow(shadow, call, options)


def _profile_shadow(shadow: Shadow, call: Call, options: ProfileOptions, *, strict: bool = False) -> Profile:
    with interrupts_held():
        return _profile_held(shadow, call, options, strict=strict)


def _profile_held(shadow: Shadow, call: Call, options: ProfileOptions, *, strict: bool) -> Profile:
    fake = shadow.fake(call)
    with shadow.mode:
        findings = look(shadow.model, fake, Values(shadow.mode), replace(_wanted(options), strict=strict))
    groups = findings.groups or ()
    if options.groups:
        with python_random_kept():
            if findings.groups is None:
                groups, notes = coupling_of(shadow, call, second=options.second_opinion)
                findings.notes.extend(notes)
            else:
                groups, notes = confirmed(groups, findings.soft, shadow, call, second=options.second_opinion)
                findings.notes.extend(notes)
    return _assemble(shadow.model, call, findings, groups, options)


def _wanted(options: ProfileOptions) -> Wanted:
    seams = options.groups if options.seams is None else options.seams
    return Wanted(train=options.train, backward=options.backward, groups=options.groups, seams=seams)


def parameters_only(model: nn.Module, *, origin: str = "") -> Profile:
    """Profile without a run: parameters and bytes by layer, no shapes, no MACs.

    Raises:
        InputError: not a module.
    """
    check_module(model)
    note = "Nothing was run: parameters and their bytes only. Call it with inputs to see MACs and activations."
    findings = Findings(Recorder(model), Ledger(), notes=[note])
    return _assemble(model, Call(), findings, (), ProfileOptions(origin=origin))


def _profile_real(model: nn.Module, call: Call, options: ProfileOptions, cause: EffError) -> Profile:
    with real_stand_in(model, call) as (copy, copied_call):
        findings = look(copy, copied_call, None, _wanted(options))
        reason = str(cause.__cause__).partition("\n")[0][:160]
        findings.notes.append(
            f"The forward asks for values ({type(cause.__cause__).__name__}: {reason}), so it was run on a copy of "
            "the model with real numbers; another input may take another way."
        )
    return _assemble(model, call, findings, (), options)


def _assemble(
    model: nn.Module, call: Call, findings: Findings, groups: tuple[Group, ...], options: ProfileOptions
) -> Profile:
    tree = findings.recorder.tree
    layers = layers_of(tree, findings.recorder.tallies)
    total = layers[0].cost
    training = findings.training
    state = _state_bytes(tree, options.optimizer)
    return Profile(
        model=type(model).__name__,
        inputs=shapes_of(call),
        dtype=_dtype_of(tree, call),
        environment=_environment_of(tree, call),
        layers=layers,
        groups=groups,
        cost=total,
        memory=Memory(
            param_bytes=total.param_bytes,
            inference_peak_bytes=findings.inference.live_peak_bytes,
            inference_peak_at=findings.inference.live_peak_at,
            saved_bytes=total.saved_bytes,
            training_peak_bytes=None if training is None else training.held_peak_bytes + state,
            training_peak_at=None if training is None else training.held_peak_at,
            optimizer=None if training is None else options.optimizer,
            param_at=_largest(layers, "param_bytes"),
            saved_at=_largest(layers, "saved_bytes"),
            hidden=tuple(sorted(findings.recorder.hidden)),
        ),
        uncounted=_uncounted(findings.recorder),
        seams=findings.seams,
        spans=findings.spans,
        handed=findings.handed,
        notes=tuple(findings.notes),
        train=options.train,
        origin=options.origin,
    )


def _uncounted(recorder: Recorder) -> tuple[Uncounted, ...]:
    return tuple(
        Uncounted(op=op, times=times, layer=tally.name, backward=backward)
        for tally in recorder.tallies.values()
        for backward, entries in ((False, tally.uncounted), (True, tally.uncounted_backward))
        for op, times in entries.items()
    )


def _largest(layers: tuple[LayerProfile, ...], part: str) -> str:
    return max(layers, key=lambda layer: getattr(layer.self_cost, part)).name


def _state_bytes(tree: Tree, optimizer: str) -> int:
    """Return the bytes that an optimizer keeps beside the parameters; its passing work is left out."""
    copies = OPTIMIZERS[optimizer]
    held = {id(tensor): tensor for tensor in tree.tensors()}.values()
    trained = [tensor for tensor in held if isinstance(tensor, nn.Parameter) and tensor.requires_grad]
    # Adam also keeps a float32 step for each tensor.
    steps = 4 * len(trained) if optimizer.startswith("adam") else 0
    return steps + copies * sum(tensor.numel() * tensor.element_size() for tensor in trained)


def _dtype_of(tree: Tree, call: Call) -> str:
    for tensor in (*tensors_in(call), *tree.tensors()):
        if tensor.is_floating_point():
            return str(tensor.dtype).removeprefix("torch.")
    return "float32"


def _environment_of(tree: Tree, call: Call) -> Environment:
    tensor = next((tensor for tensor in (*tree.tensors(), *tensors_in(call))), None)
    return Environment(
        torch=torch.__version__,
        device="cpu" if tensor is None else str(tensor.device),
        threads=torch.get_num_threads(),
    )
