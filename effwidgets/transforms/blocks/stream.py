"""Blocks that could be left out: what goes in has the shape of what comes out; and what a profile says without one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

from torch import nn

from effwidgets.errors import TransformError
from effwidgets.profiling.layers import config_of
from effwidgets.records import Cost, Group, LayerProfile, Profile, Shape, Step
from effwidgets.transforms.blocks.spots import Spots
from effwidgets.transforms.blocks.surroundings import barred_groups, forgotten
from effwidgets.transforms.dtypes import bytes_each
from effwidgets.transforms.foresee import Foreseen

__all__ = ["Block", "Blocks", "without"]

_LISTS = frozenset({"ModuleList", "ModuleDict"})  # they are never called


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A module that could be left out.

    Attributes:
        layer: the module.
        below: all modules inside, parents first.
        streams: the groups of channels that it reads and adds to, so that its input goes into its output.
        adds: whether an operation of its own reads its input.
        row: whether it holds blocks that do.
        cost: of the module and all inside.
    """

    layer: LayerProfile
    below: tuple[LayerProfile, ...]
    streams: tuple[Group, ...]
    adds: bool
    row: bool
    cost: Cost

    @property
    def names(self) -> frozenset[str]:
        """The module and all inside."""
        return frozenset((self.layer.name, *(one.name for one in self.below)))

    @property
    def residual(self) -> bool:
        """Whether its input goes on into its output, with something added."""
        return bool(self.streams) and self.adds


class Blocks:
    """The modules of a profile that hold others which multiply, each as a block or with the reason why it must stay."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._spots = Spots(profile)
        self._seams = {seam.layer: seam for seam in profile.seams}

    def candidates(self) -> Iterator[LayerProfile]:
        """Yield the modules with others inside and something to multiply."""
        for layer in self._profile.layers:
            below = self._spots.below(layer)
            alone = not below or layer.kind in _LISTS or layer.kind.startswith("Parametrized")
            if not alone and self._spots.cost(layer, below).macs:
                yield layer

    def at(self, layer: LayerProfile) -> Block | str:
        """Return the block at a module, or why it must stay."""
        reason = _obstacle(layer) or self._spots.owned(layer) or self._unknown(layer)
        if reason:
            return reason
        below = self._spots.below(layer)
        names = frozenset((layer.name, *(one.name for one in below)))
        streams = tuple(group for group in self._profile.groups if _goes_on(group, names))
        return Block(
            layer=layer,
            below=below,
            streams=streams,
            adds=self._seams[layer.name].reads_input,
            row=any(self._adds(one) for one in below),
            cost=self._spots.cost(layer, below),
        )

    def asked(self, step: Step) -> Block:
        """Return the block that ``step`` is about.

        Raises:
            TransformError: it must stay; the reason is named.
            UnknownNameError: no such layer.
        """
        step.check_settings(())
        if len(step.layers) != 1:
            raise TransformError(f"{step}: {step.transform} takes one block, {len(step.layers)} came.")
        layer = self._profile.layer(step.layers[0])
        found = self.at(layer)
        if isinstance(found, str) or not found.cost.macs:
            reason = found if isinstance(found, str) else "nothing in it multiplies"
            raise TransformError(f"{step}: {reason}.")
        return found

    def _unknown(self, layer: LayerProfile) -> str | None:
        if layer.name not in self._seams:
            return (
                "it is called with, or returns, something else than one plain tensor, writes into its input, or the "
                "model was run with real numbers"
            )
        working = [one for one in (layer, *self._spots.below(layer)) if one.self_cost.backward_macs]
        learning = [one for one in working if any(tensor.trainable for tensor in one.tensors)]
        if not all(_passes_back(one) for one in learning):
            return "nothing before it learns: without it, what the backward does behind it would change"
        return None

    def _adds(self, layer: LayerProfile) -> bool:
        seam = self._seams.get(layer.name)
        if seam is None or not seam.reads_input or layer.inputs != layer.outputs or not layer.cost.macs:
            return False
        return bool(self._spots.below(layer))  # a single layer reads its input itself


def without(profile: Profile, block: Block) -> Foreseen:
    """Return what a profile says when the block's input goes on as it is."""
    passed = replace(
        block.layer,
        kind="Identity",
        config=config_of(nn.Identity()),
        tensors=(),
        self_cost=Cost(saved_bytes=_left(profile, block), output_bytes=block.layer.self_cost.output_bytes),
        latency=None,
        self_latency=None,
    )
    gone = frozenset(one.name for one in block.below)
    return Foreseen(
        layers={block.layer.name: (passed,)},
        groups=tuple(_groups(profile, block)),
        seams=tuple(forgotten(seam) for seam in profile.seams if seam.layer not in block.names),
        handed=tuple(one for one in profile.handed if not gone & {one.maker, one.taker}),
        gone=gone,
    )


