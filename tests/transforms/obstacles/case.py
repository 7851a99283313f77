"""What a case of an obstacle is: a model with it, the same one without, and who must apply then."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import nn

from effwidgets.profiling.calls import Call

Made: TypeAlias = tuple[nn.Module, Call]

FORMATS = ("int8", "bf16", "codebook", "unstructured", "two_four")
FLATTENED = ("fc_to_conv", "global_pool_head")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One obstacle and the same model without it.

    Attributes:
        reason: the sentence of the skip; ``*`` stands for names and numbers.
        techniques: those that say so, the quickest first.
        blocked: makes the model with the obstacle, in eval mode, and what it is called with.
        freed: makes it without.
        at: the layer that is skipped.
        then: the layer at which the techniques apply then; ``at`` where that is the same.
    """

    reason: str
    techniques: tuple[str, ...]
    blocked: Callable[[], Made]
    freed: Callable[[], Made]
    at: str
    then: str = ""

    def says(self, reason: str) -> bool:
        """Say whether a skip gives this reason."""
        return re.fullmatch(re.escape(self.reason).replace(r"\*", ".+"), reason) is not None


def numbers(*shape: int) -> torch.Tensor:
    """Return normal numbers, the same each time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


def seeded(make: Callable[[], nn.Module], *inputs: torch.Tensor) -> Callable[[], Made]:
    """Return a maker of a model with the same numbers each time, in eval mode, and of its inputs."""

    def build() -> Made:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(4)
            return make().eval(), Call(inputs)

    return build


def after(made: Callable[[], Made], change: Callable[[nn.Module], object]) -> Callable[[], Made]:
    """Return a maker of the same with one thing changed."""

    def build() -> Made:
        model, inputs = made()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(6)
            change(model)
        return model.eval(), inputs

    return build
