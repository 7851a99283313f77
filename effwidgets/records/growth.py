"""How one cost grows with the size of the input."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

from effwidgets.records.base import Record
from effwidgets.units import count_text

__all__ = ["Growth", "GrowthKind"]

GrowthKind: TypeAlias = Literal["constant", "linear", "quadratic", "cubic", "quartic", "power", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Growth(Record):
    """How one cost grows with the size ``n``.

    A polynomial ("constant" to "quartic") goes through every point from ``since`` on, to the integer, and through one
    point more than its coefficients could be bent to; between and beyond the points it is an extrapolation. "power" is
    ``factor × n ** exponent``, a least-squares line through the logarithms, and only near to the points. "unknown":
    neither can be said.

    Attributes:
        quantity: the field of the cost or the memory ("macs", "inference_peak_bytes").
        layer: whose own cost it is; None for the model.
        kind: what the growth is.
        coefficients: of a polynomial, (numerator, denominator) each, the constant first.
        since: the smallest size for which this holds.
        points: how many sizes it was read from.
        exponent: of a power; the slope over the range, in logarithms.
        factor: of a power.
        deviation: of a power, the largest distance of a point from it, as a fraction of the power.
        first: the value at the smallest size that has one.
        last: the value at the largest size that has one.
        share: what part of the model's change from first to last is the layer's; 1 for the model.
    """

    quantity: str
    layer: str | None = None
    kind: GrowthKind
    coefficients: tuple[tuple[int, int], ...] = ()
    since: int
    points: int
    exponent: float | None = None
    factor: float | None = None
    deviation: float | None = None
    first: int
    last: int
    share: float = 1.0

    @property
    def exact(self) -> bool:
        """Whether it is a polynomial through the points, and not a line near to them."""
        return bool(self.coefficients)

    def at(self, size: int) -> float | None:
        """Return the value that the formula gives at ``size``; None below ``since``, and where there is no formula.

        >>> found = Growth(
        ...     quantity="macs", kind="linear", coefficients=((2, 1), (3, 1)), since=1, points=3, first=5, last=11
        ... )
        >>> found.at(10)
        32
        """
        if size < self.since:
            return None
        if self.coefficients:
            found = sum((Fraction(*one) * size**power for power, one in enumerate(self.coefficients)), Fraction())
            return int(found) if found.denominator == 1 else float(found)
        return None if self.exponent is None or self.factor is None else self.factor * size**self.exponent

    def formula(self, variable: str = "n", *, times: int = 1) -> str:
        """Write it, multiplied by ``times`` (2 makes FLOPs of MACs); "" where there is none.

        >>> Growth(quantity="macs", kind="quadratic", coefficients=((0, 1), (1024, 1), (3, 1)), since=1, points=4,
        ...     first=0, last=0).formula()
        '3·n² + 1,024·n'
        """
        if not self.coefficients:
            if self.exponent is None or self.factor is None:
                return ""
            return f"≈ {count_text(times * self.factor)} × {variable}^{self.exponent:.2f}"
        parts: list[str] = []
        for power in range(len(self.coefficients) - 1, -1, -1):
            value = Fraction(*self.coefficients[power]) * times
            if value == 0 and (power or parts):
                continue
            sign = "−" if value < 0 else "+"
            parts.append(f"{sign} {_term(abs(value), variable, power)}" if parts else _leading(value, variable, power))
        return " ".join(parts)

    def __repr__(self) -> str:
        where = "" if self.layer is None else f" of {self.layer or 'the model itself'}"
        return f"Growth({self.quantity}{where} {self.kind}: {self.formula() or 'no formula'})"


def _leading(value: Fraction, variable: str, power: int) -> str:
    return f"{'−' if value < 0 else ''}{_term(abs(value), variable, power)}"


def _term(value: Fraction, variable: str, power: int) -> str:
    number = f"{value.numerator:,}" + (f"/{value.denominator:,}" if value.denominator > 1 else "")
    name = variable + {0: "", 1: "", 2: "²", 3: "³", 4: "⁴"}[power]
    return number if power == 0 else name if value == 1 else f"{number}·{name}"
