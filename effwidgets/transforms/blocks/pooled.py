"""Where the mean over the places of each channel and one Linear could be a head, and what it would cost there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from math import prod

from torch import nn

from effwidgets.errors import TransformError
from effwidgets.profiling.layers import config_of
from effwidgets.records import Cost, LayerProfile, Profile, Shape, Step
from effwidgets.transforms.blocks.heads import Heads
from effwidgets.transforms.blocks.spots import Spot, Spots
from effwidgets.transforms.obstacles import bare_kind

__all__ = ["PooledPlaces", "pooled_layers", "pooled_profiles", "saves"]

_ROWS = 2  # dimensions


class PooledPlaces:
    """Where a pooled head could stand."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._heads = Heads(profile)
        self._spots = Spots(profile)
        self._pictures = {
            layer.name: picture
            for layer in self._heads.layers()
            if not isinstance(picture := self._heads.picture(layer), str)
        }

    def candidates(self) -> Iterator[LayerProfile]:
        """Yield every Linear, and every module inside of which one reads a picture but no convolution runs."""
        for layer in self._profile.layers:
            below = self._spots.below(layer)
            head = any(one.name in self._pictures for one in below)
            if bare_kind(layer) == "Linear" or (head and layer.name and not any("Conv" in one.kind for one in below)):
                yield layer

    def asked(self, step: Step, *, exact: bool = True) -> tuple[Spot, Shape]:
        """Return the place of ``step``, and its picture."""
        step.check_settings(("anyway",))
        if len(step.layers) != 1:
            raise TransformError(f"{step}: {step.transform} takes one head, {len(step.layers)} came.")
        found = self.at(self._profile.layer(step.layers[0]), exact=exact)
        if isinstance(found, str):
            raise TransformError(f"{step}: {found}.")
        return found

    def at(self, layer: LayerProfile, *, exact: bool = True) -> tuple[Spot, Shape] | str:
        """Return the place and its picture, or what stands in the way."""
        picture = self._picture(layer)
        if isinstance(picture, str):
            return picture
        if layer.calls != 1:
            return f"it runs {layer.calls} times in one forward"
        if len(layer.inputs) != 1 or len(layer.outputs) != 1 or prod(layer.inputs[0][1:]) != prod(picture):
            return "it does not begin with the flattened picture alone"
        if len(layer.outputs[0]) != _ROWS:
            return "it does not return one row for each picture"
        return self._spots.held(layer, exact=exact) or (self._spots.spot(layer), picture)

    def _picture(self, layer: LayerProfile) -> Shape | str:
        below = self._spots.below(layer)
        if not below or bare_kind(layer) == "Linear":
            return self._heads.picture(layer)
        if not layer.name:
            return "it is the model itself; put it into a torch.nn.Sequential"
        found = (self._pictures[one.name] for one in below if one.name in self._pictures)
        return next(found, "no Linear in it reads a flattened picture")


def pooled_layers(spot: Spot, picture: Shape, *, bias: bool) -> nn.Sequential:
    """Return the pooled head on meta; a picture that came as rows is opened again first."""
    opened = [nn.Unflatten(1, (-1, *picture[1:]))] if len(spot.before) == _ROWS else []
    linear = nn.Linear(picture[0], spot.after[1], bias=bias, device="meta")
    return nn.Sequential(*opened, nn.AdaptiveAvgPool2d(1), nn.Flatten(1), linear)


def pooled_profiles(spot: Spot, picture: Shape) -> tuple[LayerProfile, ...]:
    """Return the pooled head as a profile will show it: the module itself, then its layers."""
    bias = spot.layer.kind != "Linear" or spot.layer.tensor("bias") is not None
    modules = pooled_layers(spot, picture, bias=bias)
    rows, channels, out = spot.before[0], picture[0], spot.after[1]
    shapes: list[Shape] = [(rows, *picture), (rows, channels, 1, 1), (rows, channels), (rows, out)]
    shapes = [spot.before, *shapes] if len(spot.before) == _ROWS else shapes
    seam, macs = spot.seam, rows * channels * out
    linear = Cost(
        params=channels * out + out * int(bias),
        param_bytes=(channels * out + out * int(bias)) * spot.each,
        macs=macs,
        backward_macs=macs * (int(spot.learns) + int(spot.moved)) if spot.reached else 0,
        output_bytes=rows * out * spot.each,
        saved_bytes=rows * channels * spot.each if spot.keeps and spot.learns else 0,
    )
    # What the old head kept first and others keep too stays kept; the mean itself keeps nothing.
    own = Cost(saved_bytes=seam.whole_bytes - seam.inside_bytes)
    block = dataclasses.replace(spot.layer, kind="Sequential", config=(), tensors=(), self_cost=own)
    tensors = tuple(
        dataclasses.replace(spot.like, name=name, shape=shape, trainable=spot.learns)
        for name, shape in (("weight", (out, channels)), ("bias", (out,)))[: 1 + int(bias)]
    )
    return block, *(
        LayerProfile(
            name=f"{spot.layer.name}.{number}",
            kind=type(module).__name__,
            config=config_of(module),
            tensors=tensors if isinstance(module, nn.Linear) else (),
            inputs=(shapes[number],),
            outputs=(shapes[number + 1],),
            calls=1,
            self_cost=linear if isinstance(module, nn.Linear) else Cost(),
        )
        for number, module in enumerate(modules)
    )


def saves(spot: Spot, made: Sequence[LayerProfile]) -> bool:
    """Say whether the pooled head has fewer parameters, and no more MACs, than what stands there."""
    params, macs = sum(one.self_cost.params for one in made), sum(one.self_cost.macs for one in made)
    return params < spot.cost.params and macs <= spot.cost.macs
