"""Which groups of channels may be pruned, to how many, and why others may not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from effwidgets.errors import TransformError, UnknownNameError
from effwidgets.records import Group, Knob, LayerProfile, Profile, Site, Step
from effwidgets.transforms.asked import anyway
from effwidgets.transforms.prune.channels import WIDE_NORMS, makes
from effwidgets.transforms.prune.criteria import CRITERIA, OF_NORMS, criterion_of
from effwidgets.transforms.prune.pruned import product_layers
from effwidgets.transforms.prune.trims import layer_axes

__all__ = ["channels_asked", "group_asked", "obstacle_of", "site_of", "unfollowed"]

_SETTINGS = ("channels", "criterion", "seed", "anyway")
_UNKNOWN = ("The forward asks for values", "Which layers' channels", "No layer's channels")  # as a profile notes it
_MAKERS = ("Linear", "NonDynamicallyQuantizableLinear", "Embedding", "EmbeddingBag", "Bilinear", "Parametrized", "Conv")


def group_asked(profile: Profile, step: Step) -> Group:
    """Return the group that ``step`` names.

    Raises:
        TransformError: it names none or several, or the channels must stay.
        UnknownNameError: no such group.
    """
    if len(step.layers) != 1:
        raise TransformError(f"{step}: channel_prune takes the name of one group, {len(step.layers)} came.")
    group = next((group for group in profile.groups if group.name == step.layers[0]), None)
    if group is None:
        reason = dict(unfollowed(profile)).get(step.layers[0])
        if reason:
            raise TransformError(f"{step}: {reason}.")
        raise UnknownNameError("group of channels", step.layers[0], [group.name for group in profile.groups])
    if group.obstacle:
        raise TransformError(f"{step}: {group.obstacle}.")
    return group


def channels_asked(step: Step, group: Group) -> int:
    """Return how many channels are to stay.

    Raises:
        UnknownNameError: a setting or criterion that there is not.
        TransformError: not a number that the group can have, and the message names the nearest; or all of them, unless
            the setting ``anyway`` is True.
    """
    step.check_settings(_SETTINGS)
    criterion_of(dict(step.settings))
    value, whole, blocks = step.setting("channels"), group.channels, group.blocks
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= whole:
        wanted = f"a whole number from {least(group)} to {whole}" + (f" in steps of {blocks}" if blocks > 1 else "")
        raise TransformError(f"{step}: channels is {value!r}; {wanted} was expected.")
    if value % blocks:
        near = sorted({max(blocks, value // blocks * blocks), (value // blocks + 1) * blocks})
        raise TransformError(
            f"{step}: channels is {value}; the channels lie in {blocks} equal runs, as convolutions in groups take "
            f"them, and the same number must stay in each: {' or '.join(map(str, near))} was expected."
        )
    if value < least(group) and not anyway(step):
        raise TransformError(
            f"{step}: one head left of {whole}: torch then copies less around the attention than with more, and what a "
            "backward keeps cannot be told to the byte. Keep 2, or set anyway=True to have it done."
        )
    if value == whole and not anyway(step):
        raise TransformError(
            f"{step}: channels {value} saves nothing: that is all there are; at most {whole - blocks} saves something. "
            "Set anyway=True to have it done."
        )
    return value


def least(group: Group) -> int:
    """Return the fewest channels for which every estimate holds.

    Of heads it is two: a single one is laid out without a copy, wherever more are transposed and merged.
    """
    return 2 if group.kind == "heads" else group.blocks


def obstacle_of(group: Group, layers: Mapping[str, LayerProfile], groups: Sequence[Group] = ()) -> str | None:
    """Say why a group cannot be pruned, as far as its layers tell; None where it can.

    Args:
        group: the channels.
        layers: of the profile, by name.
        groups: all that there are: two attentions in one forward share their products.
    """
    few = _too_few(group)
    if few:
        return few
    for member in group.members:
        layer = layers.get(member.layer)
        if layer is None:
            return f"{member.layer} is not in the profile"
        reason = _layer_obstacle(layer, group)
        if reason:
            return reason
    if not any(member.side == "in" for member in group.members):
        return "nothing reads these channels"
    return _shared_products(group, layers, groups) if group.kind == "heads" else None


def _too_few(group: Group) -> str | None:
    what = "head" if group.kind == "heads" else "channel"
    if group.channels == 1:
        return f"there is only one {what}"
    if group.kind == "heads" and group.channels == least(group):
        return f"of only {group.channels} heads none can go: with one left, what a backward keeps cannot be told"
    if group.channels == group.blocks:
        return f"each of the {group.blocks} groups of a convolution has only one channel of it"
    return None


def unfollowed(profile: Profile) -> Iterator[tuple[str, str]]:
    """Yield the layers that make channels and stand in no group, each with why: where its channels go was not seen."""
    makers = {member.layer for group in profile.groups for member in group.members if member.side == "out"}
    said = next((note for note in profile.notes if note.startswith(_UNKNOWN)), "")
    for layer in profile.layers:
        if layer.name in makers or not layer.kind.startswith(_MAKERS) or layer.tensor("weight") is None:
            continue
        if not profile.groups:
            yield layer.name, _ungrouped(said)
        elif not layer.calls:
            yield layer.name, "it did not run as a layer: nothing reads its weight, or the forward of another does"
        else:
            yield layer.name, "its channels could not be followed: its weight is computed before it is used, or shared"


def _ungrouped(note: str) -> str:
    why = f"{note[0].lower()}{note[1:].removesuffix('.')}" if note else "the profile was made without groups"
    return f"which layers' channels change together could not be followed ({why})"


def site_of(transform: str, group: Group, layers: Mapping[str, LayerProfile]) -> Site:
    """Return the place that a group is, with what can be set."""
    makers = {member.layer for member in group.members if makes(member.side, layer_axes(layers[member.layer], group))}
    readers = {member.layer for member in group.members if member.side == "in"}
    normed = any(
        layers[member.layer].kind.startswith(("BatchNorm", "InstanceNorm"))
        and layers[member.layer].tensor("weight") is not None
        for member in group.members
    )
    knobs = (
        Knob(name="channels", kind="int", low=least(group), high=group.channels, multiple=group.blocks),
        Knob(
            name="criterion",
            kind="choice",
            choices=tuple(name for name in CRITERIA if normed or name not in OF_NORMS),
        ),
    )
    what = "attention heads" if group.kind == "heads" else "channels"
    runs = f" in {group.blocks} equal runs" if group.blocks > 1 else ""
    reason = f"{group.channels} {what}{runs}, made by {_some(makers)} and read by {_some(readers)}"
    wide = {member.layer for member in group.members if layers[member.layer].kind in WIDE_NORMS}
    if wide:
        reason += f"; mean and spread of {_some(wide)} are then taken over the channels that stay"
    return Site(transform=transform, layers=(group.name,), knobs=knobs, reason=reason)


def _shared_products(group: Group, layers: Mapping[str, LayerProfile], groups: Sequence[Group]) -> str | None:
    own = {layer.name: None for layer in product_layers(group, layers)}
    if len(own) > 1:
        names = " and ".join(name or "the model itself" for name in list(own)[:2])
        return f"{names} both multiply activations: which of the products are those of the heads cannot be told"
    for other in groups:
        if other.name != group.name and (both := own.keys() & {layer.name for layer in product_layers(other, layers)}):
            where = next(iter(both)) or "the model itself"
            return f"{where} multiplies for these heads and those of {other.name}: which is whose cannot be told"
    return None


def _layer_obstacle(layer: LayerProfile, group: Group) -> str | None:
    names = {tensor.name for tensor in layer.tensors}
    if layer.kind.startswith("Parametrized"):
        return f"the weight of {layer.name} is parametrized; remove the parametrization first"
    if names & {"weight_orig", "weight_mask"}:
        return f"the weight of {layer.name} is masked; make it plain first (torch.nn.utils.prune.remove)"
    if names & {"weight_g", "weight_v"}:
        return f"the weight of {layer.name} is normalised; make it plain first (torch.nn.utils.remove_weight_norm)"
    if layer_axes(layer, group) is None:
        return f"{layer.name}, a {layer.kind}, mixes the channels or cannot be cut"
    if any(member.tensor for member in group.members if member.layer == layer.name):
        return None
    extra = {tensor.name for tensor in layer.tensors if tensor.kind == "parameter"} - {"weight", "bias"}
    return f"{layer.name} holds {', '.join(sorted(extra))} beside weight and bias" if extra else None


def _some(names: set[str]) -> str:
    return next(iter(names)) if len(names) == 1 else f"{len(names)} layers"
