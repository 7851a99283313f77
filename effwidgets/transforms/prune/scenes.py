"""A group of channels in a model, as a criterion looks at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.records import Group, Member, Step
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.prune.channels import Axes, Side, sides

__all__ = ["Scene"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """What is to be judged, and by what. Holds modules, so it is no record and never saved.

    Attributes:
        step: what is asked for; errors name it.
        group: the channels.
        modules: the members, by layer.
        axes: where the channels lie in them.
        model: the whole, as it is before the step; never written to.
        calibration: real inputs, where there are any.
    """

    step: Step
    group: Group
    modules: Mapping[str, nn.Module]
    axes: Mapping[str, Axes]
    model: nn.Module
    calibration: Calibration | None = None

    def readers(self) -> Iterator[tuple[str, Sequence[Member]]]:
        """Yield the layers that read the channels, each with the runs of its inputs that hold them."""
        for (layer, side), members in sides(self.group, self.axes).items():
            if side == "in":
                yield layer, members

    def span(self, entries: Tensor, member: Member) -> Tensor:
        """Return what belongs to each channel of the group: ``(channels, ...)``, of entries along dimension 0."""
        whole = self.group.channels * member.repeat
        return entries[member.start : member.start + whole].reshape(self.group.channels, -1)

    def weight(self, layer: str) -> Tensor:
        """Return the weight of a layer, detached.

        Raises:
            TransformError: the layer has none.
        """
        weight = getattr(self.modules[layer], "weight", None)
        if not isinstance(weight, Tensor):
            raise TransformError(f"{self.step}: {layer} has no weight.")
        return weight.detach()

    def by_entry(self, layer: str, side: Side, found: Tensor) -> Tensor:
        """Return what is shaped like the weight of a layer with a row for each entry of one side: ``(entries, ...)``.

        In a convolution in groups the rows of the blocked side hold only what their own block has.
        """
        axes = self.axes[layer]
        axis = axes.sides[side]
        if side != axes.blocked:
            return found.movedim(axis, 0).flatten(1)
        runs = found.reshape(axes.blocks, -1, *found.shape[1:])  # blocks, rows, own entries, kernel
        return runs.movedim(2, 1).flatten(0, 1).flatten(1)

    def data(self, criterion: str) -> Calibration:
        """Return the calibration data.

        Raises:
            TransformError: there are none.
        """
        if self.calibration is None:
            raise TransformError(
                f"{self.step}: the criterion {criterion!r} looks at real inputs and there are none: "
                "apply(model, plan, inputs, calibration=batches), or another criterion ('l2' reads weights alone)."
            )
        return self.calibration
