"""What a block will cost, layer by layer: its flow run on shapes in place of pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

from torch import nn

from effwidgets.profiling.layers import config_of
from effwidgets.records import Cost, Group, Handed, LayerProfile, Member, Shape, TensorInfo
from effwidgets.transforms.blocks.design import Design
from effwidgets.transforms.blocks.spots import Spot

__all__ = ["Counted", "counted"]

_COUNTER_BYTES = 8  # num_batches_tracked, one int64


@dataclass(frozen=True, slots=True)
class _Flowing:
    """What stands for a picture: which tensor it is, its shape, whether it has a gradient, whose channels it holds."""

    key: int
    shape: Shape
    moved: bool
    makers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A block as a profile will show it.

    Attributes:
        layers: the block itself first, then its layers in the order in which they run.
        inside_bytes: bytes that its operations keep and no others do.
        keeps_input: whether its own operations keep what it takes.
        keeps_output: whether its own operations keep what it returns.
        groups: the channels that it makes and reads itself.
        handed: which of its layers takes what another one returns.
    """

    layers: tuple[LayerProfile, ...]
    groups: tuple[Group, ...]
    inside_bytes: int
    keeps_input: bool
    keeps_output: bool
    handed: tuple[Handed, ...]


def counted(spot: Spot, design: Design) -> Counted:
    """Count the block that ``design`` makes where ``spot`` stands.

    Convolutions keep what goes in, `ReLU` what comes out, `ReLU6` and batch norms what goes in; in training mode batch
    norms keep mean and spread too. Sums and concatenations keep nothing. (torch's derivatives.yaml.)
    """
    sheet = _Sheet(spot, design)
    out = design.flow(sheet, sheet.start)
    return sheet.finish(out)  # type: ignore[arg-type]  # a flow returns what it was given


