"""A plan chosen under budgets: what was predicted of it, and what is true of the model that it made."""

from __future__ import annotations

from dataclasses import dataclass, field

from effwidgets.errors import UnknownNameError
from effwidgets.records.base import Record
from effwidgets.records.doors import Shown
from effwidgets.records.measures import Score
from effwidgets.records.options import Option
from effwidgets.records.plans import Plan, Skip

__all__ = ["Chosen", "Reached"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached(Record):
    """One budget and what became of it; all in the unit of the axis.

    Attributes:
        axis: the cost ("macs", "latency_s", a registered metric).
        limit: the most that was allowed.
        now: what the model takes as it is.
        predicted: what the plan was thought to take, before it was carried out.
        true: what the model takes that the plan made: counted, or measured where the axis is a time.
        error: half-width of a 95% interval of ``true``; 0 where it was counted.
    """

    axis: str
    limit: float
    now: float
    predicted: float
    true: float
    error: float = 0.0

    @property
    def met(self) -> bool:
        """Whether the budget is kept."""
        return self.true <= self.limit


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Chosen(Shown, Record):
    """The plan of the least predicted loss that keeps all budgets, carried out and measured.

    Attributes:
        model: class name of the model.
        plan: what to do; `apply` does it again.
        budgets: each budget with what was predicted and what is true.
        options: what the plan was put together from, with the loss and the saving of each alone.
        measure: what a loss is: "kl" or "squares" (see `Sensitivity.divergence`).
        predicted_loss: sum of the losses of the options alone.
        true_loss: that of the model that the plan made, repaired; None where it could not be measured.
        base: the scores of the model as it is, the main one first; empty without ``evaluate``.
        scores: those of the model that the plan made.
        rounds: how many plans were carried out until one kept the budgets.
        skipped: steps of the plan that were not done or undone, and why.
        notes: what a reader must know beside the numbers.
        seconds: how long it took.
        origin: name of the session that made it; "" when none did. Neither compared nor saved.
    """

    model: str
    plan: Plan
    budgets: tuple[Reached, ...]
    options: tuple[Option, ...] = ()
    measure: str = "squares"
    predicted_loss: float = 0.0
    true_loss: float | None = None
    base: tuple[Score, ...] = ()
    scores: tuple[Score, ...] = ()
    rounds: int = 1
    skipped: tuple[Skip, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    origin: str = field(default="", compare=False, metadata={"saved": False})

    @property
    def met(self) -> bool:
        """Whether every budget is kept."""
        return all(one.met for one in self.budgets)

    def budget(self, axis: str) -> Reached:
        """Return what became of the budget for ``axis``.

        Raises:
            UnknownNameError: there was none; the message names those there were.
        """
        for one in self.budgets:
            if one.axis == axis:
                return one
        raise UnknownNameError("budget", axis, [one.axis for one in self.budgets])

    def __repr__(self) -> str:
        held = ", ".join(f"{one.axis} {one.true / one.now:.0%}" if one.now else one.axis for one in self.budgets)
        return f"Chosen({self.model}: {len(self.plan)} steps, {held}{'' if self.met else ', not all budgets kept'})"
