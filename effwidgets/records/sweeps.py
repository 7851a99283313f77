"""A model at several sizes of its input: what each size costs, and how each cost grows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Real
from typing import Final

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.records.base import Record
from effwidgets.records.doors import Shown
from effwidgets.records.exports import Exported
from effwidgets.records.growth import Growth
from effwidgets.records.measures import Cost, Memory
from effwidgets.records.profiles import Shape, Uncounted
from effwidgets.units import count_text, number_of

__all__ = ["BUDGETS", "Limit", "Sweep", "SweepPoint"]

BUDGETS: Final = (
    "inference_bytes",
    "training_bytes",
    "inference_peak_bytes",
    "training_peak_bytes",
    "saved_bytes",
    "moved_bytes",
    "output_bytes",
    "macs",
    "backward_macs",
    "elementwise_ops",
)
"""What `Sweep.largest` takes a budget of. "inference_bytes" and "training_bytes" are the parameters and buffers
with the peak beside them, which is what a device must hold."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SweepPoint(Record):
    """The model at one size.

    Attributes:
        size: batch, side of the picture, tokens: what `Sweep.axis` says.
        inputs: shapes of the tensors that it was called with; empty where they could not be made.
        cost: None where the model does not run at this size.
        memory: None where it does not.
        uncounted: operations without a formula; the costs are at least what they say.
        note: why there are no numbers, or what a reader must know beside them; "" when there is nothing to say.
    """

    size: int
    inputs: tuple[Shape, ...] = ()
    cost: Cost | None = None
    memory: Memory | None = None
    uncounted: tuple[Uncounted, ...] = ()
    note: str = ""

    def value(self, quantity: str) -> int | None:
        """Return a field of the cost or the memory, or one of `BUDGETS`; None where it was not measured.

        Raises:
            UnknownNameError: no such quantity.
        """
        if self.cost is None or self.memory is None:
            return None
        if quantity in ("inference_bytes", "training_bytes"):
            peak = self.value(quantity.replace("_bytes", "_peak_bytes"))
            return None if peak is None else peak + self.memory.param_bytes
        place = self.memory if quantity.endswith("_peak_bytes") else self.cost
        if quantity not in (*BUDGETS, "params", "param_bytes"):
            raise UnknownNameError("cost", quantity, (*BUDGETS, "params", "param_bytes"))
        found: int | None = getattr(place, quantity)
        return found

    def __repr__(self) -> str:
        said = self.note if self.cost is None else f"{count_text(self.cost.macs)} MACs"
        return f"SweepPoint({self.size}: {said:.80})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit(Record):
    """How large the input may be within a budget.

    Attributes:
        quantity: what the budget is of.
        budget: how much of it there may be.
        size: the largest size of the sweep that keeps it; None where none does.
        exceeds: the smallest size of the sweep above ``size`` that does not keep it; None where all do.
        fails: the smallest size of the sweep above ``size`` at which the model does not run; None where it always did.
        reckoned: the largest size that keeps it by an exact `Growth`, also between and beyond the sizes of the sweep;
            None where the growth has no exact formula, or meets the budget nowhere or only past ``fails``.
    """

    quantity: str
    budget: float
    size: int | None
    exceeds: int | None
    fails: int | None = None
    reckoned: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Sweep(Shown, Exported, Record):
    """A model at several sizes of its input.

    Attributes:
        model: class name of the model.
        axis: what grows: "batch", "resolution", "sequence", or "size" where the caller says what that is.
        changed: which dimensions of which inputs follow it ("input_ids, dimension 1"); the others stay as they were.
        dtype: dtype of the first floating-point input or parameter.
        train: whether it was looked at in training mode.
        points: by size, the smallest first.
        growth: of each cost and peak of the model.
        layers: the layers that make the growth: of each quantity that adds up, the largest shares first.
        notes: what a reader must know beside the numbers, in sentences.
        origin: name of the session that made it; "" when none did. Neither compared nor saved.
    """

    model: str
    axis: str
    changed: tuple[str, ...]
    dtype: str
    train: bool
    points: tuple[SweepPoint, ...]
    growth: tuple[Growth, ...] = ()
    layers: tuple[Growth, ...] = ()
    notes: tuple[str, ...] = ()
    origin: str = field(default="", compare=False, metadata={"saved": False})

    def point(self, size: int) -> SweepPoint:
        """Return the model at one size.

        Raises:
            UnknownNameError: it was not looked at; the message lists the sizes that were.
        """
        for point in self.points:
            if point.size == size:
                return point
        raise UnknownNameError(f"{self.axis} size in this sweep", size, [str(point.size) for point in self.points])

    def growth_of(self, quantity: str, layer: str | None = None) -> Growth:
        """Return how a cost of the model grows; or the own cost of one of the layers that make its growth.

        Raises:
            UnknownNameError: nothing of the kind is known; the message lists what is.
        """
        for growth in (*self.growth, *self.layers):
            if growth.quantity == quantity and growth.layer == layer:
                return growth
        if layer is not None and any(growth.quantity == quantity for growth in self.growth):
            known = [growth.layer or "" for growth in self.layers if growth.quantity == quantity]
            raise UnknownNameError(f"layer that makes the growth of {quantity}", layer, known)
        raise UnknownNameError("growth", quantity, [growth.quantity for growth in self.growth])

    def largest(self, **budgets: float | str) -> Limit:
        """Return how large the input may be within one budget.

        Args:
            budgets: one of `BUDGETS` with a number or a text: ``inference_peak_bytes="2GB"``.

        Raises:
            InputError: none or several budgets, or one that is no number from 0 on.
            UnknownNameError: a budget of something else.
        """
        if len(budgets) != 1:
            raise InputError(f"{len(budgets)} budgets came; one was expected: sweep.largest(training_bytes='16GB').")
        [(quantity, given)] = budgets.items()
        if quantity not in BUDGETS:
            raise UnknownNameError("budget", quantity, BUDGETS)
        budget = _budget_of(quantity, given)
        found = [(point.size, value) for point in self.points if (value := point.value(quantity)) is not None]
        inside = [size for size, value in found if value <= budget]
        beyond = [size for size, value in found if value > budget and size > max(inside, default=0)]
        growth = next((one for one in self.growth if one.quantity == quantity and one.exact), None)
        reckoned = None if growth is None else _reckoned(growth, budget, max(inside, default=growth.since))
        failing = [point.size for point in self.points if point.cost is None and point.size > max(inside, default=0)]
        if reckoned is not None and failing and reckoned >= min(failing):
            reckoned = None
        return Limit(
            quantity=quantity,
            budget=budget,
            size=max(inside, default=None),
            exceeds=min(beyond, default=None),
            fails=min(failing, default=None),
            reckoned=reckoned,
        )

    def __repr__(self) -> str:
        sizes = ", ".join(str(point.size) for point in self.points[:6]) + (", …" if len(self.points) > 6 else "")
        macs = next((growth for growth in self.growth if growth.quantity == "macs"), None)
        said = "" if macs is None else f", MACs {macs.kind}"
        failed = sum(point.cost is None for point in self.points)
        return f"Sweep({self.model} over {self.axis} {sizes}{said}{f', {failed} failed' if failed else ''})"


def _budget_of(quantity: str, given: object) -> float:
    number = number_of(given) if isinstance(given, str) else given
    try:
        budget = math.nan if isinstance(number, bool) or not isinstance(number, Real) else float(number)
    except OverflowError:  # a whole number that no float holds
        budget = math.inf
    if not 0 <= budget < math.inf:
        raise InputError(f"{quantity} is {given!r:.60}; a number from 0 on was expected, such as 16e9 or '16GB'.")
    return budget


def _reckoned(growth: Growth, budget: float, start: int) -> int | None:
    # Doubles past the budget, then halves the gap: a formula that grows meets it once.
    low = max(start, growth.since)
    if (growth.at(low) or 0) > budget:
        return None
    high = 2 * low
    while (growth.at(high) or 0) <= budget:
        low, high = high, 2 * high
        if high > 1 << 62:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if (growth.at(middle) or 0) <= budget else (low, middle)
    return low
