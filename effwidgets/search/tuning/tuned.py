"""What came of a training."""

from __future__ import annotations

from dataclasses import dataclass

from effwidgets.records.base import Record

__all__ = ["Tuned"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Tuned(Record):
    """How a training went.

    Attributes:
        epochs: passes over the training data, the last one counted as far as it went.
        steps: of the optimizer.
        losses: mean training loss of each epoch.
        held_out: loss on the data held out: before the training, then after each epoch.
        best_epoch: after which epoch the model was best and so is left; 0: as it came.
        seconds: how long it took.
        samples: how many were trained on in one epoch; 0 where they cannot be counted.
        stopped: why it ended before the last epoch; "" where it did not.
        notes: what was left out, such as a layer that could not be compared.
    """

    epochs: float
    steps: int
    losses: tuple[float, ...]
    held_out: tuple[float, ...]
    best_epoch: int
    seconds: float
    samples: int = 0
    stopped: str = ""
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        first, best = self.held_out[0], self.held_out[self.best_epoch]
        early = f", stopped: {self.stopped}" if self.stopped else ""
        return (
            f"Tuned({self.epochs:g} epochs, held-out loss {first:.3g} to {best:.3g} after epoch {self.best_epoch}, "
            f"{self.seconds:.1f} s{early})"
        )
