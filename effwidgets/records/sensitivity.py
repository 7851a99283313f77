"""How much a model suffers where: for each place a curve of settings, each applied alone and measured."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.records.base import Record
from effwidgets.records.doors import Shown
from effwidgets.records.exports import Exported
from effwidgets.records.measures import Cost, Score
from effwidgets.records.options import Option
from effwidgets.records.plans import Skip, Step

__all__ = ["DIVERGENCES", "Sensitivity", "SensitivityPoint", "SensitivityProgress", "SensitivityRow"]

DIVERGENCES = {"kl": "KL divergence", "squares": "relative squared error"}
"""What `Sensitivity.divergence` may be, in words."""

_GOALS = ("macs", "params", "param_bytes", "saved_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityPoint(Record):
    """One setting at one place, applied alone, fitted, repaired and measured.

    Attributes:
        step: what was done.
        kept: share of the work of the layers that it changes which is left: of their MACs, or of their parameters where
            they have no MACs. Comparable between places and techniques.
        change: what it changes of the model, exact.
        divergence: how far the outputs part from the model's on held-out inputs, from 0 on; 0 is not at all. None where
            it could not be measured.
        error: norm of the change of these outputs over their norm; None where they are all zero.
        scores: what ``evaluate`` returned, the main one first; empty where there is none, or it failed.
        seconds: how long it took to make and measure.
        note: why a number is missing; "" when there is nothing to say.
    """

    step: Step
    kept: float
    change: Cost
    divergence: float | None = None
    error: float | None = None
    scores: tuple[Score, ...] = ()
    seconds: float = 0.0
    note: str = ""

    @property
    def score(self) -> float | None:
        """The main score."""
        return self.scores[0].value if self.scores else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityRow(Record):
    """One place: a technique at some layers.

    Attributes:
        transform: name of the technique.
        layers: where.
        family: kind of technique.
        unit: the layers that it changes, members of its group among them.
        cost: what these take, the model as it is.
        found: what the technique says of the place.
        planned: how many settings there are to measure.
        points: those that were measured, from weak to strong.
    """

    transform: str
    layers: tuple[str, ...]
    family: str
    unit: tuple[str, ...]
    cost: Cost
    found: str = ""
    planned: int = 0
    points: tuple[SensitivityPoint, ...] = ()

    @property
    def site(self) -> tuple[str, tuple[str, ...]]:
        """What names the place."""
        return self.transform, self.layers

    def at(self, kept: float = 0.5) -> float | None:
        """Return the divergence where this share of the work is left; None where no point has one.

        Between two settings the logarithm of the divergence goes in a straight line; beyond the last one it is that
        setting's.
        """
        known = sorted((point.kept, point.divergence) for point in self.points if point.divergence is not None)
        if not known:
            return None
        for (low, strong), (high, weak) in itertools.pairwise(known):
            if low <= kept <= high:
                if min(strong, weak) <= 0 or high == low:
                    return strong if kept - low < high - kept else weak
                share = (kept - low) / (high - low)
                return math.exp((1 - share) * math.log(strong) + share * math.log(weak))
        return known[0][1] if kept < known[0][0] else known[-1][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityProgress(Record):
    """How far it is.

    Attributes:
        done: settings measured, those of earlier runs too.
        planned: settings in all.
        step: what is tried next; None at the end.
        seconds: since this run began.
        seconds_left: estimate from the settings of this run; None before the first.
    """

    done: int
    planned: int
    step: Step | None
    seconds: float
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Sensitivity(Shown, Exported, Record):
    """For every place a curve: how far the outputs part, and the score, the stronger the setting.

    Attributes:
        model: class name of the model.
        cost: the model's cost as it is.
        divergence: what `SensitivityPoint.divergence` is: "kl", the Kullback-Leibler divergence of the class
            probabilities in nats, mean over the samples; or "squares", the squared norm of the change over that of the
            outputs.
        base: the scores of the model as it is, the main one first; empty without ``evaluate``.
        better: in which direction the main score improves.
        rows: the places, in the order of the model's layers.
        skips: where nothing is offered or nothing could be tried, and why.
        complete: whether all of it was measured; else the same call with ``resume=`` this does the rest.
        seconds: of all the runs that made it.
        fitted: calibration samples that values were fitted and repaired with; 0 for none.
        held_out: samples that the divergence was measured on, not among those.
        notes: what a reader must know beside the numbers.
        model_digest: of the structure and values of the model: a record of another one is not gone on with.
        data_digest: of the inputs and of what decides how a point is measured.
        origin: name of the session that made it; "" when none did. Neither compared nor saved.
    """

    model: str
    cost: Cost
    divergence: Literal["kl", "squares"]
    base: tuple[Score, ...] = ()
    better: Literal["higher", "lower"] = "higher"
    rows: tuple[SensitivityRow, ...] = ()
    skips: tuple[Skip, ...] = ()
    complete: bool = False
    seconds: float = 0.0
    fitted: int = 0
    held_out: int = 0
    notes: tuple[str, ...] = ()
    model_digest: str = ""
    data_digest: str = ""
    origin: str = field(default="", compare=False, metadata={"saved": False})

    @property
    def points(self) -> tuple[SensitivityPoint, ...]:
        """All points, row by row."""
        return tuple(point for row in self.rows for point in row.points)

    @property
    def options(self) -> tuple[Option, ...]:
        """The measured points as options, for MACs; see `options_for`."""
        return self.options_for("macs")

    def options_for(self, goal: str) -> tuple[Option, ...]:
        """Return the points whose divergence is known as options, their savings in shares of the model's ``goal``.

        Raises:
            UnknownNameError: no additive cost of that name.
        """
        if goal not in _GOALS:
            raise UnknownNameError("goal", goal, _GOALS)
        whole = getattr(self.cost, goal)
        return tuple(
            Option(
                step=point.step,
                family=row.family,
                unit=row.unit,
                change=point.change,
                saving=-getattr(point.change, goal) / whole if whole else 0.0,
                error=point.error,
                found=row.found,
                divergence=point.divergence,
                score=point.score,
            )
            for row in self.rows
            for point in row.points
            if point.divergence is not None
        )

    def ranked(self, kept: float = 0.5) -> tuple[SensitivityRow, ...]:
        """Return the rows that have a divergence, most sensitive first, with this share of their work left.

        Raises:
            InputError: a share that is not between 0 and 1.
        """
        if isinstance(kept, bool) or not isinstance(kept, int | float) or not 0 <= kept <= 1:
            raise InputError(f"kept is {kept!r}; a share from 0 to 1 was expected.")
        known = [(found, row) for row in self.rows if (found := row.at(kept)) is not None]
        return tuple(row for _, row in sorted(known, key=lambda pair: -pair[0]))

    def row(self, transform: str, *layers: str) -> SensitivityRow:
        """Return one place.

        Raises:
            UnknownNameError: it is not among the rows; the message names those that are.
        """
        for row in self.rows:
            if row.site == (transform, layers):
                return row
        known = [f"{row.transform} at {', '.join(row.layers)}" for row in self.rows]
        raise UnknownNameError("place in this sensitivity", f"{transform} at {', '.join(layers)}", known)

    def __iter__(self) -> Iterator[SensitivityRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        done, planned = len(self.points), sum(row.planned for row in self.rows)
        said = "" if self.complete else ", not complete"
        return f"Sensitivity({self.model}: {len(self.rows)} places, {done} of {planned} settings measured{said})"
