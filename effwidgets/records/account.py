"""What `apply` did, told without the model: costs before and after, each edit, what was left out, the repair."""

from __future__ import annotations

from dataclasses import dataclass, field

from effwidgets.records.base import Record
from effwidgets.records.doors import Shown
from effwidgets.records.measures import Cost, Memory
from effwidgets.records.plans import Edit, Skip
from effwidgets.records.repairs import Repaired

__all__ = ["Account"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Account(Shown, Record):
    """An `Applied` as a value: what screens show of it, and what can be kept where the model cannot.

    Attributes:
        model: class name of the model.
        cost_before: of the model that was handed in.
        cost_after: of the edited copy.
        memory_before: of the model that was handed in.
        memory_after: of the edited copy.
        edits: what was done, in order; their places are the numbers that `undo` takes.
        skipped: steps that were not done or were undone, each with the reason.
        seconds: how long it took, repair included.
        repaired: what repair did; None where there was none.
        optimizer: what an optimizer of the model that was handed in does not know; "" where it can stay.
        notes: what a reader must know beside that, in sentences.
        download_bytes: size as a download where an edit was coded for it, else None.
        origin: name of the session of the edited copy; "" when there is none. Neither compared nor saved.
    """

    model: str
    cost_before: Cost
    cost_after: Cost
    memory_before: Memory
    memory_after: Memory
    edits: tuple[Edit, ...]
    skipped: tuple[Skip, ...]
    seconds: float
    repaired: Repaired | None = None
    optimizer: str = ""
    notes: tuple[str, ...] = ()
    download_bytes: int | None = None
    origin: str = field(default="", compare=False, metadata={"saved": False})

    def __repr__(self) -> str:
        left = f", {len(self.skipped)} left out" if self.skipped else ""
        return f"Account({self.model}: {len(self.edits)} edit{'s' * (len(self.edits) != 1)}{left})"
