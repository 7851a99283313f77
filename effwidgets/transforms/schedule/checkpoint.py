"""Blocks run again in the backward instead of keeping what they made (Chen et al. 2016, arXiv:1604.06174).

A block keeps its inputs alone; when the backward comes to it, its forward is run once more, with the random numbers of
the first time, up to the last thing that the backward asks for. Outputs and gradients are those of the block itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Final, Literal

from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
    ActivationWrapper,
    CheckpointWrapper,
    checkpoint_wrapper,
)
from torch.nn.modules.batchnorm import _NormBase

from effwidgets.errors import TransformError
from effwidgets.records import Cost, Edit, Group, LayerProfile, Piece, Profile, Site, Skip, Span, Step
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.foresee import Foreseen, change_between
from effwidgets.transforms.surgery import find_layer, replace_layer
from effwidgets.units import bytes_text

__all__ = ["CHECKPOINT", "Checkpoint"]

_INSIDE: Final = "_checkpoint_wrapped_module"
_WRAPPER: Final = CheckpointWrapper.__name__
_WRAPPERS: Final = frozenset({_WRAPPER, "OffloadWrapper"})
_SEVERAL: Final = 2
_WRITES: Final = "it writes into what it is given, so it cannot be run again from that"
_TRAINING: Final = "It helps in training alone: a forward without gradients takes the same time and memory as before."
_TWICE: Final = (
    "Its batch norms see each training batch twice, so that their running statistics move twice as fast; a momentum of "
    "1 - sqrt(1 - m) in place of m makes up for it."
)


class Checkpoint:
    """A block keeps its inputs and runs again in the backward: memory of training for time of training.

    A step names one block: ``Step(transform="checkpoint", layers=("layer1",))``. No settings. The block stands inside
    of torch's own `CheckpointWrapper` then, so that the names of its layers grow by one part; a ``state_dict`` keeps
    the names that it had.
    """

    name: ClassVar[str] = "checkpoint"
    family: ClassVar[str] = "recompute"
    phase: ClassVar[Literal["structure", "format", "schedule"]] = "schedule"
    exact: ClassVar[frozenset[str]] = frozenset({"params", "param_bytes", "macs", "backward_macs", "saved_bytes"})
    reads: ClassVar[frozenset[str]] = frozenset({"layers"})
    repairs: ClassVar[frozenset[str]] = frozenset()

    def sites(self, profile: Profile) -> Iterator[Site | Skip]:
        """Yield every block that keeps more than its inputs, or why it is left alone."""
        spans = {span.layer: span for span in profile.spans}
        for layer in profile.layers:
            if not layer.name or not layer.calls or sum(inner.calls > 0 for inner in _below(profile, layer)) < _SEVERAL:
                continue
            try:
                span = spans.get(layer.name)
                reason = _obstacle(profile, layer, span)
                spared = 0 if reason or span is None else -self._change(profile, layer, span).saved_bytes
            except TransformError as error:
                reason, spared = str(error), 0
            if reason is None and spared <= 0:
                reason = "it keeps no more for the backward than its inputs"
            if reason:
                yield Skip(transform=self.name, layers=(layer.name,), reason=reason)
            else:
                yield Site(
                    transform=self.name,
                    layers=(layer.name,),
                    knobs=(),
                    reason=f"run again in the backward, {layer.kind} {layer.name} keeps {bytes_text(spared)} less "
                    "between forward and backward of a training step",
                    warnings=(_TRAINING, _TWICE) if _has_norms(profile, layer) else (_TRAINING,),
                    advised=False,
                )

    def estimate(self, profile: Profile, step: Step) -> Cost:
        """Return the change: what is kept inside goes, the inputs are kept, the backward has the forward once more."""
        return change_between(profile, self.foresee(profile, step))

    def foresee(self, profile: Profile, step: Step) -> Foreseen:
        """Tell what stands there afterwards: the wrapper, and the block one part deeper."""
        layer = profile.layer(self._target(step))
        span = next((span for span in profile.spans if span.layer == layer.name), None)
        reason = _obstacle(profile, layer, span)
        if reason or span is None:
            raise TransformError(f"{step}: {reason}.")
        tail = dict(_tail(profile, span))
        inside = [layer, *_below(profile, layer)]
        made = [_wrapper(layer, _kept(profile, span))]
        made.extend(_again(inner, layer.name, tail.get(inner.name, 0)) for inner in inside)
        held = {inner.name for inner in inside}
        groups = tuple(_moved(group, layer.name, held) for group in profile.groups)
        tied = {
            other.name: (_retied(other, layer.name),)
            for other in profile.layers
            if other.name not in held and any(_inside(tensor.tied_to, layer.name) for tensor in other.tensors)
        }
        return Foreseen(layers={layer.name: tuple(made), **tied}, groups=groups)

    def rewrite(self, model: nn.Module, step: Step, profile: Profile) -> Edit:
        """Put the block into torch's wrapper. Non-reentrant, random state kept."""
        name = self._target(step)
        block = find_layer(model, name)
        if block is model:
            raise TransformError(f"{step}: it is the model itself; name a block inside of it.")
        if any(span.writes for span in profile.spans if span.layer == name):
            raise TransformError(f"{step}: {_WRITES}.")
        around = [path for path, module in model.named_modules() if isinstance(module, ActivationWrapper)]
        near = [path for path in around if f"{path}.".startswith(f"{name}.") or f"{name}.".startswith(f"{path}.")]
        if near:
            raise TransformError(
                f"{step}: {near[0]} is run again in the backward already; one in another is not built."
            )
        replace_layer(model, name, checkpoint_wrapper(block))
        after = Piece(layer=name, text=f"{_WRAPPER}({type(block).__name__})")
        before = tuple(
            Piece(layer=f"{name}.{path}" if path else name, text=type(module).__name__)
            for path, module in block.named_modules()
        )
        norms = any(isinstance(module, _NormBase) for module in block.modules())
        return Edit(step=step, before=before, after=(after,), notes=(_TRAINING, _TWICE) if norms else (_TRAINING,))

    def fit(self, model: nn.Module, original: nn.Module, edit: Edit, calibration: Calibration | None) -> Edit:
        """Leave all values as they are."""
        del model, original, calibration
        return edit

    def witness(self, original: nn.Module, edit: Edit, model: nn.Module) -> None:
        """Change nothing: the answers are the same."""

    def _change(self, profile: Profile, layer: LayerProfile, span: Span) -> Cost:
        return Cost(saved_bytes=_kept(profile, span) - _whole(profile, layer))

    def _target(self, step: Step) -> str:
        step.check_settings(())
        if len(step.layers) != 1:
            raise TransformError(f"{step}: checkpoint takes one block, {len(step.layers)} came; a step for each.")
        return step.layers[0]


