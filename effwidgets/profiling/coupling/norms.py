"""Channels that go through norms and dropout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from torch import nn

from effwidgets.profiling.calls import tensors_in
from effwidgets.profiling.coupling.channels import Axis, settle, taint
from effwidgets.profiling.coupling.holdings import Holdings
from effwidgets.profiling.coupling.owners import Owners
from effwidgets.profiling.coupling.steps import STEPS, Axes, axes_of, set_axes
from effwidgets.profiling.recorder import Recorder

__all__ = ["NORMS", "Norms"]


class Norms:
    """Follows channels through norms.

    Args:
        recorder: knows which layer runs.
        owners: knows whose a parameter is.
        holdings: where it is noted which channels a norm keeps numbers for.
    """

    def __init__(self, recorder: Recorder, owners: Owners, holdings: Holdings) -> None:
        self._recorder = recorder
        self._owners = owners
        self._holdings = holdings

    def batch_norm(self, args: Any, _kwargs: Any, out: Any) -> None:
        """Statistics of each channel alone."""
        axes = axes_of(args[0])
        weight = args[1]
        self._foreign(args[1:])
        if weight is not None:
            kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
            layer = self._owners.layer(weight, kinds)
            if layer is None:
                taint((axes[1],), self._owners.foreign(weight))
            elif axes[1] is not None:
                self._holdings.hold(layer, "out", axes[1])
        elif axes[1] is not None:
            tally = self._recorder.stack[-1]
            module = self._recorder.module_of(tally)
            if isinstance(module, nn.modules.batchnorm._NormBase):
                self._holdings.hold(tally.name, "out", _once(axes[1], args[0].shape[1] // module.num_features))
        each = args[0].shape[1:2]
        for tensor in tensors_in(out):  # and the mean and spread of each channel
            set_axes(tensor, axes if tensor.dim() == len(axes) else [axes[1]] if tensor.shape == each else [])

    def fresh(self, args: Any, _kwargs: Any, out: Any) -> None:
        """Follow what is made blank for now: dropout of whole channels draws a number for each of them."""
        axes = axes_of(args[0])
        dropout = isinstance(self._recorder.module_of(self._recorder.stack[-1]), nn.modules.dropout._DropoutNd)
        if dropout and out.dim() == len(axes):
            sizes = zip(axes, args[0].shape, out.shape, strict=True)
            set_axes(out, [axis if before == after else None for axis, before, after in sizes])

    def layer_norm(self, args: Any, _kwargs: Any, out: Any) -> None:
        """Statistics over the last dimensions."""
        axes = axes_of(args[0])
        self._foreign(args[2:])
        normed = axes[len(axes) - len(args[1]) :]
        if len(normed) == 1 and self._follows():
            if normed[0] is not None:
                self._holdings.hold(self._recorder.stack[-1].name, "out", normed[0])
        else:
            self._shared_statistics(normed)
        set_axes(next(tensors_in(out)), axes)

    def mean(self, args: Any, kwargs: Any, out: Any) -> None:
        """Follow a mean: inside of a root mean square norm that is no operation of its own, its statistics."""
        axes = list(axes_of(args[0]))
        if axes and self._follows() and args[1:2] == ([len(axes) - 1],) and out.dim() == len(axes):
            if axes[-1] is not None:
                self._holdings.hold(self._recorder.stack[-1].name, "out", axes[-1])
            set_axes(out, [*axes[:-1], None])
        else:
            STEPS["mean"](args, kwargs, out, self._recorder.stack[-1].name)

    def _follows(self) -> bool:
        # A norm over the last dimension whose forward reads its width from itself.
        module = self._recorder.module_of(self._recorder.stack[-1])
        known = isinstance(module, nn.LayerNorm | nn.RMSNorm) and len(module.normalized_shape) == 1
        return known and type(module) in (nn.LayerNorm, nn.RMSNorm)  # not one that is made from them

    def _foreign(self, others: Any) -> None:
        for tensor in tensors_in(others):
            taint(axes_of(tensor), self._owners.foreign(tensor))

    def group_norm(self, args: Any, _kwargs: Any, out: Any) -> None:
        """Statistics over groups of channels."""
        axes = axes_of(args[0])
        self._foreign(args[1:])
        self._shared_statistics(axes[1:])
        set_axes(next(tensors_in(out)), axes)

    def _shared_statistics(self, normed: Axes) -> None:
        tally = self._recorder.stack[-1]
        for axis in normed:
            if axis is not None and isinstance(
                self._recorder.module_of(tally), nn.LayerNorm | nn.GroupNorm | nn.RMSNorm
            ):
                self._holdings.hold(tally.name, "out", axis)
            taint((axis,), f"{tally.name!r} ({tally.kind}) takes mean and spread over several channels together")


def _once(axis: Axis, times: int) -> Axis:
    # An instance norm lays the samples of a batch one behind the other, as if they were further channels.
    parts = settle(axis)
    alike = len(parts) == 1 and len(parts[0]) > 1 and parts[0][0] == times
    return (parts[0][1:],) if alike else parts[: max(1, len(parts) // times)]


Norm: TypeAlias = Callable[[Norms, Any, Any, Any], None]

NORMS: Final[dict[str, Norm]] = {
    **dict.fromkeys(
        (
            "native_batch_norm",
            "_native_batch_norm_legit",
            "_native_batch_norm_legit_no_training",
            "_batch_norm_no_update",
            "_batch_norm_with_update",
            "cudnn_batch_norm",
        ),
        Norms.batch_norm,
    ),
    "native_layer_norm": Norms.layer_norm,
    "_fused_rms_norm": Norms.layer_norm,
    "mean": Norms.mean,
    "native_group_norm": Norms.group_norm,
    **dict.fromkeys(("new_empty", "new_zeros", "new_ones", "new_full"), Norms.fresh),
}
"""Operation -> what becomes of the channels, from ``(args, kwargs, out)``."""
