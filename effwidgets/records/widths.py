"""Widths of layers as this machine likes them: what was timed, what was taken, and why."""

from __future__ import annotations

from dataclasses import dataclass

from effwidgets.records.base import Record
from effwidgets.records.doors import Shown
from effwidgets.records.plans import Plan, Step
from effwidgets.units import seconds_text

__all__ = ["Rounded", "WidthChoice", "WidthTime"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WidthTime(Record):
    """How long the layers of a group take at one width.

    Attributes:
        width: channels that stay.
        median_s: median time of the group's layers together, in seconds.
        change_s: median of the differences to the asked width, each of two times taken one after the other.
        error_s: how far that median may be off: half of the notch of McGill, Tukey and Larsen 1978
            (doi:10.2307/2683468), 1.57 interquartile ranges over the root of the repeats, about a 95% interval.
        repeats: how many times were taken.
    """

    width: int
    median_s: float
    change_s: float
    error_s: float
    repeats: int


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WidthChoice(Record):
    """The width that was taken for one step of a plan.

    Attributes:
        step: what was asked for.
        chosen: the channels that stay.
        times: what was measured, by width; empty where nothing was.
        reason: why this width, in one sentence.
        threads: how many threads torch worked with.
        device: where it was measured.
    """

    step: Step
    chosen: int
    times: tuple[WidthTime, ...] = ()
    reason: str = ""
    threads: int = 1
    device: str = "cpu"

    def time(self, width: int) -> WidthTime | None:
        """Return what was measured at ``width``, or None."""
        return next((found for found in self.times if found.width == width), None)

    def __repr__(self) -> str:
        found = self.time(self.chosen)
        took = f" in {seconds_text(found.median_s)}" if found else ""
        asked = dict(self.step.settings).get("channels")
        return f"WidthChoice({', '.join(self.step.layers)}: {asked} asked, {self.chosen} taken{took})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Rounded(Shown, Record):
    """A plan with widths that were measured.

    Attributes:
        plan: the steps, with the widths that were taken.
        choices: one for each step that removes channels, in order.
        notes: steps that were left as they were, and why.
    """

    plan: Plan
    choices: tuple[WidthChoice, ...]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        moved = sum(dict(choice.step.settings).get("channels") != choice.chosen for choice in self.choices)
        return f"Rounded({len(self.plan)} steps, {len(self.choices)} measured, {moved} at another width)"
