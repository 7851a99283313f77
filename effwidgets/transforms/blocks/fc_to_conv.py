"""A Linear behind a flattened picture as a convolution over the whole of it: the same numbers in another order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.profiling.layers import config_of
from effwidgets.records import Cost, Edit, Group, LayerProfile, Member, Profile, Shape, Site, Skip, Step
from effwidgets.transforms.blocks.heads import Heads, checked_linear
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.foresee import Foreseen, change_between
from effwidgets.transforms.surgery import blank_parameter, find_layer, pieces, replace_layer

__all__ = ["FC_TO_CONV", "FcToConv"]


class FcToConv:
    """``(out, channels x height x width)`` becomes a convolution whose kernel is as large as the picture.

    Exact: the weight is only given another shape. Parameters and MACs stay. It is for what comes after: factorizations
    and pruning of convolutions, and a network that takes larger pictures once the flatten before it is taken out (Long
    et al. 2014, arXiv:1411.4038). There are no settings.
    """

    name: ClassVar[str] = "fc_to_conv"
    family: ClassVar[str] = "replace"
    phase: ClassVar[Literal["structure", "format", "schedule"]] = "structure"
    exact: ClassVar[frozenset[str]] = frozenset({"params", "param_bytes", "macs", "backward_macs", "saved_bytes"})
    reads: ClassVar[frozenset[str]] = frozenset({"layers", "groups"})

    def sites(self, profile: Profile) -> Iterator[Site | Skip]:
        """Yield each Linear, with the picture that it reads, or why there is none."""
        heads = Heads(profile)
        for layer in heads.layers():
            picture = heads.picture(layer)
            reason = picture if isinstance(picture, str) else _unknown(profile, layer)
            if isinstance(picture, str) or reason:
                yield Skip(transform=self.name, layers=(layer.name,), reason=reason or "")
            else:
                yield Site(
                    transform=self.name,
                    layers=(layer.name,),
                    knobs=(),
                    reason=f"its inputs are {picture[0]} channels of {picture[1]} x {picture[2]}: a kernel over these",
                    warnings=("It saves nothing by itself: parameters and MACs stay as they are.",),
                    advised=False,
                )

    def estimate(self, profile: Profile, step: Step) -> Cost:
        """Return the change: nothing, but for what a frozen convolution keeps and a frozen Linear does not."""
        return change_between(profile, self.foresee(profile, step))

    def foresee(self, profile: Profile, step: Step) -> Foreseen:
        """Return the three layers that stand there then."""
        step.check_settings(("anyway",))
        layer, picture = Heads(profile).asked(step)
        reason = _unknown(profile, layer)
        if reason:
            raise TransformError(f"{step}: {reason}.")
        made = tuple(_made(profile, layer, picture))
        groups = tuple(_regrouped(group, layer.name, prod(picture[1:])) for group in profile.groups)
        seams = tuple(seam for seam in profile.seams if seam.layer != layer.name)
        return Foreseen(layers={layer.name: made}, groups=groups, seams=seams)

    def rewrite(self, model: nn.Module, step: Step, profile: Profile) -> Edit:
        """Put the three layers there, with parameters of zeros."""
        step.check_settings(("anyway",))
        _, picture = Heads(profile).asked(step)
        old = checked_linear(model, step)
        new = _layers(picture, old.out_features, bias=old.bias is not None)
        conv = cast("nn.Conv2d", new[1])
        conv.weight = blank_parameter(old.weight, conv.weight.shape)
        if old.bias is not None:
            conv.bias = blank_parameter(old.bias, old.bias.shape)
        name = step.layers[0]
        replace_layer(model, name, new)
        return Edit(step=step, before=pieces(name, old), after=pieces(name, new))

    def fit(self, model: nn.Module, original: nn.Module, edit: Edit, calibration: Calibration | None) -> Edit:
        """Copy the weight. Calibration data is not used."""
        del calibration
        name = edit.step.layers[0]
        old = cast("nn.Linear", find_layer(original, name))
        conv = cast("nn.Conv2d", find_layer(model, f"{name}.1"))
        with torch.no_grad():
            conv.weight.copy_(old.weight.reshape(conv.weight.shape))
            if isinstance(conv.bias, Tensor):
                conv.bias.copy_(old.bias)
        return edit

    def witness(self, original: nn.Module, edit: Edit, model: nn.Module) -> None:
        """Leave the original as it is: the function stays."""
        del original, edit, model


def _layers(picture: Shape, out: int, *, bias: bool) -> nn.Sequential:
    size = (picture[1], picture[2])
    conv = nn.Conv2d(picture[0], out, size, bias=bias, device="meta")
    # The channels are not stated, so that they may be pruned.
    return nn.Sequential(nn.Unflatten(1, (-1, *size)), conv, nn.Flatten(1))


def _unknown(profile: Profile, layer: LayerProfile) -> str | None:
    # A convolution keeps its input for the backward also where its weight is frozen; a Linear does not.
    weight = layer.tensor("weight")
    frozen = weight is not None and not weight.trainable and bool(layer.self_cost.backward_macs)
    if frozen and not any(seam.layer == layer.name for seam in profile.seams):
        return "it is frozen and runs more than once, so what a convolution would keep cannot be told"
    return None


def _made(profile: Profile, layer: LayerProfile, picture: Shape) -> Iterator[LayerProfile]:
    out = layer.outputs[0][1]
    modules = _layers(picture, out, bias=layer.tensor("bias") is not None)
    rows = layer.inputs[0][0]
    shapes: list[Shape] = [layer.inputs[0], (rows, *picture), (rows, out, 1, 1), (rows, out)]
    seam = next((seam for seam in profile.seams if seam.layer == layer.name), None)
    frozen = seam is not None and not seam.keeps_input and bool(layer.self_cost.backward_macs)
    more = Cost(saved_bytes=seam.input_bytes) if seam is not None and frozen else Cost()
    yield replace(layer, kind="Sequential", config=(), tensors=(), self_cost=Cost())
    for number, module in enumerate(modules):
        working = isinstance(module, nn.Conv2d)
        tensors = tuple(
            replace(tensor, shape=(out, *picture)) if tensor.name == "weight" else tensor for tensor in layer.tensors
        )
        yield LayerProfile(
            name=f"{layer.name}.{number}",
            kind=type(module).__name__,
            config=config_of(module),
            tensors=tensors if working else (),
            inputs=(shapes[number],),
            outputs=(shapes[number + 1],),
            calls=layer.calls,
            self_cost=layer.self_cost + more if working else Cost(),
        )


def _regrouped(group: Group, name: str, places: int) -> Group:
    def renamed(member: Member) -> Member:
        if member.layer != name:
            return member
        if member.side == "out":
            return replace(member, layer=f"{name}.1")
        return replace(member, layer=f"{name}.1", repeat=1, start=member.start // places)

    members = tuple(renamed(member) for member in group.members)
    return replace(group, name=f"{name}.1" if group.name == name else group.name, members=members)


FC_TO_CONV = FcToConv()
