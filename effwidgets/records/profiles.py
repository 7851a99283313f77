"""What a profile is: layers, the tensors they hold, groups of layers whose channels change together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from effwidgets.errors import UnknownNameError
from effwidgets.records.base import Plain, Record, Settings
from effwidgets.records.doors import Shown
from effwidgets.records.exports import Exported
from effwidgets.records.measures import Cost, Latency, Memory
from effwidgets.records.spans import Handed, Span
from effwidgets.units import bytes_text, count_text

__all__ = [
    "Environment",
    "Group",
    "LayerProfile",
    "Member",
    "Profile",
    "Seam",
    "Shape",
    "TensorInfo",
    "Uncounted",
    "Zeros",
    "ZerosSource",
]

Shape: TypeAlias = tuple[int, ...]

ZerosSource: TypeAlias = Literal["value", "mask", "parametrization"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment(Record):
    """Where a profile was made."""

    torch: str
    device: str
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInfo(Record):
    """A parameter or buffer that a layer holds itself.

    Attributes:
        name: the name inside the layer ("weight").
        shape: its sizes.
        dtype: torch's name without the prefix ("float32").
        kind: parameter or buffer.
        trainable: whether it asks for a gradient.
        tied_to: full dotted path of the first tensor that shares its storage, or None.
    """

    name: str
    shape: Shape
    dtype: str
    kind: Literal["parameter", "buffer"]
    trainable: bool
    tied_to: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LayerProfile(Record):
    """One module of the model.

    Attributes:
        name: dotted path in ``named_modules()``; "" is the model itself.
        kind: class name of the module ("Conv2d").
        aliases: other paths under which the same module stands.
        config: stride, groups, ... as plain values.
        tensors: parameters and buffers held by the module itself.
        inputs: shapes of the tensors of the first call.
        outputs: shapes of the tensors that the first call returned.
        calls: how often it ran in one forward.
        cost: with everything below it.
        self_cost: its own work alone.
        latency: measured time with everything below it, scaled so that the layers add up to the measured whole; that
            of the model itself is the whole. None where no time was measured.
        self_latency: the same of its own work alone; None also where that could not be timed.
    """

    name: str
    kind: str
    aliases: tuple[str, ...] = ()
    config: Settings = ()
    tensors: tuple[TensorInfo, ...] = ()
    inputs: tuple[Shape, ...] = ()
    outputs: tuple[Shape, ...] = ()
    calls: int = 0
    cost: Cost = Cost()
    self_cost: Cost = Cost()
    latency: Latency | None = None
    self_latency: Latency | None = None

    def setting(self, name: str) -> Plain:
        """Return one value of `config`; an unknown name is answered with the known ones."""
        values = dict(self.config)
        if name not in values:
            raise UnknownNameError(f"setting of {self.kind} {self.name!r}", name, values)
        return values[name]

    def tensor(self, name: str) -> TensorInfo | None:
        """Return the tensor ``name`` that the layer holds itself, or None."""
        return next((tensor for tensor in self.tensors if tensor.name == name), None)

    def __repr__(self) -> str:
        own = self.cost
        return f"LayerProfile({self.name!r} {self.kind}, {count_text(own.params)} params, {count_text(own.macs)} MACs)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member(Record):
    """One layer's part in a `Group`.

    Attributes:
        layer: dotted path of the layer.
        side: "out" when the group's channels are the layer's outputs (rows of its weight), "in" when its inputs.
        repeat: consecutive entries of this side that belong to one channel: 1, or the spatial size behind a flatten.
        start: first entry of this side that belongs to the group (after a concatenation). A layer may have several
            members on one side: query, key and value of a fused projection, a gate and its value.
        tensor: name of a parameter of the module's own that the channels lie along, such as the positions of a vision
            transformer or the scale of a branch; "" for a layer of torch.
        axis: the dimension of that parameter that they lie along.

    Entries of a convolution in ``g`` groups are counted over the whole layer, also on the side that its weight has only
    a ``g``-th part of: the inputs of a convolution with a weight of ``(out, in / g, ...)`` are 0 to ``in - 1``, and
    input ``e`` lies at ``e % (in / g)`` of axis 1, in the rows of block ``e // (in / g)``, which are ``out / g`` in a
    row. A transposed one, ``(in, out / g, ...)``, is the same with the sides exchanged. A depthwise one has members on
    its "out" side alone (``repeat`` filters for each channel); its inputs and its ``groups`` go with them.
    """

    layer: str
    side: Literal["out", "in"]
    repeat: int = 1
    start: int = 0
    tensor: str = ""
    axis: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(Record):
    """Layers whose channels must change together.

    Attributes:
        name: the path of the first layer that produces the channels.
        channels: how many there are.
        members: who holds them, producers first, in the order of the forward.
        obstacle: why the channels may not be removed, in words; None when they may.
        kind: what a channel is: a plain one, or a whole attention head.
        blocks: the channels lie in so many equal runs, and the same number must stay in each: those that a convolution
            in groups takes or makes. 1 where any may go.
        saved_bytes_each: bytes that autograd keeps for the backward for each of the channels, over all operations: so
            much less is saved for each one that goes, whatever goes of other groups.
        saved_at: the same by the layer that keeps them, in whose ``self_cost`` they stand.
        stated: plain numbers that a forward reads and that count the channels: layer, attribute, and its worth for one
            channel (``("block.attn", "num_heads", 1)``).
    """

    name: str
    channels: int
    members: tuple[Member, ...]
    obstacle: str | None = None
    kind: Literal["channels", "heads"] = "channels"
    blocks: int = 1
    saved_bytes_each: int = 0
    saved_at: tuple[tuple[str, int], ...] = ()
    stated: tuple[tuple[str, str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seam(Record):
    """What autograd keeps in and around one module, so that what another module in its place would keep can be told.

    Known of modules that ran once and took and returned one tensor: those with others inside that work on pictures or
    return what has the shape that they took, and those that return rows.

    Attributes:
        layer: dotted path of the module.
        whole_bytes: kept bytes that are counted for it and all below; a storage counts where it is kept first.
        inside_bytes: bytes that are kept by its operations, or those of modules below it, and by no others.
        input_bytes: what keeping its input adds to what all others keep: 0 where they keep it too, or where it is an
            input of the model.
        output_bytes: the same of its output.
        keeps_input: whether its own operations keep its input, or nobody would be seen to: it is one of the model.
        keeps_output: whether its own operations keep its output, as those of a ReLU at its end do.
        reads_input: whether an operation of its own, in no module inside, reads its input, as one that adds it does.
    """

    layer: str
    whole_bytes: int
    inside_bytes: int
    input_bytes: int
    output_bytes: int
    keeps_input: bool
    keeps_output: bool
    reads_input: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncounted(Record):
    """An operation that did work which no formula counts.

    Attributes:
        op: its name.
        times: how often it ran.
        layer: dotted path of the layer that ran it, or whose backward did.
        backward: whether it ran in the backward: then the forward's counts are whole.
    """

    op: str
    times: int
    layer: str
    backward: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Zeros(Record):
    """The zeros of one tensor.

    Attributes:
        name: dotted path of the tensor; of one that is masked or parametrized, as the layer reads it ("fc.weight").
        entries: how many numbers it has.
        zeros: how many of them are zero; what a sparse tensor does not store is.
        source: whether they stand in the tensor itself, or come from a mask or a parametrization.
        two_of_four: share of the groups of four along the inputs (dimension 1) with at least two zeros, 1.0 where a
            kernel for 2:4 sparsity could take the weight; None where the inputs do not come in fours.
    """

    name: str
    entries: int
    zeros: int
    source: ZerosSource = "value"
    two_of_four: float | None = None

    @property
    def share(self) -> float:
        """Zeros over entries, from 0 to 1."""
        return self.zeros / self.entries if self.entries else 0.0


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Profile(Shown, Exported, Record):
    """A model seen through one call: per layer, parameters, MACs and bytes.

    The root's ``cost`` is the exact sum of every layer's ``self_cost``.

    Attributes:
        model: class name of the model.
        inputs: shapes of the tensors it was called with.
        dtype: dtype of the first floating-point input or parameter.
        layers: parents before children, in the order of ``named_modules()``; the first is the model itself.
        groups: layers whose channels change together.
        zeros: how many numbers of each parameter are zero, as its layer reads it; empty where nobody asked. A dense
            kernel multiplies by zeros like by other numbers: MACs are not fewer for them.
        seams: what autograd keeps in and around the modules that another could take the place of.
        spans: what it keeps inside of modules that could be run again instead.
        handed: which layer takes the very tensor that another one returned, where neither holds others.
        notes: what a reader must know beside the numbers, in sentences.
        train: whether it was looked at in training mode; None where nobody wrote it down.
        origin: name of the session that made it; "" when none did. Neither compared nor saved.
    """

    model: str
    inputs: tuple[Shape, ...]
    dtype: str
    environment: Environment
    layers: tuple[LayerProfile, ...]
    groups: tuple[Group, ...] = ()
    cost: Cost
    memory: Memory
    latency: Latency | None = None
    uncounted: tuple[Uncounted, ...] = ()
    zeros: tuple[Zeros, ...] = ()
    seams: tuple[Seam, ...] = ()
    spans: tuple[Span, ...] = ()
    handed: tuple[Handed, ...] = ()
    notes: tuple[str, ...] = ()
    train: bool | None = None
    origin: str = field(default="", compare=False, metadata={"saved": False})

    def layer(self, name: str) -> LayerProfile:
        """Return the layer at a dotted path or alias; "" is the model itself.

        Raises:
            UnknownNameError: no such layer; the message lists the closest.
        """
        for layer in self.layers:
            if name == layer.name or name in layer.aliases:
                return layer
        raise UnknownNameError(f"layer of {self.model}", name, [layer.name for layer in self.layers if layer.name])

    def complete(self, *, backward: bool = False) -> bool:
        """Say whether the MACs of the forward, or of the backward, count all that was done."""
        return not any(entry.backward == backward for entry in self.uncounted)

    def children(self, name: str) -> Iterator[LayerProfile]:
        """Yield the layers directly below ``name``."""
        for layer in self.layers:
            if layer.name and layer.name.rpartition(".")[0] == name:
                yield layer

    def __repr__(self) -> str:
        least = "" if self.complete() else "at least "
        return (
            f"Profile({self.model}: {count_text(self.cost.params)} params, {least}{count_text(self.cost.macs)} MACs, "
            f"{bytes_text(self.memory.inference_peak_bytes)} inference peak, "
            f"{bytes_text(self.memory.saved_bytes)} saved for backward)"
        )
