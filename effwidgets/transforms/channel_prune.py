"""Remove channels: from the layers that make them, those that pass them on and those that read them, all at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError, UnknownNameError
from effwidgets.records import Cost, Edit, Group, Kept, Knob, LayerProfile, Profile, Site, Skip, Step
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.channels import (
    Axes,
    Cuts,
    axes_of,
    cut_layer,
    entries_kept,
    fill_layer,
    makes,
    shape_kept,
    sides,
)
from effwidgets.transforms.criteria import CRITERIA, strength
from effwidgets.transforms.factorization import bytes_each
from effwidgets.transforms.surgery import find_layer, piece, plain_obstacle, tied_places

__all__ = ["CHANNEL_PRUNE", "ChannelPrune"]


class ChannelPrune:
    """Keep the strongest channels of a group of layers whose channels change together.

    The step names the group by its first producer. Settings ``channels``: how many stay; ``criterion``: "l2" (unless
    given), "l1" or "bn".
    """

    name: ClassVar[str] = "channel_prune"
    family: ClassVar[str] = "prune"
    phase: ClassVar[Literal["structure", "format", "schedule"]] = "structure"
    exact: ClassVar[frozenset[str]] = frozenset({"params", "param_bytes", "macs", "backward_macs"})
    reads: ClassVar[frozenset[str]] = frozenset({"groups"})

    def sites(self, profile: Profile) -> Iterator[Site | Skip]:
        """Yield every group of channels, or why its channels must stay."""
        layers = {layer.name: layer for layer in profile.layers}
        for group in profile.groups:
            reason = group.obstacle or _obstacle(group, layers)
            if reason:
                yield Skip(transform=self.name, layers=(group.name,), reason=reason)
            else:
                yield _site(group, layers)

    def estimate(self, profile: Profile, step: Step) -> Cost:
        """Return the change: each weight shrinks along the axes that are cut, its MACs in the same ratio."""
        group, channels = _asked(profile, step)
        layers = {layer.name: layer for layer in profile.layers}
        axes = _profile_axes(step, group, layers)
        cuts = _cuts(group, range(channels), axes, {name: _weight_shape(layers[name]) for name in axes})
        total = Cost()
        for name, cut in cuts.items():
            total += _change(layers[name], axes[name], cut)
        return total

    def rewrite(self, model: nn.Module, step: Step, profile: Profile) -> Edit:
        """Cut all members to the asked number of channels; the values come with `fit`."""
        group, channels = _asked(profile, step)
        modules = {member.layer: find_layer(model, member.layer) for member in group.members}
        for name, module in modules.items():
            tied = tied_places(model, module)
            reason = plain_obstacle(module) or (f"its parameters are tied to {tied[0]}" if tied else None)
            if reason:
                raise TransformError(f"{step}: {name}: {reason}.")
        axes = _module_axes(step, modules)
        cuts = _cuts(group, range(channels), axes, _module_shapes(modules))
        before = tuple(piece(name, module) for name, module in modules.items())
        for name, cut in cuts.items():
            cut_layer(axes[name], modules[name], cut)
        after = tuple(piece(name, module) for name, module in modules.items())
        return Edit(step=step, before=before, after=after, kept=_kept(cuts), group=group)

    def fit(self, model: nn.Module, original: nn.Module, edit: Edit, calibration: Calibration | None) -> Edit:
        """Choose the channels by the criterion and copy what is left of every tensor. Calibration data is not used."""
        del calibration
        group = _group(edit)
        modules = {member.layer: find_layer(original, member.layer) for member in group.members}
        axes = _module_axes(edit.step, modules)
        strong = strength(edit.step, group, modules, axes)
        wanted = int(_channels(edit.step, group))
        kept = sorted(torch.argsort(strong, descending=True, stable=True)[:wanted].tolist())
        cuts = _cuts(group, kept, axes, _module_shapes(modules))
        for name, cut in cuts.items():
            fill_layer(axes[name], find_layer(model, name), modules[name], cut)
        return dataclasses.replace(edit, kept=_kept(cuts))

    def witness(self, original: nn.Module, edit: Edit, model: nn.Module) -> None:
        """Silence the removed channels where they were read."""
        del model
        for kept in edit.kept:
            if kept.side == "in":
                module = find_layer(original, kept.layer)
                axis = _module_axes(edit.step, {kept.layer: module})[kept.layer].sides["in"]
                weight = _weight(module)
                mask = torch.zeros(weight.shape[axis], dtype=torch.bool, device=weight.device)
                mask[list(kept.indices)] = True
                shape = [1] * weight.dim()
                shape[axis] = -1
                silent = torch.where(mask.view(shape), weight.detach(), weight.new_zeros(()))
                module.weight = nn.Parameter(silent, requires_grad=weight.requires_grad)


def _weight(module: nn.Module) -> Tensor:
    weight = module.weight
    if not isinstance(weight, Tensor):
        raise TransformError(f"{type(module).__name__} has no weight.")
    return weight


def _group(edit: Edit) -> Group:
    if edit.group is None:
        raise TransformError(f"{edit.step}: the edit does not say which channels it is about.")
    return edit.group


def _asked(profile: Profile, step: Step) -> tuple[Group, int]:
    if len(step.layers) != 1:
        raise TransformError(f"{step}: channel_prune takes the name of one group, {len(step.layers)} came.")
    group = next((group for group in profile.groups if group.name == step.layers[0]), None)
    if group is None:
        raise UnknownNameError("group of channels", step.layers[0], [group.name for group in profile.groups])
    if group.obstacle:
        raise TransformError(f"{step}: {group.obstacle}.")
    return group, _channels(step, group)


def _channels(step: Step, group: Group) -> int:
    step.check_settings(("channels", "criterion"))
    criterion = dict(step.settings).get("criterion", CRITERIA[0])
    if criterion not in CRITERIA:
        raise UnknownNameError("criterion of channel_prune", criterion, CRITERIA)
    value = step.setting("channels")
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= group.channels:
        raise TransformError(f"{step}: channels is {value!r}; a whole number from 1 to {group.channels} was expected.")
    return value


def _obstacle(group: Group, layers: Mapping[str, LayerProfile]) -> str | None:
    if group.channels == 1:
        return "there is only one channel"
    for member in group.members:
        layer = layers.get(member.layer)
        if layer is None:
            return f"{member.layer} is not in the profile"
        if _layer_axes(layer) is None:
            return f"{member.layer}, a {layer.kind}, mixes the channels or cannot be cut"
        extra = {tensor.name for tensor in layer.tensors if tensor.kind == "parameter"} - {"weight", "bias"}
        if extra:
            return f"{member.layer} holds {', '.join(sorted(extra))} beside weight and bias"
    if not any(member.side == "in" for member in group.members):
        return "nothing reads these channels"
    return None


def _site(group: Group, layers: Mapping[str, LayerProfile]) -> Site:
    makers = {member.layer for member in group.members if makes(member.side, _layer_axes(layers[member.layer]))}
    readers = {member.layer for member in group.members if member.side == "in"}
    normed = any(layers[member.layer].kind.startswith("BatchNorm") for member in group.members)
    knobs = (
        Knob(name="channels", kind="int", low=1, high=group.channels),
        Knob(name="criterion", kind="choice", choices=CRITERIA if normed else CRITERIA[:2]),
    )
    reason = f"{group.channels} channels, made by {_some(makers)} and read by {_some(readers)}"
    return Site(transform=ChannelPrune.name, layers=(group.name,), knobs=knobs, reason=reason)


def _some(names: set[str]) -> str:
    return next(iter(names)) if len(names) == 1 else f"{len(names)} layers"


def _layer_axes(layer: LayerProfile) -> Axes | None:
    config = dict(layer.config)
    groups, into, out = (config.get(name, 1) for name in ("groups", "in_channels", "out_channels"))
    return axes_of(layer.kind, *(value if isinstance(value, int) else 0 for value in (groups, into, out)))


def _profile_axes(step: Step, group: Group, layers: Mapping[str, LayerProfile]) -> dict[str, Axes]:
    reason = _obstacle(group, layers)
    if reason:
        raise TransformError(f"{step}: {reason}.")
    found = {member.layer: _layer_axes(layers[member.layer]) for member in group.members}
    return {name: axes for name, axes in found.items() if axes is not None}


def _module_axes(step: Step, modules: Mapping[str, nn.Module]) -> dict[str, Axes]:
    found = {}
    for name, module in modules.items():
        counts = [getattr(module, count, 1) for count in ("groups", "in_channels", "out_channels")]
        plain = type(module) is getattr(nn, type(module).__name__, None)
        axes = axes_of(type(module).__name__, *counts) if plain else None
        if axes is None:
            raise TransformError(f"{step}: {name}, a {type(module).__name__}, mixes the channels or cannot be cut.")
        found[name] = axes
    return found


def _weight_shape(layer: LayerProfile) -> tuple[int, ...]:
    weight = layer.tensor("weight") or layer.tensor("running_mean")
    if weight is None:
        count = dict(layer.config).get("num_features", 0)
        return (count if isinstance(count, int) else 0,)
    return weight.shape


def _module_shapes(modules: Mapping[str, nn.Module]) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for name, module in modules.items():
        weight = getattr(module, "weight", None)
        shapes[name] = tuple(weight.shape) if isinstance(weight, Tensor) else (int(getattr(module, "num_features", 0)),)
    return shapes


def _cuts(group: Group, kept: Sequence[int], axes: Mapping[str, Axes], shapes: Mapping[str, tuple[int, ...]]) -> Cuts:
    cuts: Cuts = {}
    for (layer, side), members in sides(group, axes).items():
        size = shapes[layer][axes[layer].sides[side]]
        cuts.setdefault(layer, {})[side] = entries_kept(size, members, group.channels, kept)
    return cuts


def _kept(cuts: Cuts) -> tuple[Kept, ...]:
    return tuple(
        Kept(layer=layer, side=side, indices=entries) for layer, cut in cuts.items() for side, entries in cut.items()
    )


def _change(layer: LayerProfile, axes: Axes, cut: Mapping[Literal["out", "in"], Sequence[int]]) -> Cost:
    total = Cost()
    for tensor in layer.tensors:
        less = prod(shape_kept(axes, tensor.name, tensor.shape, cut)) - prod(tensor.shape)
        params = less if tensor.kind == "parameter" else 0
        macs = backward = 0
        if tensor.name == "weight":
            macs, backward = (
                work * less // prod(tensor.shape) for work in (layer.self_cost.macs, layer.self_cost.backward_macs)
            )
        each = bytes_each(tensor.dtype)
        total += Cost(params=params, param_bytes=less * each, macs=macs, backward_macs=backward)
    return total


CHANNEL_PRUNE = ChannelPrune()
