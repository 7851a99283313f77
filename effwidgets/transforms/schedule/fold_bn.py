"""Batch norm folded into the layer next to it: in evaluation mode a norm is a scale and a shift for each channel.

Into the layer before it, ``gamma (W x + b - mean) / sqrt(var + eps) + beta`` is ``W' x + b'`` with ``W' = W gamma /
sqrt(var + eps)`` and ``b' = beta + (b - mean) gamma / sqrt(var + eps)``, by rows of ``W`` (Jacob et al. 2018,
arXiv:1712.05877, section 3.2). Where that cannot be, as in blocks that norm first, into the layer behind it: there
``W`` is scaled by columns, and ``b' = b + W (beta - mean gamma / sqrt(var + eps))``. The norm becomes a
`torch.nn.Identity`.
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
from effwidgets.transforms.schedule.fold_kept import backward_macs, keeps_input
from effwidgets.transforms.schedule.fold_neighbours import (
    NORM_NAMES,
    after,
    before,
    norm_obstacle,
    obstacle_ahead,
    obstacle_back,
)
from effwidgets.transforms.schedule.fold_values import folded, is_norm, misfit
from effwidgets.transforms.surgery import blank_parameter, find_layer, piece, replace_layer

__all__ = ["FOLD_BN", "FoldBatchNorm"]

_FOR_USE: Final = (
    "Fold after the last training: a folded layer no longer follows the statistics of the batches that it is trained "
    "on, which steady a training and change its outcome."
)


class FoldBatchNorm:
    """A convolution or linear layer takes over the batch norm next to it; the outputs in evaluation mode stay.

    A step names both in the order in which they run: ``Step(transform="fold_bn", layers=("conv1", "bn1"))`` folds a
    norm into the layer before it, ``layers=("bn", "fc")`` into the one behind it, which must be all that reads it and
    may not pad with zeros. No settings. Where both can be, `sites` offers the layer before it.
    """

    name: ClassVar[str] = "fold_bn"
    family: ClassVar[str] = "fuse"
    phase: ClassVar[Literal["structure", "format", "schedule"]] = "schedule"
    exact: ClassVar[frozenset[str]] = frozenset({"params", "param_bytes", "macs", "backward_macs", "saved_bytes"})
    reads: ClassVar[frozenset[str]] = frozenset()
    repairs: ClassVar[frozenset[str]] = frozenset()

    def sites(self, profile: Profile) -> Iterator[Site | Skip]:
        """Yield every batch norm with the layer that takes it over, or why there is none."""
        for norm in profile.layers:
            if norm.kind in NORM_NAMES:
                yield self._site(profile, norm)

    def _site(self, profile: Profile, norm: LayerProfile) -> Site | Skip:
        first, last = before(profile, norm), after(profile, norm)
        reason = norm_obstacle(norm)
        if reason is None:
            reason = obstacle_back(profile, norm, first)
            if reason is None and first is not None:
                return self._found((first, norm), f"{norm.kind} {norm.name} becomes part of {first.kind} {first.name}")
            ahead = obstacle_ahead(profile, norm, last)
            if ahead is None and last is not None:
                what = f"{norm.kind} {norm.name} becomes part of {last.kind} {last.name} behind it"
                return self._found((norm, last), what)
            reason = f"{reason}; nor does it go into what is behind it: {ahead}"
        return Skip(transform=self.name, layers=(norm.name,), reason=reason)

    def _found(self, layers: tuple[LayerProfile, LayerProfile], what: str) -> Site:
        return Site(
            transform=self.name,
            layers=(layers[0].name, layers[1].name),
            knobs=(),
            reason=f"{what}: one pass less over its outputs, nothing kept for its backward, the same answers in "
            "evaluation mode",
            warnings=(_FOR_USE,),
            advised=False,
        )

    def estimate(self, profile: Profile, step: Step) -> Cost:
        """Return the change: the norm's numbers go, a bias may come, one of two tensors is kept no more."""
        return change_between(profile, self.foresee(profile, step))

    def measured_at(self, edit: Edit) -> frozenset[str]:
        """Name where an edit's error is measured: behind both; what is between them is another tensor, as it should."""
        return frozenset(edit.step.layers[-1:])

    def foresee(self, profile: Profile, step: Step) -> Foreseen:
        """Tell what stands there afterwards: the layer with a bias, and an identity."""
        first, last = (profile.layer(name) for name in self._targets(step))
        ahead = first.kind in NORM_NAMES
        norm, layer = (first, last) if ahead else (last, first)
        beside = (after if ahead else before)(profile, norm)
        apart = None if beside == layer else f"{last.name} does not take what {first.name} returns"
        reason = norm_obstacle(norm) or (apart if beside else None)
        reason = reason or (obstacle_ahead if ahead else obstacle_back)(profile, norm, layer) or apart
        if reason:
            raise TransformError(f"{step}: {reason}.")
        return _foreseen_ahead(profile, norm, layer) if ahead else _foreseen_back(profile, norm, layer)

    def rewrite(self, model: nn.Module, step: Step, profile: Profile) -> Edit:
        """Give the layer new parameters and a bias; put an identity where the norm stands."""
        del profile
        names = self._targets(step)
        modules = [find_layer(model, name) for name in names]
        was = tuple(piece(name, module) for name, module in zip(names, modules, strict=True))
        ahead = is_norm(modules[0])
        norm, layer = modules if ahead else reversed(modules)
        reason = misfit(model, layer, norm, ahead=ahead)
        if reason:
            raise TransformError(f"{step}: {reason}.")
        weight, bias = cast("Tensor", layer.weight), cast("Tensor | None", layer.bias)
        layer.weight = blank_parameter(weight, weight.shape)
        layer.bias = blank_parameter(weight if bias is None else bias, (_outputs(layer),))
        replace_layer(model, names[0 if ahead else 1], nn.Identity())
        now = tuple(piece(name, find_layer(model, name)) for name in names)
        return Edit(step=step, before=was, after=now, notes=(_FOR_USE,))

    def fit(self, model: nn.Module, original: nn.Module, edit: Edit, calibration: Calibration | None) -> Edit:
        """Multiply and add in double precision, then round once. Calibration data is not used."""
        del calibration
        first, last = self._targets(edit.step)
        ahead = is_norm(find_layer(original, first))
        norm, layer = (first, last) if ahead else (last, first)
        weight, bias = folded(find_layer(original, layer), find_layer(original, norm), ahead=ahead)
        new = find_layer(model, layer)
        with torch.no_grad():
            cast("Tensor", new.weight).copy_(weight)
            cast("Tensor", new.bias).copy_(bias)
        return edit

    def witness(self, original: nn.Module, edit: Edit, model: nn.Module) -> None:
        """Change nothing: in evaluation mode the answers are the same."""

    def _targets(self, step: Step) -> tuple[str, str]:
        step.check_settings(())
        if len(step.layers) != 2:
            message = (
                f"{step}: fold_bn takes a layer and the norm behind it, as in ('conv1', 'bn1'), or a norm and the "
                "layer behind it, as in ('bn', 'fc')"
            )
            raise TransformError(f"{message}; {len(step.layers)} came.")
        return step.layers[0], step.layers[1]


