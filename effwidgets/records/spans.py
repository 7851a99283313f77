"""What one run tells of modules beside their own costs: what recomputing one would spare, who hands what to whom."""

from __future__ import annotations

from dataclasses import dataclass

from effwidgets.records.base import Record

__all__ = ["Handed", "Span"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span(Record):
    """What autograd keeps between the two ends of a module with others inside that ran once.

    Run again in the backward, it would keep what it is given and nothing else.

    Attributes:
        layer: dotted path of the module.
        given: how many tensors it was given by position.
        shared_bytes: kept bytes that are counted for it or below, and that operations outside keep too.
        input_bytes: what keeping its inputs adds to what operations outside keep: 0 where they keep them too, or where
            they are inputs of the model.
        carried: how both shrink with channels: name of a group, how many channels it has, bytes for each of them.
        last: the layer that kept something last; "" where that was the model itself, or nothing is kept.
        tail: layers inside, with their MACs, that ran after the last thing was kept: they need not run again.
        writes: whether it writes into what it is given, so that it cannot be run again from that.
    """

    layer: str
    given: int
    shared_bytes: int
    input_bytes: int
    carried: tuple[tuple[str, int, int], ...] = ()
    last: str
    tail: tuple[tuple[str, int], ...] = ()
    writes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed(Record):
    """One layer takes, as all of its input, the very tensor that another one returned; each ran once.

    Attributes:
        maker: dotted path of the layer that returned it.
        taker: dotted path of the layer that took it.
        shared: whether something else reads it too, an operation of another module or whoever calls the model.
    """

    maker: str
    taker: str
    shared: bool = False
