"""Our count beside another counter's, with a reason for each multiply-accumulate between them."""

from __future__ import annotations

from dataclasses import dataclass, field

from effwidgets.errors import UnknownNameError
from effwidgets.records.base import Record
from effwidgets.records.doors import Shown
from effwidgets.records.exports import Exported
from effwidgets.records.profiles import Environment, Shape
from effwidgets.units import count_text

__all__ = ["UNEXPLAINED", "Explained", "PeerCount", "PeerLayer", "Reconciliation"]

UNEXPLAINED = "not_explained"
"""The reason of what has none: it is a number of its own, so that the sums hold without it being hidden."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained(Record):
    """One reason for a difference, with its number.

    Attributes:
        reason: a word for programs ("fused_attention"); `UNEXPLAINED` where there is none.
        op: the operation, by the name that the other counter or torch gives it.
        times: how many operations it is about.
        macs: ours minus theirs because of it, in MACs: positive where they count less.
        words: the reason in a sentence.
    """

    reason: str
    op: str
    times: int
    macs: int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerLayer(Record):
    """One layer in both counts. Both pairs of numbers differ by the sum of their items, to the integer.

    Attributes:
        layer: dotted path; "" is the model itself.
        kind: class name of the module.
        printed_as: the name under which they print it; None where they print no row for it, and its number here is the
            sum of the rows below it.
        ours: MACs with everything below, by our count.
        theirs: the same by theirs.
        own_ours: MACs of the layer's own work.
        own_theirs: the same by theirs.
        items: why ``ours`` and ``theirs`` differ.
        own_items: why ``own_ours`` and ``own_theirs`` differ.
    """

    layer: str
    kind: str
    printed_as: str | None
    ours: int
    theirs: int
    own_ours: int
    own_theirs: int
    items: tuple[Explained, ...] = ()
    own_items: tuple[Explained, ...] = ()

    @property
    def difference(self) -> int:
        """Ours minus theirs, in MACs, with everything below."""
        return self.ours - self.theirs


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PeerCount(Record):
    """What one other counter says, and why.

    Attributes:
        peer: its short name ("fvcore").
        title: its full name with its version.
        setting: how it was run, in words.
        flops: the total as it prints it, in its own unit.
        flops_per_mac: its unit: how many of its FLOPs are one MAC (fvcore 1, FlopCounterMode 2).
        layers: parents before children, as in a `Profile`; empty when it failed.
        failure: why it cannot count this model, on one line; None when it can.
        notes: what else a reader must know, in sentences.
    """

    peer: str
    title: str
    setting: str
    flops: int = 0
    flops_per_mac: int = 1
    layers: tuple[PeerLayer, ...] = ()
    failure: str | None = None
    notes: tuple[str, ...] = ()

    def layer(self, name: str) -> PeerLayer:
        """Return the layer at a dotted path; "" is the model itself.

        Raises:
            UnknownNameError: no such layer; the message lists the closest.
        """
        for layer in self.layers:
            if layer.layer == name:
                return layer
        raise UnknownNameError(f"layer counted by {self.title}", name, [layer.layer for layer in self.layers])

    @property
    def unexplained(self) -> int:
        """MACs of differences without a reason, without their signs: of all layers' own work, or of the worst layer."""
        own = sum(abs(item.macs) for layer in self.layers for item in layer.own_items if item.reason == UNEXPLAINED)
        with_below = [item for layer in self.layers for item in layer.items if item.reason == UNEXPLAINED]
        return own or max((abs(item.macs) for item in with_below), default=0)

    def __repr__(self) -> str:
        if self.failure is not None:
            return f"PeerCount({self.title}: cannot count this model)"
        return f"PeerCount({self.title}: {count_text(self.flops)} FLOPs at {self.flops_per_mac} a MAC)"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Reconciliation(Shown, Exported, Record):
    """Our count of a model beside those of other counters, each difference explained.

    Attributes:
        model: class name of the model.
        inputs: shapes of the tensors it was called with.
        environment: where it was counted.
        train: whether it was counted in training mode.
        backward: whether the backward is part of the counts.
        ours: our count of the whole model, in MACs.
        peers: the other counters.
        uncounted: operations that our own count has no formula for; with any, ours is "at least".
        notes: what a reader must know, in sentences.
        origin: name of the session that made it; "" when none did. Neither compared nor saved.
    """

    model: str
    inputs: tuple[Shape, ...]
    environment: Environment
    train: bool
    backward: bool
    ours: int
    peers: tuple[PeerCount, ...]
    uncounted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    origin: str = field(default="", compare=False, metadata={"saved": False})

    def peer(self, name: str) -> PeerCount:
        """Return what one counter says.

        Raises:
            UnknownNameError: it was not asked; the message lists those that were.
        """
        for peer in self.peers:
            if peer.peer == name:
                return peer
        raise UnknownNameError("counter in this reconciliation", name, [peer.peer for peer in self.peers])

    def __repr__(self) -> str:
        said = [f"Reconciliation({self.model}: ours {count_text(self.ours)} MACs"]
        for peer in self.peers:
            if peer.failure is not None:
                said.append(f"{peer.peer} cannot count it")
                continue
            left = f", {count_text(peer.unexplained)} not explained" if peer.unexplained else ""
            whole, count = peer.layers[0], len(peer.layers[0].items)
            why = f"for {count} reason{'s' * (count > 1)}" if count else "the same"
            said.append(f"{peer.peer} {count_text(whole.theirs)}, {why}{left}")
        return "; ".join(said) + ")"
