"""A reconciliation in sentences: what a reader of a paper may quote."""

from __future__ import annotations

import math

from effwidgets.records.reconciliation import UNEXPLAINED, Explained, PeerCount, Reconciliation
from effwidgets.units import count_text, signed_text
from effwidgets.views.words import clip

__all__ = ["brief", "four", "item_text", "ours_text", "peer_text", "short", "signed"]

_SHORT = {
    "fused_attention": "fused attention is zero there",
    "fused_layer": "the layer's fast path is zero there",
    "recurrent": "recurrent layers are zero there",
    "same_padding": "padding='same' is zero there",
    "python_op": "hidden from their trace",
    "no_formula": "no formula there",
    "included_norm": "normalisation is included there",
    "included_pool": "pooling is included there",
    "included_resize": "resampling is included there",
    "included": "included there",
    "broadcast": "broadcasting is missed there",
    "einsum_digits": "four digits of numpy's estimate",
    "einsum_order": "numpy's estimate of the whole einsum",
    "einsum_elementwise": "an einsum without a product is included there",
    "grouped_backward": "the backward of groups is counted as if undivided",
    "recomputed": "the fused backward computes the scores again",
    "unasked": "the fused backward computes what nobody asks for",
    "unused": "the output does not depend on it",
    "no_backward": "no backward there",
    "caller": "a shared or lent layer, counted where it is called",
    "hooks": "their hooks lose whose backward it is",
    UNEXPLAINED: "not explained",
}
# Here an operation of theirs stands for several of ours, or for none: how often it ran says nothing.
_UNCOUNTED_TIMES = frozenset({"fused_layer", "recurrent", "python_op", "no_backward", "hooks", "caller"})
_BY_REASON = frozenset({"hooks", "caller", "recomputed", "unasked", "unused"})
_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def four(value: int, unit: str = "") -> str:
    """Write a count with four digits: people compare these with the numbers of a paper.

    >>> four(1_819_065_856, "FLOPs"), four(999, "MACs"), four(999_960)
    ('1.819 GFLOPs', '999 MACs', '1.000 M')
    """
    for scale, prefix in _PREFIXES:
        if abs(value) >= scale * 0.99995:
            number = value / scale
            digits = max(0, 3 - int(math.log10(max(abs(number), 1.0)) + 1e-5))
            return f"{number:.{digits}f} {prefix}{unit}"
    return f"{value} {unit}".strip()


def signed(value: int, *, exact: bool = False) -> str:
    """Write a difference with its sign, a true minus; ``exact`` gives every digit.

    >>> signed(-25_088), signed(25_088, exact=True), signed(0)
    ('−25.1 k', '+25,088', '0')
    """
    return signed_text(value, "{:,}".format if exact else count_text)


def short(item: Explained) -> str:
    """Return the reason of one item in a few words."""
    return _SHORT.get(item.reason, item.reason.replace("_", " "))


def brief(item: Explained) -> str:
    """Return an operation where its name says enough, else the reason."""
    return item.op if item.op and item.reason not in _BY_REASON else short(item)


def item_text(item: Explained, *, exact: bool = False) -> str:
    """Write one item: what, how often, how much, why."""
    op = clip(item.op, 40) or ("the backward" if item.reason == "no_backward" else "")
    often = item.times > 1 and item.reason not in _UNCOUNTED_TIMES
    what = f"{op} ×{item.times:,} " if often else f"{op} " if op else ""
    return f"{what}{signed(item.macs, exact=exact)} ({short(item)})"


def _both(value: int, unit: str) -> str:
    return four(value, unit) + (f" ({value:,})" if value >= 1000 else "")


def ours_text(record: Reconciliation) -> str:
    """Say our own count in both units."""
    least = "at least " if record.uncounted else ""
    what = "forward and backward" if record.backward else "one forward"
    return (
        f"Ours is {least}{_both(record.ours, 'MACs')} for {what}, "
        f"which is {four(2 * record.ours, 'FLOPs')} at 2 FLOPs a MAC."
    )


def peer_text(peer: PeerCount, *, most: int = 6) -> str:
    """Say what one counter says, in its unit and in MACs, and why it differs."""
    if peer.failure is not None:
        return f"{peer.title} cannot count this model: {clip(peer.failure, 240)}"
    whole = peer.layers[0]
    unit = "1 FLOP is 1 MAC there" if peer.flops_per_mac == 1 else f"{peer.flops_per_mac} FLOPs are 1 MAC there"
    same = "" if peer.flops_per_mac == 1 else f", so {four(whole.theirs, 'MACs')}"
    said = f"{peer.title} says {_both(peer.flops, 'FLOPs')}; {unit}{same}."
    if not whole.items:
        return f"{said} That is ours, to the integer."
    named = [item_text(item) for item in whole.items[:most]]
    named += [f"{len(whole.items) - most} more"] if len(whole.items) > most else []
    left = sum(abs(item.macs) for item in whole.items if item.reason == UNEXPLAINED)
    rest = f" {four(left, 'MACs')} of it are not explained." if left else ""
    exact = signed(whole.difference, exact=True)
    return f"{said} Ours minus theirs is {exact} MACs: {', '.join(named)}.{rest}"