def _left(profile: Profile, block: Block) -> int:
    # Of the bytes counted in the block, those that others keep too; its output is one tensor with its input then.
    seam = next((seam for seam in profile.seams if seam.layer == block.layer.name), None)
    whole = block.cost.saved_bytes
    if seam is None or seam.whole_bytes != whole:  # an earlier step changed what is kept around it
        span = next((span for span in profile.spans if span.layer == block.layer.name), None)
        return min(whole, 0 if span is None else span.shared_bytes)
    both = not seam.input_bytes and not seam.output_bytes
    return whole - seam.inside_bytes - (_size(block) if both and whole else 0)


def _size(block: Block) -> int:
    dtype = next(t.dtype for one in (block.layer, *block.below) for t in one.tensors if t.kind == "parameter")
    return prod(block.layer.outputs[0]) * bytes_each(dtype)


def _groups(profile: Profile, block: Block) -> Iterator[Group]:
    # The streams go on without what the block held of them; other channels that it shared with others are barred.
    streams = {group.name: group for group in block.streams}
    others = replace(profile, groups=tuple(group for group in profile.groups if group.name not in streams))
    joined = _joined(block, barred_groups(others, block.names))
    for group in profile.groups:
        if group.name in streams:
            yield _thinner(group, block.names)
    yield from joined


def _joined(block: Block, groups: tuple[Group, ...]) -> tuple[Group, ...]:
    # What only the block's inside held is gone; barred ones keep nothing of what it kept.
    return tuple(
        replace(
            group,
            saved_at=tuple(held for held in group.saved_at if held[0] not in block.names),
            saved_bytes_each=sum(each for name, each in group.saved_at if name not in block.names),
            stated=tuple(one for one in group.stated if one[0] not in block.names),
        )
        for group in groups
    )


def _thinner(group: Group, names: frozenset[str]) -> Group:
    members = tuple(member for member in group.members if member.layer not in names)
    name = group.name if group.name not in names else members[0].layer
    saved = tuple(held for held in group.saved_at if held[0] not in names)
    return replace(
        group,
        name=name,
        members=members,
        saved_at=saved,
        saved_bytes_each=sum(each for _, each in saved),
        stated=tuple(one for one in group.stated if one[0] not in names),
    )


def _goes_on(group: Group, names: frozenset[str]) -> bool:
    # Read inside, made inside, and made outside too: the same channels before and after.
    sides = {(member.side, member.layer in names) for member in group.members}
    return {("in", True), ("out", True), ("out", False)} <= sides


def _passes_back(layer: LayerProfile) -> bool:
    # One gradient for a weight that learns, and another for the input.
    weight = layer.tensor("weight")
    own = 1 if weight is not None and weight.trainable else 0
    return layer.self_cost.backward_macs > own * layer.self_cost.macs


def _obstacle(layer: LayerProfile) -> str | None:
    if not layer.name:
        return "it is the model itself; put it into a torch.nn.Sequential"
    if not layer.calls:
        return "it did not run in this forward"
    if layer.calls > 1:
        return f"it runs {layer.calls} times in one forward"
    for shapes, word in ((layer.inputs, "takes"), (layer.outputs, "returns")):
        if len(shapes) != 1:
            return f"it {word} {len(shapes)} tensors; one was expected"
    if layer.inputs != layer.outputs:
        return f"it makes {_text(layer.outputs[0])} of {_text(layer.inputs[0])}; the same shape was expected"
    return None


def _text(shape: Shape) -> str:
    return " x ".join(map(str, shape))
