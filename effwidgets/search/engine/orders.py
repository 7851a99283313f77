"""What the coordinator asks of a worker, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from effwidgets.records import Candidate, Climb, Plan, Record, Rung

if TYPE_CHECKING:
    from effwidgets.transforms.applied import Applied

__all__ = ["Made", "Order"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(Record):
    """One candidate, to be taken to one rung.

    Attributes:
        number: of the candidate; 0 is the dense model.
        plan: what makes it.
        rung: how far to take it, from the dense model on: what a lower rung trained is not needed.
        seed: of its training.
        source: who thought of it.
        main: name that the first score must have; "" where it is not known yet, as for the dense model.
        climbed: the rungs that it was scored at before, lowest first.
    """

    number: int
    plan: Plan
    rung: Rung
    seed: int
    source: str = ""
    main: str = ""
    climbed: tuple[Climb, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What became of an order.

    Attributes:
        candidate: done, failed or cancelled; with cost, scores, seconds and what ``climbed`` was.
        tensors: a trained state as safetensors; None where the plan makes the model again, to the bit.
        recipe: how a trained model is made (``recipe.json``), for `effwidgets.load`; None where there is none.
        applied: the model itself, for those in the same process. It never travels: a pickled copy is without.
    """

    candidate: Candidate
    tensors: bytes | None = None
    recipe: str | None = None
    applied: Applied | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return _made, (self.candidate, self.tensors, self.recipe)


def _made(candidate: Candidate, tensors: bytes | None, recipe: str | None) -> Made:
    return Made(candidate=candidate, tensors=tensors, recipe=recipe)
