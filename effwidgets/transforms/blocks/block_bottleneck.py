"""A block as a bottleneck: fewer channels, a kernel on these, channels up again."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from torch import nn

from effwidgets.errors import TransformError
from effwidgets.records import Step
from effwidgets.transforms.blocks import BlockReplacement, Design, Ops, Spot
from effwidgets.transforms.blocks.shortcuts import shortcut_of

__all__ = ["BLOCK_BOTTLENECK", "BlockBottleneck"]

T = TypeVar("T")


class BlockBottleneck(BlockReplacement):
    """1 x 1 down, k x k, 1 x 1 up, with a ReLU between them (He et al. 2015, arXiv:1512.03385, without its norms).

    Over a whole block; `effwidgets.transforms.factorize.bottleneck` is the one around a single layer.

    Settings ``width``: the channels in the middle; ``kernel``: 3 (unless given), or another odd number; ``shortcut``:
    whether what goes in is added to what comes out, where their shapes agree; unless given, where the old block adds
    something itself. The others are those of `BlockReplacement`.
    """

    name: ClassVar[str] = "bottleneck_block"
    family: ClassVar[str] = "bottleneck"
    title: ClassVar[str] = "A bottleneck over the whole block"
    width: ClassVar[str] = "width"
    more: ClassVar[tuple[str, ...]] = ("kernel", "shortcut")
    last: ClassVar[tuple[str, ...]] = ("expand",)

    def high(self, spot: Spot) -> int:
        """As many as go in or come out."""
        return max(spot.before[1], spot.after[1])

    def design(self, spot: Spot, step: Step, wide: int, ending: str) -> Design:
        """A stride stands at the kernel."""
        kernel = dict(step.settings).get("kernel", 3)
        if not isinstance(kernel, int) or isinstance(kernel, bool) or kernel < 1 or kernel % 2 == 0:
            raise TransformError(f"{step}: kernel is {kernel!r}; an odd number was expected.")
        shortcut = shortcut_of(spot, step)
        layers: dict[str, nn.Module] = {
            "reduce": nn.Conv2d(spot.before[1], wide, 1, device="meta"),
            "reduced": nn.ReLU(),
            "middle": nn.Conv2d(wide, wide, kernel, spot.stride, kernel // 2, device="meta"),
            "passed": nn.ReLU(),
            "expand": nn.Conv2d(wide, spot.after[1], 1, device="meta"),
        }
        if ending == "relu":
            layers["end"] = nn.ReLU()

        def flow(ops: Ops[T], x: T) -> T:
            made = x
            for name in ("reduce", "reduced", "middle", "passed", "expand"):
                made = ops.layer(name, made)
            if shortcut:
                made = ops.add(made, x)
            return ops.layer("end", made) if "end" in layers else made

        return Design(title="Bottleneck", layers=layers, flow=flow)


BLOCK_BOTTLENECK = BlockBottleneck()
