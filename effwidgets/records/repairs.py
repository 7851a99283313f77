"""What was repaired after an edit: which layers were fitted again, and what it brought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from effwidgets.records.base import Record
from effwidgets.records.doors import Shown

__all__ = ["Refit", "Repaired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refit(Record):
    """One layer that was fitted again, or would have been.

    Attributes:
        layer: dotted path in the edited model.
        step: how: weight and bias, or the bias alone.
        rows: on how many rows of its inputs (tokens, patches).
        before: relative error of what it makes on calibration data that the fit did not see; None where that was not
            measured.
        after: the same with the new values.
        kept: whether the new values stand. They do not where an error rose.
    """

    layer: str
    step: Literal["least_squares", "bias"]
    rows: int
    before: float | None
    after: float | None
    kept: bool


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Repaired(Shown, Record):
    """What `repair` did.

    Attributes:
        steps: which kinds of repair changed something ("least_squares", "bias", "batch_norm"), in this order.
        error_before: norm of the change of the model's outputs over their norm, on all calibration data, before the
            repair; None where the model's outputs cannot be compared.
        error_after: the same after it.
        seconds: how long it took.
        notes: what was done and what was left, in sentences.
        refits: layer by layer, in the order of the forward.
    """

    steps: tuple[str, ...] = ()
    error_before: float | None = None
    error_after: float | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    refits: tuple[Refit, ...] = ()

    def __repr__(self) -> str:
        done = ", ".join(self.steps) or "nothing"
        if self.error_before is None or self.error_after is None:
            return f"Repaired({done} in {self.seconds:.1f} s)"
        return f"Repaired({done} in {self.seconds:.1f} s: error {self.error_before:.3g} -> {self.error_after:.3g})"
