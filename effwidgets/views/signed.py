"""Changes: a number with its sign, and a bar that goes left for less and right for more."""

from __future__ import annotations

from effwidgets.units import percent_text, seconds_text, signed_text
from effwidgets.views.words import amount, share

__all__ = ["change_class", "part_text", "signed_amount", "signed_bar", "signed_marks"]

_HALF = 6  # letters on either side of the middle


def signed_amount(key: str, value: float | None) -> str:
    """Write a change of a cost with its unit and a true minus sign; MACs are shown as FLOPs = 2 x MACs.

    >>> signed_amount("macs", -1_000_000), signed_amount("saved_bytes", 4_000), signed_amount("params", 0)
    ('−2.00 M', '+4.00 kB', '0')
    """
    if value is None:
        return "–"
    if value == 0:
        return "0"
    return signed_text(value, seconds_text if key == "latency_s" else lambda size: amount(key, size))


def part_text(before: float | None, after: float | None) -> str:
    """Write what became of a number as a percentage; words where there is no whole to compare with.

    >>> part_text(200, 50), part_text(0, 8), part_text(5, 5), part_text(None, 5)
    ('−75%', 'new', '0%', '–')
    """
    if before is None or after is None:
        return "–"
    return "new" if not before and after else percent_text(share(after - before, before))


def change_class(value: float | None) -> str:
    """Return the class of a change: less is good, more is bad, none is quiet."""
    return "q" if not value else "good" if value < 0 else "bad"


def signed_bar(value: float, largest: float) -> str:
    """Return a bar as HTML: from the middle to the left for less, to the right for more.

    >>> "right:50%" in signed_bar(-1, 2), "left:50%" in signed_bar(1, 2), signed_bar(0, 2).count("<i")
    (True, True, 2)
    """
    width = 50 * min(abs(share(value, largest)), 1.0)
    width = max(width, 2.0) if value else 0.0
    side, colour = ("right", "good") if value < 0 else ("left", "bad")
    mark = f'<i style="position:absolute;{side}:50%;width:{width:.1f}%;background:var(--effdl-{colour})"></i>'
    middle = '<i style="position:absolute;left:50%;width:1px;background:var(--effdl-quiet)"></i>'
    return f'<i class="bar" style="position:relative" aria-hidden="true">{mark if value else ""}{middle}</i>'


def signed_marks(value: float, largest: float) -> str:
    """Return the same bar in letters.

    >>> signed_marks(-1, 2), signed_marks(2, 2), signed_marks(0, 2)
    ('   ███│      ', '      │██████', '      │      ')
    """
    length = round(_HALF * min(abs(share(value, largest)), 1.0))
    length = max(length, 1) if value else 0
    left, right = (length, 0) if value < 0 else (0, length)
    return f"{'█' * left:>{_HALF}}│{'█' * right:<{_HALF}}"
