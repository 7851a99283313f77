"""Batch norm folded into the layer before it: in evaluation mode a norm is a scale and a shift for each channel.

``gamma (W x + b - mean) / sqrt(var + eps) + beta`` is the layer ``W' x + b'`` with ``W' = W gamma / sqrt(var + eps)``
and ``b' = beta + (b - mean) gamma / sqrt(var + eps)``, by rows of ``W`` (Jacob et al. 2018, arXiv:1712.05877, section
3.2). The norm becomes a `torch.nn.Identity`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Final, Literal, cast

import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.profiling.layers import config_of
from effwidgets.records import Cost, Edit, Group, LayerProfile, Profile, Site, Skip, Step, TensorInfo, settings
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.dtypes import bytes_each
from effwidgets.transforms.foresee import Foreseen, change_between
from effwidgets.transforms.obstacles import FLOATS, bare_kind
from effwidgets.transforms.surgery import (
    HOOKS,
    blank_parameter,
    find_layer,
    piece,
    plain_obstacle,
    replace_layer,
    tied_places,
)

__all__ = ["FOLD_BN", "FoldBatchNorm"]

_NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_TRANSPOSED: Final = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_MAKERS: Final = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
_NORM_NAMES: Final = frozenset({*(kind.__name__ for kind in _NORMS), "SyncBatchNorm"})
_RANKS: Final = {kind.__name__: 2 if kind is nn.Linear else 2 + int(kind.__name__[-2]) for kind in _MAKERS}
_FOR_USE: Final = (
    "Fold after the last training: a folded layer no longer follows the statistics of the batches that it is trained "
    "on, which steady a training and change its outcome."
)


class FoldBatchNorm:
    """A convolution or linear layer takes over the batch norm behind it; the outputs in evaluation mode stay.

    A step names both: ``Step(transform="fold_bn", layers=("conv1", "bn1"))``. No settings.
    """

    name: ClassVar[str] = "fold_bn"
    family: ClassVar[str] = "fuse"
    phase: ClassVar[Literal["structure", "format", "schedule"]] = "schedule"
    exact: ClassVar[frozenset[str]] = frozenset({"params", "param_bytes", "macs", "backward_macs", "saved_bytes"})
    reads: ClassVar[frozenset[str]] = frozenset()
    repairs: ClassVar[frozenset[str]] = frozenset()

    def sites(self, profile: Profile) -> Iterator[Site | Skip]:
        """Yield every batch norm with the layer that alone hands it its input, or why it has none."""
        makers = {handed.taker: handed.maker for handed in profile.handed}
        for norm in profile.layers:
            if norm.kind not in _NORM_NAMES:
                continue
            maker = makers.get(norm.name)
            layer = None if maker is None else _standing(profile, maker)
            reason = _norm_obstacle(norm) or _maker_obstacle(profile, norm, layer)
            if reason is None and maker is not None:
                reason = _read_elsewhere(profile, maker, norm.name)
            if reason or layer is None:
                yield Skip(transform=self.name, layers=(norm.name,), reason=reason or "no layer hands it its input")
            else:
                yield Site(
                    transform=self.name,
                    layers=(layer.name, norm.name),
                    knobs=(),
                    reason=f"{norm.kind} {norm.name} becomes part of {layer.kind} {layer.name}: one pass less over its "
                    "outputs, nothing kept for its backward, the same answers in evaluation mode",
                    warnings=(_FOR_USE,),
                    advised=False,
                )

    def estimate(self, profile: Profile, step: Step) -> Cost:
        """Return the change: the norm's numbers go, a bias may come, no input of the norm is kept."""
        return change_between(profile, self.foresee(profile, step))

    def measured_at(self, edit: Edit) -> frozenset[str]:
        """Name where an edit's error is measured: behind the norm; the layer itself answers otherwise, as it should."""
        return frozenset(edit.step.layers[-1:])

    def foresee(self, profile: Profile, step: Step) -> Foreseen:
        """Tell what stands there afterwards: the layer with a bias, and an identity."""
        names = self._targets(step)
        layer, norm = (profile.layer(name) for name in names)
        reason = _norm_obstacle(norm) or _maker_obstacle(profile, norm, layer)
        if reason is None:
            near = [handed for handed in profile.handed if handed.taker == norm.name]
            makers = [handed.maker for handed in near if _standing(profile, handed.maker) == layer]
            reason = (
                _read_elsewhere(profile, makers[0], norm.name)
                if makers
                else f"{norm.name} does not take what {layer.name} returns"
            )
        if reason:
            raise TransformError(f"{step}: {reason}.")
        groups = tuple(_without(group, norm.name) for group in profile.groups)
        return Foreseen(layers={layer.name: (_biased(layer),), norm.name: (_passed(norm),)}, groups=groups)

    def rewrite(self, model: nn.Module, step: Step, profile: Profile) -> Edit:
        """Give the layer new parameters and a bias; put an identity where the norm stands."""
        del profile
        names = self._targets(step)
        layer, norm = (find_layer(model, name) for name in names)
        before = (piece(names[0], layer), piece(names[1], norm))
        reason = _misfit(model, layer, norm)
        if reason:
            raise TransformError(f"{step}: {reason}.")
        weight, bias = _weight(layer), cast("Tensor | None", layer.bias)
        layer.weight = blank_parameter(weight, weight.shape)
        layer.bias = blank_parameter(weight if bias is None else bias, (_channels(layer),))
        replace_layer(model, names[1], nn.Identity())
        after = (piece(names[0], layer), piece(names[1], find_layer(model, names[1])))
        return Edit(step=step, before=before, after=after, notes=(_FOR_USE,))

    def fit(self, model: nn.Module, original: nn.Module, edit: Edit, calibration: Calibration | None) -> Edit:
        """Multiply and add in double precision, then round once. Calibration data is not used."""
        del calibration
        name, other = self._targets(edit.step)
        old, new, norm = find_layer(original, name), find_layer(model, name), find_layer(original, other)
        scale, shift = _affine(cast("nn.BatchNorm2d", norm))
        weight, bias = _weight(old).detach().double(), cast("Tensor | None", old.bias)
        with torch.no_grad():
            _weight(new).copy_(weight * _spread(old, scale))
            start = torch.zeros_like(shift) if bias is None else bias.double()
            cast("Tensor", new.bias).copy_(start * scale + shift)
        return edit

    def witness(self, original: nn.Module, edit: Edit, model: nn.Module) -> None:
        """Change nothing: in evaluation mode the answers are the same."""

    def _targets(self, step: Step) -> tuple[str, str]:
        step.check_settings(())
        if len(step.layers) != 2:
            message = f"{step}: fold_bn takes a layer and the norm behind it, as in ('conv1', 'bn1')"
            raise TransformError(f"{message}; {len(step.layers)} came.")
        return step.layers[0], step.layers[1]