def _has_norms(profile: Profile, layer: LayerProfile) -> bool:
    return any(inner.kind.startswith(("BatchNorm", "SyncBatchNorm")) for inner in _below(profile, layer))


def _below(profile: Profile, layer: LayerProfile) -> list[LayerProfile]:
    return [inner for inner in profile.layers if inner.name.startswith(f"{layer.name}.")]


def _obstacle(profile: Profile, layer: LayerProfile, span: Span | None) -> str | None:
    if not layer.name:
        return "it is the model itself; name a block inside of it"
    parts = layer.name.split(".")
    near = [layer, *_below(profile, layer)]
    near += [profile.layer(".".join(parts[:place])) for place in range(1, len(parts))]
    wrapped = next((other.name for other in near if other.kind in _WRAPPERS), None)
    if wrapped is not None:
        return f"{wrapped} is run again in the backward already; one in another is not built"
    if layer.calls != 1:
        return f"it runs {layer.calls} times in a forward: what each run keeps cannot be told apart"
    shared = next((other.name for other in profile.layers if _astride(other, layer.name)), None)
    if shared is not None:
        return f"{shared} stands inside of it and elsewhere too: what each run keeps cannot be told apart"
    return _unknown(span)


def _unknown(span: Span | None) -> str | None:
    if span is None:
        return "what autograd keeps inside of it is not known: the model was looked at without gradients, or on a copy"
    if not span.last:
        return "nothing inside of it is kept for the backward: no parameter before it or in it learns"
    if span.writes:
        return _WRITES
    return None if span.given else "it was given no tensor by position, from which it could be run again"


def _inside(name: str | None, block: str) -> bool:
    return name is not None and name.startswith(f"{block}.")


