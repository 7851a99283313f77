"""What another counter said about one call of a model, in the form in which it is compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from effwidgets.reconcile.ledger import Work

__all__ = ["PeerError", "Side"]


class PeerError(Exception):
    """A counter cannot count this model; the message says why in words of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One counter's numbers, by layer, and what it saw operation by operation.

    Attributes:
        flops: the total that it prints, in its own unit.
        works: the operations of its own run; `Work.macs` is what we make of the same call.
        own: layer -> MACs that it counted while that layer was the innermost.
        whole: layer -> MACs that it prints for that layer; no entry where it prints no row.
        names: layer -> the name under which it prints it.
        idle: layers that its run never called.
        missing: layer -> operations that ran there which it could not count, with how often.
        notes: how it was run, where that is not as anybody would.
    """

    flops: int
    works: list[Work]
    own: Mapping[str, int]
    whole: Mapping[str, int]
    names: Mapping[str, str]
    idle: frozenset[str]
    missing: Mapping[str, Counter[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
