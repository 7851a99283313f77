"""A block as the inverted residual of MobileNetV2: many channels, a filter for each, few channels again."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from torch import nn

from effwidgets.records import Step
from effwidgets.transforms.blocks import BlockReplacement, Design, Ops, Spot
from effwidgets.transforms.blocks.shortcuts import shortcut_of

__all__ = ["INVERTED_RESIDUAL", "InvertedResidual"]

T = TypeVar("T")
_MOST = 6  # the expansion of MobileNetV2


class InvertedResidual(BlockReplacement):
    """1 x 1 up, 3 x 3 on each channel alone, 1 x 1 down, with batch norms (Sandler et al. 2018, arXiv:1801.04381).

    ReLU6 behind the first two; none behind the last, but a ReLU at the end where the old block ends in one.

    Settings ``expansion``: how many times as many channels as go in there are in the middle; ``shortcut``: whether what
    goes in is added to what comes out, where their shapes agree; unless given, where the old block adds something
    itself. The others are those of `BlockReplacement`.
    """

    name: ClassVar[str] = "inverted_residual"
    family: ClassVar[str] = "replace"
    title: ClassVar[str] = "An inverted residual"
    width: ClassVar[str] = "expansion"
    more: ClassVar[tuple[str, ...]] = ("shortcut",)
    last: ClassVar[tuple[str, ...]] = ("project",)
    norm: ClassVar[str | None] = "projected"

    def high(self, spot: Spot) -> int:
        """What MobileNetV2 takes, whatever goes in."""
        del spot
        return _MOST

    def design(self, spot: Spot, step: Step, wide: int, ending: str) -> Design:
        """A stride stands at the filters of single channels."""
        into, out = spot.before[1], spot.after[1]
        many = wide * into
        shortcut = shortcut_of(spot, step)
        layers: dict[str, nn.Module] = {
            "expand": nn.Conv2d(into, many, 1, bias=False, device="meta"),
            "expanded": nn.BatchNorm2d(many, device="meta"),
            "bent": nn.ReLU6(),
            "filter": nn.Conv2d(many, many, 3, spot.stride, 1, groups=many, bias=False, device="meta"),
            "filtered": nn.BatchNorm2d(many, device="meta"),
            "bent_again": nn.ReLU6(),
            "project": nn.Conv2d(many, out, 1, bias=False, device="meta"),
            "projected": nn.BatchNorm2d(out, device="meta"),
        }
        if ending == "relu":
            layers["end"] = nn.ReLU()

        def flow(ops: Ops[T], x: T) -> T:
            made = x
            for name in layers:
                if name != "end":
                    made = ops.layer(name, made)
            if shortcut:
                made = ops.add(made, x)
            return ops.layer("end", made) if "end" in layers else made

        return Design(title="InvertedResidual", layers=layers, flow=flow)


INVERTED_RESIDUAL = InvertedResidual()
