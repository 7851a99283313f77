"""Which way channels go: for every operation, which dimension of its result holds which layers' channels.

What it does not know bars the channels that go into it: a group without an obstacle was followed from its producers to
everything that reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

import torch
from torch import nn

from effwidgets.profiling.calls import tensors_in
from effwidgets.profiling.coupling.channels import Axis, fix, loose, taint
from effwidgets.profiling.coupling.holdings import Holdings
from effwidgets.profiling.coupling.joins import join, meet
from effwidgets.profiling.coupling.listing import listed
from effwidgets.profiling.coupling.norms import NORMS, Norms
from effwidgets.profiling.coupling.owners import Owners
from effwidgets.profiling.coupling.products import attend, multiply
from effwidgets.profiling.coupling.saved import Kept
from effwidgets.profiling.coupling.steps import STEPS, Axes, axes_of, set_axes
from effwidgets.profiling.coupling.unseen import never_run
from effwidgets.profiling.kinds import Rule
from effwidgets.profiling.memory import storage_of
from effwidgets.profiling.recorder import Recorder
from effwidgets.records import Group

__all__ = ["Flow"]

_PRODUCT: Final = "it goes into a product of activations (attention)"


class Flow:
    """Follows channels through one run on a shadow; `groups` gives what was found.

    Args:
        recorder: stands on the shadow's modules.

    Attributes:
        soft: by the name of a group, the layers whose forward cuts or reshapes its channels by numbers that may be
            written there.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._owners = Owners(recorder)
        self._holdings = Holdings(self._owners)
        self._norms = Norms(recorder, self._owners, self._holdings)
        for path, name, tensor in self._owners.plain():
            self._holdings.take(path, name, tensor)
        self._ran: set[str] = set()
        self.soft: dict[str, tuple[str, ...]] = {}

    def groups(self, kept: Iterable[Kept] = ()) -> list[Group]:
        """Return what was found, by the layer that makes the channels first.

        Args:
            kept: the storages that autograd keeps: what their tensors carry, their bytes, and the layer.
        """
        pairs = list(listed(self._holdings, kept))
        self.soft = {group.name: soft for group, soft in pairs if soft}
        passed = self._ran | set(self._owners.lent)
        return never_run(self._recorder.tree.modules, passed, [group for group, _ in pairs])

    def end(self, outputs: Any) -> None:
        """Bar what reaches the model's output."""
        for tensor in tensors_in(outputs):
            taint(axes_of(tensor), "it reaches the model's output, whose shape must stay")

    def observe(self, rule: Rule, given: tuple[Any, Any, Any], inputs: list[Any], outputs: list[Any]) -> None:
        """Follow one operation."""
        running = self._recorder.stack[-1].name
        self._ran.add(running)
        if not outputs:
            return
        self._owners.notice(inputs)
        args, kwargs, out = given
        handler = _HANDLERS.get(rule.name)
        if handler is not None:
            handler(self, args, kwargs, out)
        elif (norm := NORMS.get(rule.name)) is not None:
            norm(self._norms, args, kwargs, out)
        elif (step := STEPS.get(rule.name)) is not None:
            step(args, kwargs, out, running)
        elif rule.pointwise:
            self._pointwise(inputs, outputs)
        elif "scaled_dot_product" in rule.name:
            attend(args, kwargs, out)
        else:
            self._unknown(rule.name, inputs)

    def _unknown(self, name: str, inputs: Sequence[torch.Tensor]) -> None:
        reason = f"it goes through {name}, which may mix channels"
        layer = self._recorder.stack[-1].name
        module = self._recorder.module_of(self._recorder.stack[-1])
        if isinstance(module, nn.RNNBase | nn.RNNCellBase):
            reason = f"it goes into the recurrent layer {layer!r}"
            self._holdings.close(
                layer, "channels", module.hidden_size, f"the gates of {layer!r} hold its state in one matrix"
            )
        elif "dot" in name or name in ("mv", "addbmm"):
            reason = _PRODUCT
        for tensor in inputs:
            taint(axes_of(tensor), reason)

    def _pointwise(self, inputs: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor]) -> None:
        shape = outputs[0].shape
        found: Axes = [None] * len(shape)
        for place in range(-len(shape), 0):
            wide = [tensor for tensor in inputs if tensor.dim() >= -place and tensor.shape[place] == shape[place]]
            held = [(tensor, axes_of(tensor)[place]) for tensor in wide]
            found[place] = self._matched(held, shape[place])
        for tensor in outputs:
            set_axes(tensor, found)

    def _matched(self, held: Sequence[tuple[torch.Tensor, Axis | None]], size: int) -> Axis | None:
        """Return what stands along a dimension of several tensors whose entries are combined one by one."""
        axes = [axis for _, axis in held if axis is not None]
        if self._holdings.own and len(axes) < len(held) and all(loose(axis) for axis in axes):
            taint(axes, "it meets a tensor whose channels no layer makes")
            return None
        for other in axes[1:]:
            meet(axes[0], other)
        for tensor, axis in held if axes and size > 1 else ():
            if axis is None and not self._owners.is_own_bias(tensor):
                self._alien(axes, tensor)
        return axes[0] if axes else None

    def _alien(self, axes: Sequence[Axis], tensor: torch.Tensor) -> None:
        layer = self._owners.layer(tensor, (nn.PReLU, nn.RMSNorm))
        if layer is None:
            taint(axes, self._owners.foreign(tensor))
        else:
            self._holdings.hold(layer, "out", axes[0])

    def _convolution(self, args: Any, _kwargs: Any, out: Any) -> None:
        image, weight = args[0], args[1]
        layer = self._owners.layer(weight, nn.modules.conv._ConvNd)
        axes = axes_of(image)
        inner = axes[1]
        if layer is None:
            reason = self._computed(weight, nn.modules.conv._ConvNd) or self._owners.foreign(weight)
            taint((*axes, *axes_of(weight), *axes_of(args[2])), reason)
            return
        holdings, groups = self._holdings, int(args[8])
        made: Axis | None
        if groups > 1 and groups == image.shape[1]:
            # Depthwise: the channels pass through, one filter each or several.
            each = out.shape[1] // groups
            made = inner if each == 1 or inner is None else tuple((*part, each) for part in inner)
            if made is not None:
                holdings.hold(layer, "out", made)
        else:
            holdings.hold(layer, "in", inner)
            made = holdings.makes(layer, out.shape[1])
            if groups > 1:
                holdings.bind(layer, groups, inner)
                holdings.bind(layer, groups, made)
        set_axes(out, [axes[0], made, *([None] * (out.dim() - 2))])
        taint(axes[2:], "a convolution runs along its channels")

    def _product(self, rows: torch.Tensor, weight: Any, out: Any) -> None:
        """``rows @ weight``, the weight transposed as linear layers have it."""
        layer = self._owners.layer(weight, nn.Linear)
        axes = axes_of(rows)
        if layer is None:
            computed = self._computed(weight, nn.Linear)
            if computed or self._owners.of(weight):
                taint((axes[-1], *axes_of(weight)), computed or self._owners.foreign(weight))
                self._close(weight, int(out.shape[-1]))
            else:
                self._alien_matrix(rows, weight)
                multiply(rows, weight, out)
            return
        self._holdings.hold(layer, "in", axes[-1])
        set_axes(out, [*axes[:-1], self._holdings.makes(layer, out.shape[-1])])

    def _alien_matrix(self, rows: torch.Tensor, weight: torch.Tensor) -> None:
        """Bar channels that are read by a matrix without channels that is no layer's weight."""
        tally = self._recorder.stack[-1]
        if tally.name and weight.dim() == 2 and all(axis is None for axis in axes_of(weight)):
            how = "(unpacked from another format, computed from others, or an input)"
            reason = f"{tally.name!r} ({tally.kind}) multiplies it by a matrix that is no layer's weight {how}"
            fix((axes_of(rows)[-1],), reason)

    def _computed(self, weight: torch.Tensor, kinds: Any) -> str | None:
        """Say that the weight of the layer that runs is not the parameter itself, and list its channels as barred."""
        tally = self._recorder.stack[-1]
        module = self._recorder.module_of(tally)
        if not isinstance(module, kinds) or self._owners.of(weight):
            return None
        how = "(a parametrization, a mask, weight norm, autocast)"
        reason = f"the weight of {tally.name!r} is computed before it is used {how}"
        self._holdings.close(
            tally.name, "channels", int(getattr(module, "out_features", 0) or module.out_channels), reason
        )
        return reason

    def _close(self, weight: torch.Tensor, count: int) -> None:
        tally = self._recorder.stack[-1]
        module = self._recorder.module_of(tally)
        if isinstance(module, nn.MultiheadAttention):
            reason = f"the forward of {tally.name!r} (nn.MultiheadAttention) cuts its heads from embed_dim, its width"
            self._holdings.close(tally.name, "heads", module.num_heads, reason)
        elif tally.name and (owner := self._owners.of(weight)) is not None and owner[0] == tally.name:
            reason = f"{tally.name!r} is a {tally.kind}, whose weight may lie another way than that of a layer of torch"
            self._holdings.close(tally.name, "channels", count, reason)

    def _constant_pad(self, args: Any, kwargs: Any, out: Any) -> None:
        tally = self._recorder.stack[-1]
        if isinstance(self._recorder.module_of(tally), nn.LocalResponseNorm):
            taint(axes_of(args[0]), f"{tally.name!r} ({tally.kind}) divides each channel by those beside it")
        STEPS["constant_pad_nd"](args, kwargs, out, tally.name)

    def _addmm(self, args: Any, _kwargs: Any, out: Any) -> None:
        self._product(args[1], args[2], out)
        taint(axes_of(args[0]), "it is added inside a matrix product")

    def _mm(self, args: Any, _kwargs: Any, out: Any) -> None:
        self._product(args[0], args[1], out)

    def _bmm(self, args: Any, _kwargs: Any, out: Any) -> None:
        multiply(args[0], args[1], out)

    def _baddbmm(self, args: Any, _kwargs: Any, out: Any) -> None:
        multiply(args[1], args[2], out)
        if args[0].numel() > 1 and args[0].shape[0] > 1:
            taint((*axes_of(args[0]), *axes_of(out)), "it is added inside a matrix product")

    def _embedding(self, args: Any, _kwargs: Any, out: Any) -> None:
        layer = self._owners.layer(args[0], nn.Embedding)
        if layer is None:
            taint(axes_of(args[0]), self._owners.foreign(args[0]))
        else:
            set_axes(out, [*([None] * (out.dim() - 1)), self._holdings.makes(layer, out.shape[-1])])

    def _concatenate(self, args: Any, kwargs: Any, out: Any) -> None:
        tensors = [tensor for tensor in args[0] if tensor.dim() == out.dim()]
        dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.dim()
        found: Axes = []
        for place in range(out.dim()):
            axes = [axes_of(tensor)[place] for tensor in tensors]
            if place == dim:
                taint((axis for axis in axes if loose(axis)), "it lies beside a parameter in a concatenation")
                solid = [None if loose(axis) else axis for axis in axes]
                found.append(join(solid, [tensor.shape[place] for tensor in tensors]))
            else:
                found.append(self._matched(list(zip(tensors, axes, strict=True)), out.shape[place]))
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

    def _split(self, args: Any, kwargs: Any, out: Any) -> None:
        layer = self._recorder.stack[-1].name
        STEPS["split"](args, kwargs, out, layer)
        dim = (args[2] if len(args) > 2 else kwargs.get("dim", 0)) % args[0].dim()
        pieces = [axis for piece in out if (axis := axes_of(piece)[dim]) is not None]
        if len({piece.shape[dim] for piece in out}) == 1 and pieces:
            self._holdings.splits.append((layer, pieces))


Handler: TypeAlias = Callable[[Flow, Any, Any, Any], None]

_HANDLERS: Final[dict[str, Handler]] = {
    "convolution": Flow._convolution,
    "addmm": Flow._addmm,
    "mm": Flow._mm,
    "linear": Flow._mm,
    "bmm": Flow._bmm,
    "baddbmm": Flow._baddbmm,
    "embedding": Flow._embedding,
    "cat": Flow._concatenate,
    "constant_pad_nd": Flow._constant_pad,
    "copy_": Flow._copy_into,
    **dict.fromkeys(("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes"), Flow._split),
}
