"""Counts, bytes and seconds as people write and read them.

Counts use decimal prefixes (k, M, G, T). Bytes use decimal prefixes too (1 MB = 1,000,000
bytes), as disks and networks do. Three significant digits, because the fourth is never read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from effwidgets.errors import InputError

__all__ = ["bytes_text", "count_text", "number_of", "percent_text", "seconds_text", "shape_text", "signed_text"]

_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_NUMBER = re.compile(r"\s*([-+]?\d+(?:_?\d+)*(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*(?:%|([kKmMgGtT])[bB]?|B)?\s*")
_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def _three(value: float) -> str:
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f}"


def count_text(value: float, unit: str = "") -> str:
    """Write a count with a decimal prefix.

    >>> count_text(11_689_512), count_text(999), count_text(0), count_text(999_999)
    ('11.7 M', '999', '0', '1.00 M')
    >>> count_text(512, "B")
    '512 B'
    """
    if not math.isfinite(value):
        return "–"
    for scale, prefix in _PREFIXES:
        if abs(value) >= scale * 0.9995:
            return f"{_three(value / scale)} {prefix}{unit}"
    plain = f"{value:.0f}" if float(value).is_integer() else _three(value)
    return f"{plain} {unit}".strip()


def bytes_text(value: float) -> str:
    """Write a number of bytes, decimal prefixes.

    >>> bytes_text(46_758_048), bytes_text(12)
    ('46.8 MB', '12 B')
    """
    return count_text(value, "B")


def seconds_text(value: float) -> str:
    """Write a duration; minutes from 90 s on.

    >>> seconds_text(0.0288), seconds_text(2.5e-5), seconds_text(95), seconds_text(0)
    ('28.8 ms', '25.0 µs', '1 min 35 s', '0 s')
    """
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0 s"
    if value >= 90:
        minutes, seconds = divmod(round(value), 60)
        return f"{minutes} min {seconds} s"
    for scale, unit in _SECONDS:
        if abs(value) >= scale * 0.9995:
            return f"{_three(value / scale)} {unit}"
    return f"{_three(value / 1e-9)} ns"


def signed_text(value: float, write: Callable[[float], str] = count_text) -> str:
    """Write a change with its sign, a true minus; what did not change has none. ``write`` writes its size.

    >>> signed_text(-1_000_000), signed_text(4_000, bytes_text), signed_text(0)
    ('−1.00 M', '+4.00 kB', '0')
    """
    return f"{'−' if value < 0 else '+' if value else ''}{write(abs(value))}"


def percent_text(fraction: float) -> str:
    """Write a signed change as a percentage with a true minus sign.

    >>> percent_text(-0.67), percent_text(0.004), percent_text(0.0)
    ('−67%', '+0.4%', '0%')
    """
    percent = 100 * fraction
    if not math.isfinite(percent):
        return "–"
    digits = 0 if abs(percent) >= 10 or percent == 0 else 1
    text = f"{abs(percent):.{digits}f}"
    if float(text) == 0:
        return "0%"
    return f"{'−' if percent < 0 else '+'}{text}%"


def shape_text(shape: tuple[int, ...]) -> str:
    """Write a shape.

    >>> shape_text((1, 3, 224, 224)), shape_text(())
    ('1 × 3 × 224 × 224', 'scalar')
    """
    return " × ".join(str(size) for size in shape) or "scalar"


def number_of(text: str) -> float:
    """Read a count or an amount of bytes such as ``40%``, ``1.2G``, ``350k``, ``1.2 MB`` or ``0.4``.

    A percentage is returned as a fraction. Prefixes are decimal, as `bytes_text` writes them.

    >>> number_of("1.2 G"), number_of("40%"), number_of("350k"), number_of("1.2 MB"), number_of("500 B")
    (1200000000.0, 0.4, 350000.0, 1200000.0, 500.0)

    Raises:
        InputError: the text is not a number with one of the known prefixes.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        message = f"{text!r} is not a number. Write for example 40%, 0.4, 350k, 1.2M, 3G or 1.2MB."
        raise InputError(message)
    value = float(match[1].replace("_", ""))
    return value / 100 if "%" in text else value * _SCALES[(match[2] or "").lower()]
