"""Remove channels: from the layers that make them, those that pass them on and those that read them, all at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.records import Cost, Edit, Group, Kept, Piece, Profile, Site, Skip, Step
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.foresee import Foreseen
from effwidgets.transforms.prune.channels import (
    Axes,
    Cuts,
    Side,
    axes_of,
    cut_layer,
    entries_kept,
    fill_layer,
    sides,
    weight_mask,
)
from effwidgets.transforms.prune.criteria import strength, strongest
from effwidgets.transforms.prune.prunable import channels_asked, group_asked, obstacle_of, site_of, unfollowed
from effwidgets.transforms.prune.pruned import foreseen, trim_change
from effwidgets.transforms.prune.scenes import Scene
from effwidgets.transforms.prune.trims import Trim, layer_axes
from effwidgets.transforms.prune.wide_norms import NormOfSome, is_wide_norm
from effwidgets.transforms.surgery import find_layer, piece, plain_obstacle, replace_layer, tied_places

__all__ = ["CHANNEL_PRUNE", "ChannelPrune"]


class ChannelPrune:
    """Keep the strongest channels of a group of layers whose channels change together.

    The step names the group by its first producer. Settings ``channels``: how many stay, a multiple of `Group.blocks`;
    ``criterion``: "l2" unless given, or another of `CRITERIA`; ``seed``: for "random"; ``anyway``: True to have all of
    them kept, which saves nothing and is refused otherwise. The channels of a group of kind "heads" are whole attention
    heads.
    """

    name: ClassVar[str] = "channel_prune"
    family: ClassVar[str] = "prune"
    phase: ClassVar[Literal["structure", "format", "schedule"]] = "structure"
    exact: ClassVar[frozenset[str]] = frozenset({"params", "param_bytes", "macs", "backward_macs", "saved_bytes"})
    reads: ClassVar[frozenset[str]] = frozenset({"groups"})
    repairs: ClassVar[frozenset[str]] = frozenset({"least_squares", "bias", "batch_norm"})

    def sites(self, profile: Profile) -> Iterator[Site | Skip]:
        """Yield every group of channels, or why its channels must stay; and each layer in none, with why."""
        layers = {layer.name: layer for layer in profile.layers}
        for group in profile.groups:
            reason = group.obstacle or obstacle_of(group, layers, profile.groups)
            if reason:
                yield Skip(transform=self.name, layers=(group.name,), reason=reason)
            else:
                yield site_of(self.name, group, layers)
        for name, reason in unfollowed(profile):
            yield Skip(transform=self.name, layers=(name,), reason=reason)

    def estimate(self, profile: Profile, step: Step) -> Cost:
        """Return the change: see `trim_change`."""
        return trim_change(_trim(profile, step))

    def foresee(self, profile: Profile, step: Step) -> Foreseen:
        """Return what stands in the profile afterwards: see `pruned.foreseen`."""
        return foreseen(profile, _trim(profile, step))

    def rewrite(self, model: nn.Module, step: Step, profile: Profile) -> Edit:
        """Cut all members to the asked number of channels; the values come with `fit`."""
        group = group_asked(profile, step)
        channels = channels_asked(step, group)
        modules = {member.layer: find_layer(model, member.layer) for member in group.members}
        axes = _module_axes(step, modules, group)
        for name, module in modules.items():
            tied = tied_places(model, module)
            reason = _obstacle(module, axes[name]) or (f"its parameters are tied to {tied[0]}" if tied else None)
            if reason:
                raise TransformError(f"{step}: {name or 'the model itself'}: {reason}.")
        # Any will do for the shapes, the same number from each block.
        first = [place for place in range(group.channels) if place % _run(group) < channels // group.blocks]
        cuts = _cuts(group, first, axes, modules)
        before = (*_pieces(modules, axes), *_stated_pieces(model, group))
        _state(model, group, channels, step)
        for name, cut in cuts.items():
            cut_layer(axes[name], modules[name], cut)
        after = (*_pieces(modules, axes), *_stated_pieces(model, group))
        return Edit(step=step, before=before, after=after, kept=_kept(cuts, axes), group=group)

    def fit(self, model: nn.Module, original: nn.Module, edit: Edit, calibration: Calibration | None) -> Edit:
        """Choose the channels by the criterion and copy what is left of every tensor.

        Calibration data is used by the criteria that look at activations.
        """
        group = _group(edit)
        modules = {member.layer: find_layer(original, member.layer) for member in group.members}
        axes = _module_axes(edit.step, modules, group)
        scene = Scene(step=edit.step, group=group, modules=modules, axes=axes, model=original, calibration=calibration)
        scores = strength(scene)
        kept = strongest(scores, channels_asked(edit.step, group), group.blocks)
        cuts = _cuts(group, kept, axes, modules)
        for name, cut in cuts.items():
            fill_layer(axes[name], find_layer(model, name), modules[name], cut)
        return dataclasses.replace(edit, kept=_kept(cuts, axes), notes=(*edit.notes, *_notes(scores, kept)))

    def witness(self, original: nn.Module, edit: Edit, model: nn.Module) -> None:
        """Silence the removed channels where they were read, and leave them out of norms over all of them."""
        del model
        for kept in edit.kept:
            module = find_layer(original, kept.layer)
            if is_wide_norm(module):
                replace_layer(original, kept.layer, NormOfSome(module, kept.indices))
            elif kept.side == "in":
                axes = _module_axes(edit.step, {kept.layer: module}, _group(edit))[kept.layer]
                weight = module.weight
                if not isinstance(weight, Tensor):
                    raise TransformError(f"{edit.step}: {kept.layer} has no weight.")
                silent = weight.detach() * weight_mask(axes, weight.detach(), {"in": kept.indices})
                module.weight = nn.Parameter(silent, requires_grad=weight.requires_grad)


def _trim(profile: Profile, step: Step) -> Trim:
    group = group_asked(profile, step)
    channels = channels_asked(step, group)
    layers = {layer.name: layer for layer in profile.layers}
    reason = obstacle_of(group, layers, profile.groups)
    if reason:
        raise TransformError(f"{step}: {reason}.")
    found = {member.layer: layer_axes(layers[member.layer], group) for member in group.members}
    axes = {name: known for name, known in found.items() if known is not None}
    return Trim(group=group, channels=channels, layers=layers, axes=axes)


def _group(edit: Edit) -> Group:
    if edit.group is None:
        raise TransformError(f"{edit.step}: the edit does not say which channels it is about.")
    return edit.group


def _run(group: Group) -> int:
    return group.channels // group.blocks


def _module_axes(step: Step, modules: Mapping[str, nn.Module], group: Group) -> dict[str, Axes]:
    found = {}
    for name, module in modules.items():
        groups, into, out = (getattr(module, count, 1) for count in ("groups", "in_channels", "out_channels"))
        kind = "Linear" if type(module).__name__ == "NonDynamicallyQuantizableLinear" else type(module).__name__
        plain = type(module) is getattr(nn, type(module).__name__, None)
        own = [member for member in group.members if member.layer == name]
        axes = axes_of(kind, groups, into, out, own) if plain or any(member.tensor for member in own) else None
        if axes is None:
            raise TransformError(f"{step}: {name}, a {type(module).__name__}, mixes the channels or cannot be cut.")
        found[name] = axes
    return found


def _cuts(group: Group, kept: Sequence[int], axes: Mapping[str, Axes], modules: Mapping[str, nn.Module]) -> Cuts:
    cuts: Cuts = {}
    for (layer, side), members in sides(group, axes).items():
        size = _size(modules[layer], axes[layer], side)
        entries = entries_kept(size, members, group.channels, kept)
        _check_blocks(layer, axes[layer], size, entries)
        cuts.setdefault(layer, {})[side] = entries
    return cuts


def _size(module: nn.Module, axes: Axes, side: Side) -> int:
    weight = getattr(module, next(iter(axes.own), "weight"), None)
    if isinstance(weight, Tensor):
        return axes.entries(side, tuple(weight.shape))
    return int(module.normalized_shape[0] if is_wide_norm(module) else getattr(module, "num_features", 0))


def _check_blocks(layer: str, axes: Axes, size: int, entries: Sequence[int]) -> None:
    each = size // axes.blocks
    counts = [0] * axes.blocks
    for entry in entries:
        counts[entry // each] += 1
    if len(set(counts)) > 1:
        raise TransformError(
            f"{layer} runs in {axes.blocks} groups, which must keep the same number each; they would keep "
            f"{', '.join(map(str, counts[:8]))}. The profile is not of this model."
        )


def _kept(cuts: Cuts, axes: Mapping[str, Axes]) -> tuple[Kept, ...]:
    return tuple(
        Kept(layer=layer, side=side, indices=entries)
        for layer, cut in cuts.items()
        for side, entries in cut.items()
        if not axes[layer].own  # the module keeps what it takes and returns
    )


def _obstacle(module: nn.Module, axes: Axes) -> str | None:
    # A tensor of a module's own is all that changes in it: no hook is lost.
    parametrized = nn.utils.parametrize.is_parametrized(module)
    return plain_obstacle(module) if not axes.own or parametrized else None


def _pieces(modules: Mapping[str, nn.Module], axes: Mapping[str, Axes]) -> Iterator[Piece]:
    for name, module in modules.items():
        sizes = ", ".join(f"{own}={tuple(getattr(module, own).shape)}" for own in axes[name].own)
        yield Piece(layer=name, text=f"{type(module).__name__}({sizes})") if sizes else piece(name, module)


def _state(model: nn.Module, group: Group, channels: int, step: Step) -> None:
    # Numbers that a forward reads, such as how many heads there are.
    for layer, attribute, worth in group.stated:
        module = find_layer(model, layer)
        now = getattr(module, attribute, None)
        if now != worth * group.channels:
            raise TransformError(
                f"{step}: {layer or 'the model'}.{attribute} is {now!r}; {worth * group.channels} was expected. The "
                "profile is not of this model."
            )
        setattr(module, attribute, worth * channels)


def _stated_pieces(model: nn.Module, group: Group) -> tuple[Piece, ...]:
    found: dict[str, list[str]] = {}
    for layer, attribute, _ in group.stated:
        found.setdefault(layer, []).append(f"{attribute}={getattr(find_layer(model, layer), attribute, None)}")
    return tuple(
        Piece(layer=layer, text=f"{type(find_layer(model, layer)).__name__}({', '.join(texts)})")
        for layer, texts in found.items()
    )


def _notes(scores: Tensor, kept: Sequence[int]) -> tuple[str, ...]:
    silent = int((scores < 0).sum())
    removed = silent - int((scores[list(kept)] < 0).sum())
    if not removed:
        return ()
    gone = len(scores) - len(kept)
    return (f"{removed} of the {gone} removed channels were zero for every input: without them nothing moves.",)


CHANNEL_PRUNE = ChannelPrune()
