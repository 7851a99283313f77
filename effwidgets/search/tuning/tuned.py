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
        best_loss: the least on that data, that of the weights that are left.
        best_epoch: after how many epochs that was; 0: the model is left as it came.
        seconds: how long it took.
        samples: how many were trained on in one epoch; 0 where they cannot be counted.
        stopped: why it ended before the last epoch; "" where it did not.
        notes: what was left out, such as a layer that could not be compared.
    """

    epochs: float
    steps: int
    losses: tuple[float, ...]
    held_out: tuple[float, ...]
    best_loss: float
    best_epoch: float
    seconds: float
    samples: int = 0
    stopped: str = ""
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        early = f", stopped: {self.stopped}" if self.stopped else ""
        return (
            f"Tuned({self.epochs:g} epochs, held-out loss {self.held_out[0]:.3g} to {self.best_loss:.3g} after epoch "
            f"{self.best_epoch:g}, {self.seconds:.1f} s{early})"
        )