class _Sheet:
    def __init__(self, spot: Spot, design: Design) -> None:
        self._spot = spot
        self._modules: Mapping[str, nn.Module] = design.layers
        self._title = design.title
        self.start = _Flowing(0, spot.before, spot.moved)
        self._keys = 0
        self._made: dict[str, LayerProfile] = {}
        self._own = Cost()
        self._held: dict[str, list[Member]] = {}  # the layer that makes channels -> who holds them
        self._makers: dict[int, frozenset[str]] = {0: frozenset()}  # by tensor
        self._seen: dict[int, str] = {}  # tensor -> the layer that returned it
        self._readers: dict[int, list[str]] = {}  # tensor -> the layers that take it, "" for the block itself
        self._kept: dict[int, tuple[str, int]] = {}  # tensor -> the layer that keeps it first, and its bytes

    def layer(self, name: str, x: _Flowing) -> _Flowing:
        """Count one layer."""
        module = self._modules[name]
        if isinstance(module, nn.Conv2d):
            return self._convolution(name, module, x)
        if isinstance(module, nn.BatchNorm2d):
            return self._norm(name, module, x)
        out = self._fresh(x.shape, x.makers, moved=x.moved)
        self._keep(out if isinstance(module, nn.ReLU) else x, name, needed=x.moved)
        self._note(name, x, out, Cost(elementwise_ops=prod(x.shape), moved_bytes=2 * self._bytes(x)))
        return out

    def cat(self, parts: Sequence[_Flowing]) -> _Flowing:
        """Count a concatenation, which is the block's own work."""
        for part in parts:
            self._readers.setdefault(part.key, []).append("")
        shape = parts[0].shape
        channels = sum(part.shape[1] for part in parts)
        makers = frozenset[str]().union(*(part.makers for part in parts))
        out = self._fresh((shape[0], channels, *shape[2:]), makers, moved=any(part.moved for part in parts))
        self._own += Cost(moved_bytes=2 * self._bytes(out))
        return out

    def add(self, first: _Flowing, second: _Flowing) -> _Flowing:
        """Count a sum, which is the block's own work."""
        for part in (first, second):
            self._readers.setdefault(part.key, []).append("")
        out = self._fresh(first.shape, first.makers | second.makers, moved=first.moved or second.moved)
        self._own += Cost(elementwise_ops=prod(out.shape), moved_bytes=3 * self._bytes(out))
        return out

    def finish(self, out: _Flowing) -> Counted:
        """Say where what is kept counts, and put the block itself before its layers."""
        spot, seam = self._spot, self._spot.seam
        # What the old module kept first and others keep too stays kept: by the new one where that keeps it, else by
        # one of the others; which one a profile does not tell, so it is left with the module.
        shared = seam.whole_bytes - seam.inside_bytes
        inside = 0
        for key, (name, size) in self._kept.items():
            alone = seam.input_bytes if key == 0 else size if key != out.key or seam.output_bytes else 0
            extra = 0 if alone else min(size, shared)
            inside, shared = inside + alone, shared - extra
            self._made[name] = _with(self._made[name], Cost(saved_bytes=alone + extra))
        block = LayerProfile(
            name=spot.layer.name,
            kind=self._title,
            aliases=spot.layer.aliases,
            inputs=spot.layer.inputs,
            outputs=(out.shape,),
            calls=1,
            self_cost=self._own
            + Cost(saved_bytes=shared, output_bytes=0 if out.key in self._seen else self._bytes(out)),
        )
        return Counted(
            layers=(block, *self._made.values()),
            groups=tuple(self._groups(out)),
            inside_bytes=inside,
            keeps_input=0 in self._kept if spot.keeps else seam.keeps_input,
            keeps_output=out.key in self._kept,
            handed=tuple(self._handed()),
        )

    def _handed(self) -> Iterator[Handed]:
        start = self._spot.layer.name
        for key, readers in self._readers.items():
            for reader in readers:
                if key in self._seen and reader:
                    maker = f"{start}.{self._seen[key]}"
                    yield Handed(maker=maker, taker=f"{start}.{reader}", shared=len(readers) > 1)

    def _convolution(self, name: str, module: nn.Conv2d, x: _Flowing) -> _Flowing:
        learns = self._spot.learns
        padding = [int(one) for one in module.padding]
        sizes = zip(x.shape[2:], module.kernel_size, module.stride, padding, strict=True)
        spatial = [(size + 2 * around - kernel) // stride + 1 for size, kernel, stride, around in sizes]
        makers = self._through(name, module, x)
        out = self._fresh((x.shape[0], module.out_channels, *spatial), makers, moved=learns or x.moved)
        macs = out.shape[0] * prod(spatial) * module.weight.numel()
        backward = (int(learns) + int(x.moved)) * macs if self._spot.reached else 0
        self._keep(x, name, needed=out.moved)
        weights = sum(parameter.numel() for parameter in module.parameters()) * self._spot.each
        moved = self._bytes(x) + self._bytes(out) + weights
        self._note(name, x, out, Cost(macs=macs, backward_macs=backward, moved_bytes=moved))
        return out

    def _norm(self, name: str, module: nn.BatchNorm2d, x: _Flowing) -> _Flowing:
        out = self._fresh(x.shape, x.makers, moved=self._spot.learns or x.moved)
        self._hold(name, "out", x.makers)
        self._keep(x, name, needed=out.moved)
        channels, train = module.num_features * self._spot.each, self._spot.train
        if train:
            self._keep(self._fresh((2 * module.num_features,), x.makers, moved=False), name, needed=out.moved)
        moved = 2 * self._bytes(x) + 4 * channels + (2 * channels + 2 * _COUNTER_BYTES if train else 0)
        self._note(name, x, out, Cost(elementwise_ops=prod(x.shape) + int(train), moved_bytes=moved))
        return out

    def _note(self, name: str, x: _Flowing, out: _Flowing, work: Cost) -> None:
        module = self._modules[name]
        infos = tuple(self._tensors(module))
        held = Cost(
            params=sum(prod(info.shape) for info in infos if info.kind == "parameter"),
            param_bytes=sum(
                prod(info.shape) * (_COUNTER_BYTES if info.dtype == "int64" else self._spot.each) for info in infos
            ),
            output_bytes=self._bytes(out),
        )
        self._seen[out.key] = name
        self._readers.setdefault(x.key, []).append(name)
        self._made[name] = LayerProfile(
            name=f"{self._spot.layer.name}.{name}",
            kind=type(module).__name__,
            config=config_of(module),
            tensors=infos,
            inputs=(x.shape,),
            outputs=(out.shape,),
            calls=1,
            self_cost=work + held,
        )

    def _tensors(self, module: nn.Module) -> Iterator[TensorInfo]:
        spot = self._spot
        for name, parameter in module.named_parameters(recurse=False):
            yield TensorInfo(
                name=name, shape=tuple(parameter.shape), dtype=spot.like.dtype, kind="parameter", trainable=spot.learns
            )
        for name, buffer in module.named_buffers(recurse=False):
            dtype = spot.like.dtype if buffer.is_floating_point() else "int64"
            yield TensorInfo(name=name, shape=tuple(buffer.shape), dtype=dtype, kind="buffer", trainable=False)

    def _through(self, name: str, module: nn.Conv2d, x: _Flowing) -> frozenset[str]:
        # Whose channels come out: those of what went in where each has one filter, else its own.
        if module.groups > 1:
            self._hold(name, "out", x.makers)
            return x.makers
        self._hold(name, "in", x.makers)
        self._held[name] = [self._member(name, "out")]
        return frozenset({name})

    def _hold(self, name: str, side: Literal["in", "out"], makers: frozenset[str]) -> None:
        for maker in makers:
            self._held[maker].append(self._member(name, side))

    def _member(self, name: str, side: Literal["in", "out"]) -> Member:
        return Member(layer=f"{self._spot.layer.name}.{name}", side=side)

    def _groups(self, out: _Flowing) -> Iterator[Group]:
        for maker, members in self._held.items():
            made = self._made[maker].outputs[0][1]
            if maker not in out.makers:
                kept = [(at, size // made) for key, (at, size) in self._kept.items() if self._makers[key] == {maker}]
                saved = tuple((f"{self._spot.layer.name}.{at}", size) for at, size in kept)
                inner = sorted(members, key=lambda member: member.side == "in")
                yield Group(
                    name=inner[0].layer,
                    channels=made,
                    members=tuple(inner),
                    saved_bytes_each=sum(size for _, size in saved),
                    saved_at=saved,
                )

    def _fresh(self, shape: Shape, makers: frozenset[str], *, moved: bool) -> _Flowing:
        self._keys += 1
        self._makers[self._keys] = makers
        return _Flowing(self._keys, shape, moved, makers)

    def _keep(self, x: _Flowing, name: str, *, needed: bool) -> None:
        if needed and self._spot.keeps:
            self._kept.setdefault(x.key, (name, self._bytes(x)))

    def _bytes(self, x: _Flowing) -> int:
        return prod(x.shape) * self._spot.each


def _with(layer: LayerProfile, more: Cost) -> LayerProfile:
    return replace(layer, self_cost=layer.self_cost + more)