def _outputs(layer: nn.Module) -> int:
    return int(cast("int", layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels))


def _foreseen_back(profile: Profile, norm: LayerProfile, layer: LayerProfile) -> Foreseen:
    gone = frozenset({norm.name})
    groups = tuple(_without(group, norm.name, gone) for group in profile.groups)
    return Foreseen(layers={layer.name: (_biased(layer),), norm.name: (_passed(norm),)}, groups=groups)


def _foreseen_ahead(profile: Profile, norm: LayerProfile, layer: LayerProfile) -> Foreseen:
    keeps = keeps_input(profile, norm, layer)
    made = _biased(layer)
    own = replace(
        made.self_cost,
        backward_macs=backward_macs(profile, norm, layer),
        saved_bytes=made.self_cost.saved_bytes if keeps else 0,
    )
    gone = frozenset({norm.name} if keeps else {norm.name, layer.name})
    groups = tuple(_without(group, norm.name, gone) for group in profile.groups)
    return Foreseen(
        layers={norm.name: (_passed(norm),), layer.name: (replace(made, self_cost=own),)},
        groups=groups,
    )


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


def _without(group: Group, norm: str, quiet: frozenset[str]) -> Group:
    # The norm holds no channels any more, and the quiet ones keep nothing for them.
    gone = sum(each for name, each in group.saved_at if name in quiet)
    return replace(
        group,
        members=tuple(member for member in group.members if member.layer != norm),
        saved_bytes_each=group.saved_bytes_each - gone,
        saved_at=tuple((name, each) for name, each in group.saved_at if name not in quiet),
    )


FOLD_BN: Final = FoldBatchNorm()
"""The one instance that is registered."""
