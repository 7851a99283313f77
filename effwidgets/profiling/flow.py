"""The pass that follows channels: for every operation, which dimension of its result holds which layers' channels.

What it does not know bars the channels that go into it: a group without an obstacle was followed from its producers to
everything that reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import torch
from torch import nn

from effwidgets.profiling.calls import tensors_in
from effwidgets.profiling.channels import Axis, Channels, cut, join, meet, reshape, taint
from effwidgets.profiling.kinds import Rule
from effwidgets.profiling.memory import storage_of
from effwidgets.profiling.recorder import Observer, Recorder
from effwidgets.profiling.values import Values
from effwidgets.records import Group, Member

__all__ = ["FlowPass"]

Axes: TypeAlias = list[Axis | None]
_NAME: Final = "_effdl_axes"

_SAME = frozenset("clone _to_copy contiguous alias detach lift_fresh lift zeros_like ones_like empty_like full_like".split())
_RESHAPES = frozenset("view _unsafe_view _reshape_alias reshape unsqueeze squeeze".split())
_REDUCTIONS = frozenset("sum mean amax amin prod var std logsumexp linalg_vector_norm all any norm".split())
_SPATIAL = ("max_pool", "avg_pool", "_adaptive_avg_pool", "adaptive_max_pool", "upsample_", "_upsample_", "reflection_pad",
            "replication_pad", "constant_pad_nd", "grid_sampler")  # fmt: skip


class FlowPass(Observer):
    """Follows channels through one run; `groups` gives what was found.

    Args:
        model: the shadow's model, on whose modules ``recorder`` stands.
    """

    def __init__(self, model: nn.Module, recorder: Recorder, values: Values | None) -> None:
        super().__init__(values)
        self._recorder = recorder
        self._order: dict[str, int] = {}
        self._made: dict[str, Channels] = {}
        self._read: dict[str, Axis | None] = {}
        self._owner: dict[int, tuple[str, str]] = {}
        self._tied: dict[str, str] = {}
        self._lent: dict[str, str] = {}
        for path, module in model.named_modules():
            for name, parameter in module._parameters.items():
                self._own(path, name, parameter)

    def groups(self) -> list[Group]:
        """Return what was found, by the layer that makes the channels first."""
        for layer, reader in self._lent.items():
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
            taint(_axes(tensor), "it reaches the model's output, whose shape must stay")

    def observe(self, rule: Rule, given: tuple[Any, Any, Any], inputs: list[Any], outputs: list[Any]) -> None:
        """Follow one operation."""
        if not outputs:
            return
        self._notice_loans(inputs)
        args, kwargs, out = given
        handler = _HANDLERS.get(rule.name)
        if handler is not None:
            handler(self, args, kwargs, out)
        elif rule.name in _SAME:
            _set(out, _axes(args[0]))
        elif rule.name in _RESHAPES:
            _reshape(args, out)
        elif rule.pointwise:
            self._pointwise(inputs, outputs)
        elif rule.name in _REDUCTIONS:
            _reduce(rule.name, args, kwargs, outputs)
        elif rule.name.startswith(_SPATIAL):
            _spatial(args[0], outputs)
        else:
            self._unknown(rule.name, inputs)

    def _own(self, path: str, name: str, parameter: torch.Tensor | None) -> None:
        storage = None if parameter is None else storage_of(parameter)
        if storage is None:
            return
        first = self._owner.setdefault(storage._cdata, (path, name))
        if first[0] != path:
            self._tied[path] = first[0]
            self._tied[first[0]] = path

    def _notice_loans(self, inputs: Sequence[torch.Tensor]) -> None:
        # A parameter that is read outside its own layer, as in F.linear(x, self.embedding.weight), is bound to both.
        running = self._recorder.stack[-1].name
        for tensor in inputs:
            storage = storage_of(tensor)
            owner = None if storage is None else self._owner.get(storage._cdata)
            if owner is not None and owner[0] != running:
                self._lent.setdefault(owner[0], running or "the model itself")

    def _layer(self, weight: Any, kinds: type | tuple[type, ...]) -> str | None:
        """Return the path of the layer of one of ``kinds`` that runs and whose weight this is; None when it is not."""
        tally = self._recorder.stack[-1]
        module = self._recorder.module_of(tally)
        storage = storage_of(weight) if isinstance(weight, torch.Tensor) else None
        if storage is None or not isinstance(module, kinds):
            return None
        own = module._parameters.get("weight")
        same = own is not None and (found := storage_of(own)) is not None and found._cdata == storage._cdata
        return tally.name if same else None

    def _foreign(self, tensor: torch.Tensor) -> str:
        """Say what a tensor without channels is, for an obstacle."""
        tally = self._recorder.stack[-1]
        module = self._recorder.module_of(tally)
        if isinstance(module, nn.MultiheadAttention):
            return f"it goes into the attention heads of {tally.name!r}"
        if isinstance(module, nn.RNNBase | nn.RNNCellBase):
            return f"it goes into the recurrent layer {tally.name!r}"
        storage = storage_of(tensor)
        owner = None if storage is None else self._owner.get(storage._cdata)
        if owner is None:
            return "it meets a tensor whose channels no layer makes (an input, an attention product, a constant)"
        return f"it meets the parameter {'.'.join(filter(None, owner))!r}, which no known layer reads"

    def _own_bias(self, tensor: torch.Tensor) -> bool:
        # A linear layer adds its bias in an operation of its own when its input is not contiguous.
        tally = self._recorder.stack[-1]
        storage = storage_of(tensor)
        owner = None if storage is None else self._owner.get(storage._cdata)
        return owner == (tally.name, "bias") and isinstance(self._recorder.module_of(tally), nn.Linear)

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
        axis: Axis = ((channels, 1),)
        self._watch_ties(layer, axis)
        return axis

    def _watch_ties(self, layer: str, axis: Axis | None) -> None:
        if layer in self._tied:
            taint((axis,), f"the weight of {layer!r} is tied to that of {self._tied[layer]!r}")

    def _unknown(self, name: str, inputs: Sequence[torch.Tensor]) -> None:
        reason = f"it goes through {name}, which may mix channels"
        if "scaled_dot_product" in name or name in ("bmm", "mm", "baddbmm", "addmm", "dot", "mv"):
            reason = "it goes into a product of activations (attention)"
        elif "rnn" in name or "lstm" in name or "gru" in name:
            reason = f"it goes into the recurrent layer {self._recorder.stack[-1].name!r}"
        for tensor in inputs:
            taint(_axes(tensor), reason)

    def _pointwise(self, inputs: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor]) -> None:
        shape = outputs[0].shape
        found: Axes = [None] * len(shape)
        for place in range(-len(shape), 0):
            wide = [tensor for tensor in inputs if tensor.dim() >= -place and tensor.shape[place] == shape[place]]
            held = [(tensor, _axes(tensor)[place]) for tensor in wide]
            axes = [axis for _, axis in held if axis is not None]
            for axis in axes[1:]:
                meet(axes[0], axis)
            if axes and shape[place] > 1:
                for tensor, axis in held:
                    if axis is None and not self._own_bias(tensor):
                        taint(axes, self._foreign(tensor))
            if axes:
                found[place] = axes[0]
        for tensor in outputs:
            _set(tensor, found)

    def _convolution(self, args: Any, _kwargs: Any, out: Any) -> None:
        image, weight = args[0], args[1]
        layer = self._layer(weight, nn.modules.conv._ConvNd)
        axes = _axes(image)
        inner = axes[1]
        if layer is None:
            taint((inner,), self._foreign(weight))
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
        _set(out, [axes[0], made, *([None] * (out.dim() - 2))])
        taint(axes[2:], "a convolution runs along its channels")

    def _product(self, rows: torch.Tensor, weight: Any, out: Any) -> None:
        """``rows @ weight``, the weight transposed as linear layers have it."""
        layer = self._layer(weight, nn.Linear)
        axes = _axes(rows)
        if layer is None:
            storage = storage_of(weight)
            owned = storage is not None and storage._cdata in self._owner
            taint((axes[-1],), self._foreign(weight) if owned else "it goes into a product of activations (attention)")
            taint(_axes(weight), "it goes into a product of activations (attention)")
            taint(axes[:-1], "it goes into a product of activations (attention)")
            return
        self._reads(layer, axes[-1])
        _set(out, [*axes[:-1], self._makes(layer, out.shape[-1])])

    def _addmm(self, args: Any, _kwargs: Any, out: Any) -> None:
        self._product(args[1], args[2], out)
        taint(_axes(args[0]), "it is added inside a matrix product")

    def _mm(self, args: Any, _kwargs: Any, out: Any) -> None:
        self._product(args[0], args[1], out)

    def _embedding(self, args: Any, _kwargs: Any, out: Any) -> None:
        layer = self._layer(args[0], nn.Embedding)
        if layer is not None:
            _set(out, [*([None] * (out.dim() - 1)), self._makes(layer, out.shape[-1])])

    def _batch_norm(self, args: Any, _kwargs: Any, out: Any) -> None:
        axes = _axes(args[0])
        weight = args[1]
        if weight is not None:
            kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
            layer = self._layer(weight, kinds)
            if layer is None:
                taint((axes[1],), self._foreign(weight))
            else:
                self._hold(layer, "out", axes[1])
                self._watch_ties(layer, axes[1])
        elif axes[1] is not None:
            module = self._recorder.stack[-1]
            if isinstance(self._recorder.module_of(module), nn.modules.batchnorm._NormBase):
                self._hold(module.name, "out", axes[1])
        _set(next(tensors_in(out)), axes)

    def _layer_norm(self, args: Any, _kwargs: Any, out: Any) -> None:
        axes = _axes(args[0])
        self._shared_statistics(axes, axes[len(axes) - len(args[1]) :])
        _set(next(tensors_in(out)), axes)

    def _group_norm(self, args: Any, _kwargs: Any, out: Any) -> None:
        axes = _axes(args[0])
        self._shared_statistics(axes, axes[1:])
        _set(next(tensors_in(out)), axes)

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
            axes = [_axes(tensor)[place] for tensor in tensors]
            if place == dim:
                found.append(join(axes, [tensor.shape[place] for tensor in tensors]))
                continue
            held = [axis for axis in axes if axis is not None]
            for axis in held[1:]:
                meet(held[0], axis)
            if held and len(held) < len(axes):
                missing = next(tensor for tensor, axis in zip(tensors, axes, strict=True) if axis is None)
                taint(held, self._foreign(missing))
            found.append(held[0] if held else None)
        _set(out, found)

    def _copy_into(self, args: Any, _kwargs: Any, out: Any) -> None:
        # A copy into a part of something larger leaves marks that are not followed.
        source = _axes(args[1])
        storage = storage_of(out)
        whole = storage is not None and storage.nbytes() == out.numel() * out.element_size()
        if args[1].shape == out.shape and whole:
            _set(out, source)
        else:
            taint(source, "it is copied into a part of another tensor")


def _axes(tensor: Any) -> Axes:
    found: Axes | None = getattr(tensor, _NAME, None)
    return found if found is not None else [None] * (tensor.dim() if isinstance(tensor, torch.Tensor) else 0)


def _set(tensor: torch.Tensor, axes: Axes) -> None:
    if any(axis is not None for axis in axes):
        setattr(tensor, _NAME, list(axes))
    elif hasattr(tensor, _NAME):
        delattr(tensor, _NAME)


def _dims(value: Any, rank: int) -> list[int]:
    if value is None or value == []:
        return list(range(rank))
    return [dim % rank for dim in (value if isinstance(value, list | tuple) else [value])] if rank else []


def _reshape(args: Any, out: Any) -> None:
    axes = reshape(_axes(args[0]), args[0].shape, out.shape)
    _set(out, axes)
    stated = args[1] if len(args) > 1 and isinstance(args[1], list | tuple) else ()
    if -1 in stated and len(stated) == out.dim():
        # view(-1, 400): the number stands in the forward and would not follow. (view(n, -1) follows.)
        merged = [axis for axis, size in zip(axes, stated, strict=True) if axis and axis[0][1] > 1 and size != -1]
        known = [axis for axis in _axes(args[0]) if axis and axis[0][1] == 1]
        if known:
            taint(merged, f"the forward itself states the size of a reshape, {tuple(stated)}, which would not follow")


def _reduce(name: str, args: Any, kwargs: Any, outputs: Sequence[torch.Tensor]) -> None:
    source = args[0]
    place = 2 if name in ("linalg_vector_norm", "norm") else 1
    dims = _dims(args[place] if len(args) > place else kwargs.get("dim"), source.dim())
    axes = _axes(source)
    taint((axes[dim] for dim in dims), f"{name} runs over its channels")
    kept: Axes = [None if dim in dims else axis for dim, axis in enumerate(axes)]
    dropped: Axes = [axis for dim, axis in enumerate(axes) if dim not in dims]
    for tensor in outputs:
        _set(tensor, kept if tensor.dim() == source.dim() else dropped)


def _spatial(source: torch.Tensor, outputs: Sequence[torch.Tensor]) -> None:
    for tensor in outputs:
        axes = _axes(source)
        same = tensor.dim() == source.dim()
        moved = [axis for place, axis in enumerate(axes) if not same or tensor.shape[place] != source.shape[place]]
        taint(moved, "pooling, padding or resizing runs along its channels")
        _set(tensor, [None if axis in moved else axis for axis in axes] if same else [])


def _softmax(_pass: FlowPass, args: Any, _kwargs: Any, out: Any) -> None:
    axes = _axes(args[0])
    taint((axes[args[1]],) if axes else (), "a softmax runs over its channels")
    _set(out, axes)


def _expand(_pass: FlowPass, args: Any, _kwargs: Any, out: Any) -> None:
    axes = _axes(args[0])
    _set(out, [*([None] * (out.dim() - len(axes))), *axes])


def _permute(_pass: FlowPass, args: Any, _kwargs: Any, out: Any) -> None:
    axes = _axes(args[0])
    _set(out, [axes[dim] for dim in args[1]])


def _transpose(_pass: FlowPass, args: Any, _kwargs: Any, out: Any) -> None:
    axes = list(_axes(args[0]))
    if len(axes) > 1:
        first, second = (args[1], args[2]) if len(args) > 2 else (0, 1)
        axes[first], axes[second] = axes[second], axes[first]
    _set(out, axes)


def _slice(_pass: FlowPass, args: Any, kwargs: Any, out: Any) -> None:
    del kwargs
    source, dim, start, _stop, step = (*args, *(None,) * (5 - len(args)))
    axes = list(_axes(source))
    dim = (dim or 0) % source.dim()
    axis = axes[dim]
    if axis is not None:
        first = max(0, (start or 0) + (source.shape[dim] if (start or 0) < 0 else 0))
        if step not in (None, 1):
            taint((axis,), "a slice takes every few of its channels")
            axes[dim] = None
        else:
            axes[dim] = cut(axis, first, first + out.shape[dim])
    _set(out, axes)


def _split(_pass: FlowPass, args: Any, kwargs: Any, out: Any) -> None:
    dim = (args[2] if len(args) > 2 else kwargs.get("dim", 0)) % args[0].dim()
    start = 0
    for piece in out:
        axes = list(_axes(args[0]))
        axis = axes[dim]
        if axis is not None:
            axes[dim] = cut(axis, start, start + piece.shape[dim])
        start += piece.shape[dim]
        _set(piece, axes)


def _select(_pass: FlowPass, args: Any, _kwargs: Any, out: Any) -> None:
    dim = (args[1] if len(args) > 1 else 0) % args[0].dim()
    axes = list(_axes(args[0]))
    taint((axes.pop(dim),), "single channels are picked out of it")
    for tensor in tensors_in(out):
        _set(tensor, axes)


def _stack(_pass: FlowPass, args: Any, kwargs: Any, out: Any) -> None:
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.dim()
    found: Axes | None = None
    for tensor in args[0]:
        axes = _axes(tensor)
        for mine, theirs in zip(found or axes, axes, strict=True):
            if mine is not None and theirs is not None:
                meet(mine, theirs)
            else:
                taint((mine, theirs), "it is stacked with something that no layer's channels make")
        found = found or list(axes)
    if found is not None:
        found.insert(dim, None)
        _set(out, found)


Handler: TypeAlias = Callable[[FlowPass, Any, Any, Any], None]

_HANDLERS: Final[dict[str, Handler]] = {
    "convolution": FlowPass._convolution,
    "addmm": FlowPass._addmm,
    "mm": FlowPass._mm,
    "linear": FlowPass._mm,
    "embedding": FlowPass._embedding,
    "native_batch_norm": FlowPass._batch_norm,
    "_native_batch_norm_legit": FlowPass._batch_norm,
    "_native_batch_norm_legit_no_training": FlowPass._batch_norm,
    "_batch_norm_no_update": FlowPass._batch_norm,
    "_batch_norm_with_update": FlowPass._batch_norm,
    "cudnn_batch_norm": FlowPass._batch_norm,
    "native_layer_norm": FlowPass._layer_norm,
    "_fused_rms_norm": FlowPass._layer_norm,
    "native_group_norm": FlowPass._group_norm,
    "cat": FlowPass._concatenate,
    "copy_": FlowPass._copy_into,
    "_softmax": _softmax,
    "_log_softmax": _softmax,
    "expand": _expand,
    "permute": _permute,
    "transpose": _transpose,
    "t": _transpose,
    "slice": _slice,
    "split": _split,
    "split_with_sizes": _split,
    "unsafe_split": _split,
    "select": _select,
    "unbind": _select,
    "stack": _stack,
}