def _standing(profile: Profile, maker: str) -> LayerProfile:
    # A layer that an earlier step made a chain of hands on what its last link returns.
    layer = profile.layer(maker)
    while layer.kind == "Sequential" and (links := list(profile.children(layer.name))):
        layer = links[-1]
    return layer


def _read_elsewhere(profile: Profile, maker: str, norm: str) -> str | None:
    taken = [handed for handed in profile.handed if handed.maker == maker]
    if any(handed.shared or handed.taker != norm for handed in taken):
        return f"what {maker} returns is read elsewhere too, and would be normed there as well"
    return None


def _norm_obstacle(norm: LayerProfile) -> str | None:
    if norm.kind == "SyncBatchNorm":
        return "it is a SyncBatchNorm, of several machines; torch.nn.BatchNorm2d was expected"
    if norm.calls != 1:
        return f"it ran {norm.calls} times in this forward; once was expected" if norm.calls else "it did not run"
    if norm.tensor("running_mean") is None or norm.tensor("running_var") is None:
        return "it keeps no statistics: it norms each batch by itself, also in use, which no layer before it can do"
    names = {tensor.name for tensor in norm.tensors}
    odd = names - {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    if odd:
        return f"it holds {', '.join(sorted(odd))} beside a norm's own tensors: parametrized or masked"
    tied = next((tensor for tensor in norm.tensors if tensor.tied_to is not None), None)
    return None if tied is None else f"its {tied.name} is tied to {tied.tied_to}"


def _maker_obstacle(profile: Profile, norm: LayerProfile, layer: LayerProfile | None) -> str | None:
    if layer is None:
        return (
            "its input is not what one layer returned that ran once: something stands between, the layer is shared, or "
            "it is the model's input"
        )
    kind = bare_kind(layer)
    if kind not in _RANKS:
        return f"what is before it is {layer.kind} {layer.name}; a convolution or a linear layer was expected"
    return _weight_obstacle(layer, kind) or _place_obstacle(profile, norm, layer)


def _weight_obstacle(layer: LayerProfile, kind: str) -> str | None:
    weight = layer.tensor("weight")
    named = {tensor.name for tensor in layer.tensors}
    if layer.kind != kind or weight is None or weight.kind != "parameter" or named - {"weight", "bias"}:
        return f"the weight of {layer.name} is not a plain parameter: parametrized, masked or normalised"
    if weight.dtype not in FLOATS:
        return f"the weight of {layer.name} is {weight.dtype}; floating point was expected"
    return None


def _place_obstacle(profile: Profile, norm: LayerProfile, layer: LayerProfile) -> str | None:
    kind, affine, weight = bare_kind(layer), norm.tensor("weight"), layer.tensor("weight")
    if layer.calls != 1:
        return f"{layer.name}, before it, ran {layer.calls} times in this forward; once was expected"
    if len(norm.inputs[0]) != _RANKS[kind]:
        return f"{layer.name} returns {len(norm.inputs[0])} dimensions, of which the norm takes the second as channels"
    if affine is not None and affine.trainable and not (weight and weight.trainable):
        return f"it learns and {layer.name} is frozen: folded, it would be frozen too"
    return _tie(profile, layer)


def _tie(profile: Profile, layer: LayerProfile) -> str | None:
    ties = {tensor.tied_to: other.name for other in profile.layers for tensor in other.tensors if tensor.tied_to}
    for tensor in layer.tensors:
        tied = tensor.tied_to or ties.get(f"{layer.name}.{tensor.name}")
        if tied is not None:
            return f"the {tensor.name} of {layer.name} is tied to {tied}"
    return None


def _biased(layer: LayerProfile) -> LayerProfile:
    weight = layer.tensor("weight")
    assert weight is not None  # noqa: S101  no obstacle
    if layer.tensor("bias") is not None:
        return layer
    channels = layer.outputs[0][1]
    bias = TensorInfo(name="bias", shape=(channels,), dtype=weight.dtype, kind="parameter", trainable=weight.trainable)
    more = Cost(params=channels, param_bytes=channels * bytes_each(weight.dtype))
    config = settings({**dict(layer.config), "bias": True})
    return replace(layer, tensors=(*layer.tensors, bias), config=config, self_cost=layer.self_cost + more)


def _passed(norm: LayerProfile) -> LayerProfile:
    return replace(norm, kind="Identity", tensors=(), config=config_of(nn.Identity()), self_cost=Cost())


def _without(group: Group, norm: str) -> Group:
    # The norm holds no channels any more and keeps nothing for them.
    gone = sum(each for name, each in group.saved_at if name == norm)
    return replace(
        group,
        members=tuple(member for member in group.members if member.layer != norm),
        saved_bytes_each=group.saved_bytes_each - gone,
        saved_at=tuple((name, each) for name, each in group.saved_at if name != norm),
    )


def _misfit(model: nn.Module, layer: nn.Module, norm: nn.Module) -> str | None:
    if type(layer) not in _MAKERS:
        return f"the layer is a {type(layer).__name__}; a convolution or linear layer of torch.nn was expected"
    if type(norm) not in _NORMS:
        return f"the norm is a {type(norm).__name__}; BatchNorm1d, 2d or 3d of torch.nn was expected"
    batch_norm = cast("nn.BatchNorm2d", norm)
    if batch_norm.running_mean is None or batch_norm.running_var is None:
        return "the norm keeps no statistics"
    if batch_norm.num_features != _channels(layer):
        return f"the norm takes {batch_norm.num_features} channels, the layer returns {_channels(layer)}"
    if any(getattr(norm, hooks, None) for hooks in HOOKS):
        return "the norm has hooks, which would be lost; remove them first"
    tied = tied_places(model, layer)
    return plain_obstacle(layer) or (f"its weight is tied to {tied[0]}" if tied else None)


def _weight(module: nn.Module) -> Tensor:
    return cast("Tensor", module.weight)


def _channels(layer: nn.Module) -> int:
    return int(cast("int", layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels))


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    # What the norm multiplies each channel by, and what it adds, in double precision.
    assert norm.running_mean is not None  # noqa: S101  rewrite looked
    assert norm.running_var is not None  # noqa: S101
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = -norm.running_mean.double() * scale
    return scale, shift if norm.bias is None else shift + norm.bias.detach().double()


def _spread(layer: nn.Module, scale: Tensor) -> Tensor:
    # The scale of each channel, along the dimension of the weight that holds the layer's outputs.
    weight = _weight(layer)
    ones = (1,) * (weight.dim() - 2)
    if not isinstance(layer, _TRANSPOSED):
        return scale.view(-1, 1, *ones)
    # (in, out / groups, ...): the rows of one group hold the outputs of that group.
    rows = scale.view(layer.groups, -1).repeat_interleave(weight.shape[0] // layer.groups, dim=0)
    return rows.view(*rows.shape, *ones)


FOLD_BN: Final = FoldBatchNorm()
"""The one instance that is registered."""
