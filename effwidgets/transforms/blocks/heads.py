"""Linear layers that read a flattened picture, and what stands in the way of putting something else there."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import torch
from torch import nn

from effwidgets.errors import TransformError
from effwidgets.records import LayerProfile, Profile, Shape, Step
from effwidgets.transforms.blocks.flattened import picture_of
from effwidgets.transforms.obstacles import Obstacles, bare_kind
from effwidgets.transforms.surgery import find_layer, plain_obstacle, tied_places

__all__ = ["Heads", "checked_linear"]


class Heads:
    """The Linear layers of a profile, each with the picture that it reads as one row or the reason why it has none."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._obstacles = Obstacles(profile)

    def layers(self) -> Iterator[LayerProfile]:
        """Yield the Linear layers."""
        for layer in self._profile.layers:
            if bare_kind(layer) == "Linear":
                yield layer

    def picture(self, layer: LayerProfile) -> Shape | str:
        """Return the picture, or why there is none."""
        reason = self._obstacles.of(layer)
        if reason:
            return reason
        if len(layer.inputs[0]) == 1 or len(layer.inputs[0]) > 2:
            return "it runs along the last of several dimensions: no picture was flattened for it"
        numbers = sum(prod(shape) for shape in layer.outputs) * layer.calls
        weight = layer.tensor("weight")
        each = getattr(torch, weight.dtype).itemsize if weight else 0
        if layer.self_cost.output_bytes not in (0, numbers * each):
            return "it does not return what its weight is made of: the model runs under autocast"
        return picture_of(self._profile, layer) or "its inputs are no flattened picture of more than one place"

    def asked(self, step: Step) -> tuple[LayerProfile, Shape]:
        """Return the layer that ``step`` is about, and its picture.

        Raises:
            TransformError: it has none; the reason is named.
            UnknownNameError: no such layer.
        """
        if len(step.layers) != 1:
            raise TransformError(f"{step}: {step.transform} takes one layer, {len(step.layers)} came.")
        layer = self._profile.layer(step.layers[0])
        if bare_kind(layer) != "Linear":
            raise TransformError(f"{step}: the layer is a {layer.kind}; a Linear was expected.")
        picture = self.picture(layer)
        if isinstance(picture, str):
            raise TransformError(f"{step}: {picture}.")
        return layer, picture


def checked_linear(model: nn.Module, step: Step) -> nn.Linear:
    """Return the Linear at ``step`` when it can be replaced.

    Raises:
        TransformError: another kind, tied, or with hooks or a parametrization that would be lost.
    """
    module = find_layer(model, step.layers[0])
    if type(module) is not nn.Linear:
        raise TransformError(f"{step}: the layer is a {type(module).__name__}; Linear of torch.nn was expected.")
    tied = tied_places(model, module)
    reason = plain_obstacle(module) or (f"its weight is tied to {tied[0]}" if tied else None)
    if reason:
        raise TransformError(f"{step}: {reason}.")
    return module