def _astride(layer: LayerProfile, block: str) -> bool:
    # One module under two names, of which one lies inside.
    found = {_inside(name, block) for name in (layer.name, *layer.aliases)}
    return len(found) > 1


def _whole(profile: Profile, layer: LayerProfile) -> int:
    return layer.self_cost.saved_bytes + sum(inner.self_cost.saved_bytes for inner in _below(profile, layer))


def _kept(profile: Profile, span: Span) -> int:
    # What stays of the bytes counted inside: those that others keep too, and the inputs where nobody else keeps them.
    found = span.shared_bytes + span.input_bytes
    for name, channels, each in span.carried:
        found -= (channels - _standing(profile, name, span).channels) * each
    return found


def _standing(profile: Profile, name: str, span: Span) -> Group:
    # A chain that an earlier step made has the channels at its end.
    names = [(group.name.replace(f".{_INSIDE}", ""), group) for group in profile.groups]
    known = [group for own, group in names if own == name] or [g for own, g in names if own.startswith(f"{name}.")]
    if not known:
        raise TransformError(_UNTOLD.format(span.layer))
    return known[-1]


_UNTOLD: Final = (
    "what {} keeps after the earlier steps is not told by arithmetic: do those first, then profile what they made"
)


def _tail(profile: Profile, span: Span) -> Iterator[tuple[str, int]]:
    """Yield the layers that need not run again, and how much of their work; what earlier steps made of them counts."""
    layers = {layer.name: layer for layer in profile.layers}
    names = [name for name, _ in span.tail]
    known = layers.get(span.last)
    if span.last and (known is None or known.kind in ("Identity", "Sequential")) and span.last not in names:
        raise TransformError(_UNTOLD.format(span.layer))
    for name, macs in span.tail:
        layer = layers.get(name)
        if layer is None:
            raise TransformError(_UNTOLD.format(span.layer))
        links = list(profile.children(name)) if layer.kind == "Sequential" else []
        if not links:
            yield name, min(layer.self_cost.macs, macs)
        elif names == [name] and name == span.last:
            # A chain that an earlier step made: its last link keeps its input before it runs.
            yield links[-1].name, links[-1].self_cost.macs
        else:
            raise TransformError(_UNTOLD.format(span.layer))


def _wrapper(layer: LayerProfile, kept: int) -> LayerProfile:
    return LayerProfile(
        name=layer.name,
        kind=_WRAPPER,
        aliases=layer.aliases,
        inputs=layer.inputs,
        outputs=layer.outputs,
        calls=layer.calls,
        self_cost=Cost(saved_bytes=kept),
    )


def _again(inner: LayerProfile, block: str, spared: int) -> LayerProfile:
    # The same layer one part deeper; nothing is kept, and its forward is in the backward too.
    own = inner.self_cost
    cost = replace(own, saved_bytes=0, backward_macs=own.backward_macs + own.macs - spared)
    aliases = tuple(_deeper(alias, block) for alias in inner.aliases)
    return replace(_retied(inner, block), name=_deeper(inner.name, block), aliases=aliases, self_cost=cost)


def _retied(layer: LayerProfile, block: str) -> LayerProfile:
    tensors = tuple(
        replace(tensor, tied_to=_deeper(tensor.tied_to, block)) if tensor.tied_to else tensor
        for tensor in layer.tensors
    )
    return replace(layer, tensors=tensors)


def _deeper(name: str, block: str) -> str:
    if name != block and not name.startswith(f"{block}."):
        return name
    return f"{block}.{_INSIDE}{name[len(block) :]}"


def _moved(group: Group, block: str, held: set[str]) -> Group:
    # Channels that come by the block: their members' names grow, and what is kept for each is not told any more.
    if not any(member.layer in held for member in group.members):
        return group
    reason = f"its channels come by {block}, which is run again in the backward: prune before that, not after it"
    return replace(
        group,
        name=_deeper(group.name, block),
        members=tuple(replace(member, layer=_deeper(member.layer, block)) for member in group.members),
        stated=tuple((_deeper(name, block), attribute, worth) for name, attribute, worth in group.stated),
        obstacle=group.obstacle or reason,
    )


CHECKPOINT: Final = Checkpoint()
"""The one instance that is registered."""
