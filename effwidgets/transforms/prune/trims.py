"""A group of which some channels go, in one profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from effwidgets.errors import TransformError
from effwidgets.records import Group, LayerProfile, Shape
from effwidgets.transforms.prune.channels import Axes, Side, axes_of, makes, sides

__all__ = ["Trim", "layer_axes", "weight_shape_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trim:
    """A group of which so many channels stay, in one profile.

    Attributes:
        group: the channels as they are.
        channels: how many stay.
        layers: the profile's layers by name.
        axes: of each member.
    """

    group: Group
    channels: int
    layers: Mapping[str, LayerProfile]
    axes: Mapping[str, Axes]

    @property
    def removed(self) -> int:
        """How many channels go."""
        return self.group.channels - self.channels

    def makers(self) -> frozenset[str]:
        """Return the members that make the channels; others on the "out" side pass them on."""
        return frozenset(m.layer for m in self.group.members if makes(m.side, self.axes[m.layer]))

    def shape(self, layer: str) -> Shape:
        """Return the sizes of the tensor by whose axes a member's entries are counted."""
        return weight_shape_of(self.layers[layer], next(iter(self.axes[layer].own), "weight"))

    def left(self) -> dict[str, dict[Side, int]]:
        """Return, by layer and side, how many entries stay.

        Raises:
            TransformError: a member reaches beyond its side.
        """
        found: dict[str, dict[Side, int]] = {}
        for (layer, side), members in sides(self.group, self.axes).items():
            size = self.axes[layer].entries(side, self.shape(layer))
            for member in members:
                if member.start + self.group.channels * member.repeat > size:
                    raise TransformError(f"{layer} has {size} entries on its {side} side; {member} does not fit.")
            found.setdefault(layer, {})[side] = size - self.removed * sum(member.repeat for member in members)
        return found


def layer_axes(layer: LayerProfile, group: Group) -> Axes | None:
    """Return where the channels of ``group`` lie in a layer, from its profile; None where they cannot be cut."""
    config = dict(layer.config)
    found = (config.get(name, 1) for name in ("groups", "in_channels", "out_channels"))
    groups, into, out = (value if isinstance(value, int) else 0 for value in found)
    own = [member for member in group.members if member.layer == layer.name]
    return axes_of(layer.kind, groups, into, out, own)


def weight_shape_of(layer: LayerProfile, name: str = "weight") -> Shape:
    """Return the sizes of a layer's weight, or of another tensor; of a norm without one, the number of its channels."""
    weight = layer.tensor(name) or layer.tensor("running_mean")
    if weight is None:
        config = dict(layer.config)
        count = config.get("num_features", config.get("normalized_shape", 0))
        if isinstance(count, tuple | list):
            count = count[0]
        return (count if isinstance(count, int) else 0,)
    return weight.shape
