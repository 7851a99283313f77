"""What a rule for ranks says: a plan, what it leaves out, and a line for each layer."""

from __future__ import annotations

from dataclasses import dataclass

from effwidgets.records.base import Record
from effwidgets.records.doors import Shown
from effwidgets.records.plans import Plan, Skip

__all__ = ["RankRow", "Ranks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRow(Record):
    """The ranks of one layer.

    Attributes:
        layer: which.
        ranks: what the rule says; 0 where it finds nothing.
        full: the full ranks.
        break_even: the largest that save anything.
        error: relative error of the weight at ``ranks``, or of the layer's outputs where inputs were given: exact, or
            with two ranks an upper bound.
        chosen: whether the plan has it.
    """

    layer: str
    ranks: tuple[int, ...]
    full: tuple[int, ...]
    break_even: tuple[int, ...]
    error: float
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Ranks(Shown, Record):
    """Ranks that a rule chose.

    Attributes:
        plan: the layers that it saves something at.
        skips: the others, each with the reason.
        table: a line for each layer that the rule was asked about.
    """

    plan: Plan
    skips: tuple[Skip, ...]
    table: tuple[RankRow, ...]

    def __repr__(self) -> str:
        asked = len(self.table)
        return f"Ranks({len(self.plan)} steps for {asked} layer{'s' * (asked != 1)}, {len(self.skips)} left alone)"
