"""Which way channels go: for every operation, which dimension of its result holds which layers' channels.

What it does not know bars the channels that go into it: a group without an obstacle was followed from its producers to
everything that reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import torch
from torch import nn

from effwidgets.profiling.calls import tensors_in
from effwidgets.profiling.channels import Axis, Channels, join, meet, taint
from effwidgets.profiling.kinds import Rule
from effwidgets.profiling.memory import storage_of
from effwidgets.profiling.owners import Owners
from effwidgets.profiling.recorder import Recorder
from effwidgets.profiling.steps import STEPS, Axes, axes_of, set_axes
from effwidgets.records import Group, Member

__all__ = ["Flow"]


class Flow:
    """Follows channels through one run on a shadow; `groups` gives what was found.

    Args:
        recorder: stands on the shadow's modules.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._order: dict[str, int] = {}
        self._made: dict[str, Channels] = {}
        self._read: dict[str, Axis | None] = {}
        self._owners = Owners(recorder)

    def groups(self) -> list[Group]:
        """Return what was found, by the layer that makes the channels first."""
        for layer, reader in self._owners.lent.items():
            reason = f"the weight of {layer!r} is also read by {reader!r}"
            channels = self._made.get(layer)
            taint((((channels, 1),) if channels else None, self._read.get(layer)), reason)
        found = {id(channels.root): channels.root for channels in self._made.values()}
        groups = [self._group(channels) for channels in found.values()]
        return sorted(groups, key=lambda group: self._order[group.name])

    def _group(self, channels: Channels) -> Group:
        members = tuple(sorted(channels.members, key=self._place))
        return Group(name=members[0].layer, channels=channels.count, members=members, obstacle=channels.obstacle)

    def _place(self, member: Member) -> tuple[int, int]:
        # Those that make channels, those that keep a number for each, those that read them; each as they ran.
        kind = 2 if member.side == "in" else 0 if member.layer in self._made else 1
        return kind, self._order[member.layer]

    def end(self, outputs: Any) -> None:
        """Bar what reaches the model's output."""
        for tensor in tensors_in(outputs):
            taint(axes_of(tensor), "it reaches the model's output, whose shape must stay")

    def observe(self, rule: Rule, given: tuple[Any, Any, Any], inputs: list[Any], outputs: list[Any]) -> None:
        """Follow one operation."""
        if not outputs:
            return
        self._owners.notice(inputs)
        args, kwargs, out = given
        handler = _HANDLERS.get(rule.name)
        if handler is not None:
            handler(self, args, kwargs, out)
        elif (step := STEPS.get(rule.name)) is not None:
            step(args, kwargs, out)
        elif rule.pointwise:
            self._pointwise(inputs, outputs)
        else:
            self._unknown(rule.name, inputs)

    def _reads(self, layer: str, axis: Axis | None) -> None:
        """``layer`` takes the entries of ``axis`` as its inputs."""
        if layer in self._read:
            # A layer that runs twice takes the same channels both times.
            before = self._read[layer]
            if before is not None and axis is not None:
                meet(before, axis)
            else:
                taint((before, axis), f"{layer!r} runs more than once, and not always on channels that a layer makes")
        self._read[layer] = axis
        self._hold(layer, "in", axis)
        self._watch_ties(layer, axis)

    def _hold(self, layer: str, side: Any, axis: Axis | None) -> None:
        start = 0
        self._order.setdefault(layer, len(self._order))
        for channels, repeat in axis or ():
            channels.add(Member(layer=layer, side=side, repeat=repeat, start=start))
            start += channels.root.count * repeat

    def _makes(self, layer: str, count: int) -> Axis:
        """``layer`` makes channels of its own."""
        channels = self._made.get(layer)
        if channels is None:
            channels = self._made[layer] = Channels(count)
            self._order.setdefault(layer, len(self._order))
            channels.add(Member(layer=layer, side="out"))
        axis = ((channels, 1),)
        self._watch_ties(layer, axis)
        return axis

    def _watch_ties(self, layer: str, axis: Axis | None) -> None:
        if layer in self._owners.tied:
            taint((axis,), f"the weight of {layer!r} is tied to that of {self._owners.tied[layer]!r}")

    def _unknown(self, name: str, inputs: Sequence[torch.Tensor]) -> None:
        reason = f"it goes through {name}, which may mix channels"
        if "scaled_dot_product" in name or name in ("bmm", "mm", "baddbmm", "addmm", "dot", "mv"):
            reason = "it goes into a product of activations (attention)"
        elif "rnn" in name or "lstm" in name or "gru" in name:
            reason = f"it goes into the recurrent layer {self._recorder.stack[-1].name!r}"
        for tensor in inputs:
            taint(axes_of(tensor), reason)

    def _pointwise(self, inputs: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor]) -> None:
        shape = outputs[0].shape
        found: Axes = [None] * len(shape)
        for place in range(-len(shape), 0):
            wide = [tensor for tensor in inputs if tensor.dim() >= -place and tensor.shape[place] == shape[place]]
            held = [(tensor, axes_of(tensor)[place]) for tensor in wide]
            axes = [axis for _, axis in held if axis is not None]
            for other in axes[1:]:
                meet(axes[0], other)
            if axes and shape[place] > 1:
                for tensor, axis in held:
                    if axis is None and not self._owners.is_own_bias(tensor):
                        taint(axes, self._owners.foreign(tensor))
            if axes:
                found[place] = axes[0]
        for tensor in outputs:
            set_axes(tensor, found)

    def _convolution(self, args: Any, _kwargs: Any, out: Any) -> None:
        image, weight = args[0], args[1]
        layer = self._owners.layer(weight, nn.modules.conv._ConvNd)
        axes = axes_of(image)
        inner = axes[1]
        if layer is None:
            taint((inner,), self._owners.foreign(weight))
            return
        groups = int(args[8])
        made: Axis | None
        if groups == 1:
            self._reads(layer, inner)
            made = self._makes(layer, out.shape[1])
        elif groups == image.shape[1] == out.shape[1]:
            # Depthwise: the channels pass through, one filter each.
            made = inner
            self._hold(layer, "out", inner)
            self._watch_ties(layer, inner)
        else:
            reason = f"{layer!r} is a convolution in {groups} groups, whose channels are bound to their group"
            self._reads(layer, inner)
            made = self._makes(layer, out.shape[1])
            taint((inner, made), reason)
        set_axes(out, [axes[0], made, *([None] * (out.dim() - 2))])
        taint(axes[2:], "a convolution runs along its channels")

    def _product(self, rows: torch.Tensor, weight: Any, out: Any) -> None:
        """``rows @ weight``, the weight transposed as linear layers have it."""
        layer = self._owners.layer(weight, nn.Linear)
        axes = axes_of(rows)
        if layer is None:
            product = "it goes into a product of activations (attention)"
            taint((axes[-1],), self._owners.foreign(weight) if self._owners.of(weight) else product)
            taint((*axes_of(weight), *axes[:-1]), product)
            return
        self._reads(layer, axes[-1])
        set_axes(out, [*axes[:-1], self._makes(layer, out.shape[-1])])

    def _addmm(self, args: Any, _kwargs: Any, out: Any) -> None:
        self._product(args[1], args[2], out)
        taint(axes_of(args[0]), "it is added inside a matrix product")

    def _mm(self, args: Any, _kwargs: Any, out: Any) -> None:
        self._product(args[0], args[1], out)

    def _embedding(self, args: Any, _kwargs: Any, out: Any) -> None:
        layer = self._owners.layer(args[0], nn.Embedding)
        if layer is not None:
            set_axes(out, [*([None] * (out.dim() - 1)), self._makes(layer, out.shape[-1])])

    def _batch_norm(self, args: Any, _kwargs: Any, out: Any) -> None:
        axes = axes_of(args[0])
        weight = args[1]
        if weight is not None:
            kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
            layer = self._owners.layer(weight, kinds)
            if layer is None:
                taint((axes[1],), self._owners.foreign(weight))
            else:
                self._hold(layer, "out", axes[1])
                self._watch_ties(layer, axes[1])
        elif axes[1] is not None:
            module = self._recorder.stack[-1]
            if isinstance(self._recorder.module_of(module), nn.modules.batchnorm._NormBase):
                self._hold(module.name, "out", axes[1])
        set_axes(next(tensors_in(out)), axes)

    def _layer_norm(self, args: Any, _kwargs: Any, out: Any) -> None:
        axes = axes_of(args[0])
        self._shared_statistics(axes, axes[len(axes) - len(args[1]) :])
        set_axes(next(tensors_in(out)), axes)

    def _group_norm(self, args: Any, _kwargs: Any, out: Any) -> None:
        axes = axes_of(args[0])
        self._shared_statistics(axes, axes[1:])
        set_axes(next(tensors_in(out)), axes)

    def _shared_statistics(self, axes: Axes, normed: Axes) -> None:
        del axes
        tally = self._recorder.stack[-1]
        for axis in normed:
            if isinstance(self._recorder.module_of(tally), nn.LayerNorm | nn.GroupNorm | nn.RMSNorm):
                self._hold(tally.name, "out", axis)
            taint((axis,), f"{tally.name!r} ({tally.kind}) takes mean and spread over several channels together")

    def _concatenate(self, args: Any, kwargs: Any, out: Any) -> None:
        tensors = [tensor for tensor in args[0] if tensor.dim() == out.dim()]
        dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.dim()
        found: Axes = []
        for place in range(out.dim()):
            axes = [axes_of(tensor)[place] for tensor in tensors]
            if place == dim:
                found.append(join(axes, [tensor.shape[place] for tensor in tensors]))
                continue
            held = [axis for axis in axes if axis is not None]
            for axis in held[1:]:
                meet(held[0], axis)
            if held and len(held) < len(axes):
                missing = next(tensor for tensor, axis in zip(tensors, axes, strict=True) if axis is None)
                taint(held, self._owners.foreign(missing))
            found.append(held[0] if held else None)
        set_axes(out, found)

    def _copy_into(self, args: Any, _kwargs: Any, out: Any) -> None:
        # A copy into a part of something larger leaves marks that are not followed.
        source = axes_of(args[1])
        storage = storage_of(out)
        whole = storage is not None and storage.nbytes() == out.numel() * out.element_size()
        if args[1].shape == out.shape and whole:
            set_axes(out, source)
        else:
            taint(source, "it is copied into a part of another tensor")


Handler: TypeAlias = Callable[[Flow, Any, Any, Any], None]

_HANDLERS: Final[dict[str, Handler]] = {
    "convolution": Flow._convolution,
    "addmm": Flow._addmm,
    "mm": Flow._mm,
    "linear": Flow._mm,
    "embedding": Flow._embedding,
    "native_batch_norm": Flow._batch_norm,
    "_native_batch_norm_legit": Flow._batch_norm,
    "_native_batch_norm_legit_no_training": Flow._batch_norm,
    "_batch_norm_no_update": Flow._batch_norm,
    "_batch_norm_with_update": Flow._batch_norm,
    "cudnn_batch_norm": Flow._batch_norm,
    "native_layer_norm": Flow._layer_norm,
    "_fused_rms_norm": Flow._layer_norm,
    "native_group_norm": Flow._group_norm,
    "cat": Flow._concatenate,
    "copy_": Flow._copy_into,
}
