"""Each operation of ours against each of theirs, layer by layer: what is left over gets a reason or is named as left.

Operations are paired within one layer and one direction, by the multiply-accumulates that *we* make of both; so a pair
whose numbers differ differs by their formula alone. A reason is given only where the evidence says so: their count is
zero, or off by exactly what a known fault makes of the shapes of that call.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from effwidgets.reconcile.ledger import Work
from effwidgets.reconcile.reasons import FUSED_LAYERS, extra_of, makes, may_multiply, reason_of, words_of
from effwidgets.reconcile.side import Side
from effwidgets.records.reconciliation import UNEXPLAINED, Explained

__all__ = ["Items", "settle"]


@dataclass(slots=True)
class Items:
    """Reasons with their numbers, added up by reason and operation."""

    found: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def add(self, reason: str, op: str, macs: int, times: int = 1) -> None:
        """Add ``macs``, ours minus theirs; nothing where there are none."""
        if macs:
            number = self.found.setdefault((reason, op), [0, 0])
            number[0] += times
            number[1] += macs

    def join(self, other: Items) -> None:
        """Add all of another layer's."""
        for (reason, op), (times, macs) in other.found.items():
            number = self.found.setdefault((reason, op), [0, 0])
            number[0] += times
            number[1] += macs

    @property
    def macs(self) -> int:
        """What all of them explain together."""
        return sum(macs for _, macs in self.found.values())

    def records(self) -> tuple[Explained, ...]:
        """Return them, the largest first."""
        made = [
            Explained(reason=reason, op=op, times=times, macs=macs, words=words_of(reason))
            for (reason, op), (times, macs) in self.found.items()
            if macs
        ]
        return tuple(sorted(made, key=lambda item: -abs(item.macs)))


def settle(ours: Sequence[Work], own: Mapping[str, int], side: Side, *, has_backward: bool) -> dict[str, Items]:
    """Return for each layer why its own count differs.

    Args:
        ours: every operation of our own run.
        own: layer -> its own MACs in our profile; what ``ours`` does not bear out is not explained.
        side: the other counter.
        has_backward: whether that counter counts a backward.
    """
    by_layer: dict[str, tuple[list[Work], list[Work]]] = defaultdict(lambda: ([], []))
    for place, works in enumerate((ours, side.works)):
        for work in works:
            by_layer[work.layer][place].append(work)
    found: dict[str, Items] = {}
    for layer in own:
        mine, theirs = by_layer[layer]
        items = found[layer] = Items()
        for backward in (False, True) if has_backward else (False,):
            _match(
                [work for work in mine if work.macs and work.backward == backward],
                [work for work in theirs if work.backward == backward],
                _Place(layer, side, items),
            )
        if not has_backward:
            back = [work.macs for work in mine if work.backward and work.macs]
            items.add("no_backward", "", sum(back), len(back))
        items.add(UNEXPLAINED, "", own[layer] - side.own.get(layer, 0) - items.macs)
    return found


@dataclass(frozen=True, slots=True)
class _Place:
    layer: str
    side: Side
    items: Items


def _match(ours: list[Work], theirs: list[Work], place: _Place) -> None:
    paired, left, odd = _pairs(ours, theirs)
    for work in [*paired, *(work for work in odd if work.fault)]:
        _judge(work, place.items)
    others = [work for work in odd if work.theirs > work.excess and not (work.fault and work.macs == 0)]
    left = _same_by_others(left, others, place.items)
    zero = [work.op for work in odd if not work.theirs]
    for work in left:
        _absent(work, zero, place)


def _pairs(ours: list[Work], theirs: list[Work]) -> tuple[list[Work], list[Work], list[Work]]:
    """Return theirs that have one of ours beside them, then ours and theirs that have none."""
    waiting: dict[int, list[Work]] = defaultdict(list)
    for work in ours:
        waiting[work.macs or 0].append(work)
    paired, odd = [], []
    for work in theirs:
        same = waiting.get(work.macs or 0)
        if not work.macs or not same or work.op in FUSED_LAYERS:
            odd.append(work)
            continue
        paired.append(work)
        same.pop(next((place for place, one in enumerate(same) if one.op == work.op), 0))
    return paired, [work for works in waiting.values() for work in works], odd


def _judge(work: Work, items: Items) -> None:
    """Explain the difference between what we and they make of the very same call."""
    if work.fault == "included":
        items.add(reason_of(work.op, zero=False), work.op, -work.theirs)
    elif work.fault and work.excess == work.theirs - (work.macs or 0):
        items.add(work.fault, work.op, -work.excess)
    elif not work.theirs and work.macs:
        items.add(reason_of(work.op), work.op, work.macs)


def _same_by_others(left: list[Work], others: list[Work], items: Items) -> list[Work]:
    """Take away what runs as other operations in their run: the same sum, or more by what is computed again."""
    rest = list(left)
    for kind in dict.fromkeys(work.op for work in others):
        same = [work for work in others if work.op == kind]
        mine = [work for work in rest if makes(kind, work.op)]
        theirs = sum(work.theirs - work.excess for work in same)
        open_macs, again = sum(work.macs or 0 for work in mine) - theirs, sum(work.again for work in mine)
        if not mine:
            continue
        if kind == "einsum":
            items.add("einsum_order", kind, open_macs, len(same))
        elif open_macs and open_macs == again:
            items.add(extra_of(mine[0].op), mine[0].op, again, len(mine))
        elif open_macs:
            continue
        rest = [work for work in rest if work not in mine]
    return rest


def _absent(work: Work, zero: Iterable[str], place: _Place) -> None:
    """Explain an operation of ours that has no number at all on their side."""
    side, macs = place.side, work.macs or 0
    here = [*zero, *_plain(side.missing.get(place.layer, ()))]
    op = _culprit(work.op, here)
    path = place.layer
    while op is None and path:
        # A layer that was never called may be inside a fused one above; a hook's work may stand at the caller.
        path = path.rpartition(".")[0]
        above = [*_plain(side.missing.get(path, ())), *_zeros(side, path)]
        fused = FUSED_LAYERS if place.layer in side.idle else frozenset()
        op = _culprit(work.op, [name for name in above if name in fused or name == work.op])
    if op is not None:
        place.items.add(reason_of(op), op, macs)
    elif not work.alive:
        place.items.add("unused", work.op, macs)
    elif len(able := [name for name in dict.fromkeys(here) if may_multiply(name)]) == 1:
        place.items.add(reason_of(able[0]), able[0], macs)  # nothing else there can have done it


def _zeros(side: Side, layer: str) -> list[str]:
    return [work.op for work in side.works if work.layer == layer and not work.theirs]


def _plain(names: Iterable[str]) -> list[str]:
    return [name.removeprefix("aten::") for name in names]


def _culprit(ours: str, theirs: Iterable[str]) -> str | None:
    fitting = [name for name in dict.fromkeys(theirs) if makes(name, ours)]
    return next((name for name in fitting if name == ours), fitting[0] if fitting else None)
