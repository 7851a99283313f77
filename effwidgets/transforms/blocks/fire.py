"""A block as the fire module of SqueezeNet: few channels, from which points and squares are expanded side by side."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from torch import nn

from effwidgets.records import Step
from effwidgets.transforms.blocks import BlockReplacement, Design, Ops, Spot

__all__ = ["FIRE", "Fire"]

T = TypeVar("T")
_FEWEST = 2  # channels that come out: one from each side


class Fire(BlockReplacement):
    """Squeeze by 1 x 1, then expand by 1 x 1 and 3 x 3 beside one another (Iandola et al. 2016, arXiv:1602.07360).

    Half of the channels come from each, as in SqueezeNet. A ReLU behind the squeeze; one at the end, behind the
    concatenation, where the old block ends in one.

    Setting ``squeeze``: the channels in the middle. The others are those of `BlockReplacement`.
    """

    name: ClassVar[str] = "fire"
    family: ClassVar[str] = "replace"
    title: ClassVar[str] = "A fire module"
    width: ClassVar[str] = "squeeze"
    last: ClassVar[tuple[str, ...]] = ("expand1", "expand3")

    def high(self, spot: Spot) -> int:
        """As many as go in or come out."""
        return max(spot.before[1], spot.after[1])

    def design(self, spot: Spot, step: Step, wide: int, ending: str) -> Design:
        """A stride stands where channels are expanded."""
        del step
        into, out = spot.before[1], spot.after[1]
        points = out - out // 2
        layers: dict[str, nn.Module] = {
            "squeeze": nn.Conv2d(into, wide, 1, device="meta"),
            "squeezed": nn.ReLU(),
            "expand1": nn.Conv2d(wide, points, 1, spot.stride, device="meta"),
        }
        if out >= _FEWEST:
            layers["expand3"] = nn.Conv2d(wide, out - points, 3, spot.stride, 1, device="meta")
        if ending == "relu":
            layers["end"] = nn.ReLU()

        def flow(ops: Ops[T], x: T) -> T:
            few = ops.layer("squeezed", ops.layer("squeeze", x))
            made = ops.layer("expand1", few)
            if "expand3" in layers:
                made = ops.cat([made, ops.layer("expand3", few)])
            return ops.layer("end", made) if "end" in layers else made

        return Design(title="Fire", layers=layers, flow=flow)


FIRE = Fire()
