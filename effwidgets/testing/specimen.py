"""What a zoo model is: how it is built, what it is called with, and what it costs by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from effwidgets.profiling.calls import Call

__all__ = ["Specimen", "images", "numbers", "seeded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Specimen:
    """A small model with its cost worked out by hand.

    Attributes:
        name: a word or two, in snake case.
        build: makes the model in eval mode; the same values each time; leaves torch's random state alone.
        inputs: makes what it is called with.
        macs: of one forward with these inputs.
        params: each tensor once.
        notes: what it is here for.
    """

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], Call]
    macs: int
    params: int
    notes: str = ""


def seeded(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Wrap a constructor: fixed seed, statistics of batch norms unlike their defaults, eval mode."""

    def build() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(20)
            model = make()
            with torch.no_grad():
                for module in model.modules():
                    _unsettle(module)
        return model.eval()

    return build


def _unsettle(module: nn.Module) -> None:
    # A fresh norm multiplies by one and adds nothing, so a test would not see one that was cut wrongly.
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.LayerNorm):
        module.weight.uniform_(0.5, 1.5)
        module.bias.normal_(0.0, 0.2)
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        assert module.running_mean is not None
        assert module.running_var is not None
        module.running_mean.normal_(0.0, 0.2)
        module.running_var.uniform_(0.5, 1.5)


def images(*shape: int) -> Callable[[], Call]:
    """Return a maker of one tensor of normal numbers, the same each time."""

    def make() -> Call:
        return Call((torch.randn(shape, generator=torch.Generator().manual_seed(3)),))

    return make


def numbers(limit: int, *shape: int) -> Callable[[], Call]:
    """Return a maker of one tensor of whole numbers below ``limit``, the same each time."""

    def make() -> Call:
        return Call((torch.randint(limit, shape, generator=torch.Generator().manual_seed(3)),))

    return make
