"""Who has which plan: one line for each, whatever keeps it."""

from __future__ import annotations

from dataclasses import dataclass

from effwidgets.records import RUNGS, Rung

__all__ = ["Claim", "height"]


def height(rung: Rung) -> int:
    """Return how high a rung is; the dense model is at 0.

    >>> height("zero-shot") < height("fine-tuned")
    True
    """
    return RUNGS.index(rung)


@dataclass(slots=True, kw_only=True)
class Claim:
    """What is known of one plan.

    Attributes:
        number: of its candidate.
        tried: height of the highest rung with a result; -1 without one.
        running: height of the rung that somebody works on now; None when nobody does.
    """

    number: int
    tried: int = -1
    running: int | None = None

    def free_at(self, rung: Rung) -> bool:
        """Say whether it may be begun at this rung."""
        return self.running is None and height(rung) > self.tried

    def finish(self, rung: Rung) -> None:
        """A result came: what was worked on is tried, and so is the rung that it says."""
        self.tried = max(self.tried, height(rung), -1 if self.running is None else self.running)
        self.running = None
