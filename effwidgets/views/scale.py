"""Linear scales with round ticks, and the staircase of a front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Scale", "scale_over", "staircase"]

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values from ``low`` to ``high`` onto pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of ``value``."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, about: int = 6) -> list[float]:
        """Return round values within the scale, 1, 2 or 5 times a power of ten apart.

        >>> Scale(0, 1, 0, 100).ticks(5)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
        """
        raw = (self.high - self.low) / max(about, 1)
        power = 10.0 ** math.floor(math.log10(raw))
        wanted = next(factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
        found: list[float] = []
        for factor in (wanted, wanted / 2, wanted / 5, wanted / 10):  # a coarse step may miss the scale altogether
            step = power * factor
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            found = [round(index * step, 12) for index in range(first, last + 1)]
            if found:
                break
        return found


def scale_over(values: Sequence[float], start: float, end: float, *, from_zero: bool = False) -> Scale:
    """Return a scale that shows all ``values`` with some room around them."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    return Scale(0.0 if from_zero and low >= 0 else low - room, high + room, start, end)


def staircase(points: Sequence[Point], right: float) -> list[Point]:
    """Return the corners of a front, from its cheapest point to ``right``.

    Between two points of the front the score to be had is that of the cheaper one: the line first runs level.

    >>> staircase([(1, 0.5), (2, 0.8)], 3)
    [(1, 0.5), (2, 0.5), (2, 0.8), (3, 0.8)]
    """
    corners: list[Point] = []
    for cost, score in points:
        if corners:
            corners.append((cost, corners[-1][1]))
        corners.append((cost, score))
    return [*corners, (right, corners[-1][1])] if corners else []
