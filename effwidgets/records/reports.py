"""What a report of a search holds beside the search itself: where it ran, what it was asked, how to do it again."""

from __future__ import annotations

from dataclasses import dataclass

from effwidgets.records.base import Record
from effwidgets.records.doors import Shown
from effwidgets.records.measures import Score
from effwidgets.records.states import StudyState

__all__ = ["Detail", "Doubt", "SearchReport", "Volumes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail(Record):
    """One line of what is worth knowing: a name and what it is, both in words."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Volumes(Record):
    """How the front along one cost came about.

    Attributes:
        axis: the cost.
        volumes: hypervolume after each result; it never falls.
        contributions: by technique, the share of the hypervolume that is lost without the candidates that use it.
    """

    axis: str
    volumes: tuple[float, ...] = ()
    contributions: tuple[Score, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt(Record):
    """How sure the place of a candidate on a front is, where its cost was measured with an error.

    Attributes:
        axis: the cost.
        number: the candidate on the front.
        by: the candidate that most probably dominates it after all.
        chance: the probability that it does.
    """

    axis: str
    number: int
    by: int
    chance: float


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SearchReport(Shown, Record):
    """A search and what a reader needs to judge it and to do it again.

    Attributes:
        state: the search as it stands.
        made: when the report was written, ISO 8601 with the offset from UTC.
        environment: versions, processor, threads.
        asked: what was asked for, in words: objectives, budgets, sampler, seed, trials, training.
        histories: one for each cost, in the order of the fronts.
        doubts: of the fronts along a cost that was measured with errors.
        chosen: numbers of the candidates worth a closer look: applied, best within the budgets, knees.
        code: a cell that does the search again, applies a candidate, saves and loads it.
    """

    state: StudyState
    made: str
    environment: tuple[Detail, ...] = ()
    asked: tuple[Detail, ...] = ()
    histories: tuple[Volumes, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    chosen: tuple[int, ...] = ()
    code: str = ""

    def __repr__(self) -> str:
        return f"SearchReport({self.state.title}, {self.made})"
