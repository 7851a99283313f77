"""What a live screen shows beside a plain result: how far the work is, what was tried, what can be undone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from effwidgets.records.base import Record
from effwidgets.records.candidates import Candidate
from effwidgets.records.doors import Shown
from effwidgets.records.measures import Cost, Memory, Score
from effwidgets.records.plans import Edit, Skip, Suggestions

__all__ = ["Budget", "Desk", "Front", "Outcome", "Progress", "StudyState"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Record):
    """How far a piece of work is. ``planned`` is 0 where it cannot be known."""

    state: Literal["idle", "working", "done", "failed", "gone"] = "idle"
    message: str = ""
    done: int = 0
    planned: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Record):
    """What some suggestions make of the model: hypothetical (a preview) or applied.

    Attributes:
        indices: which suggestions, by their place in the list.
        cost: the whole model after them.
        memory: the whole model after them.
        edits: what was done; empty in a preview.
        skipped: what was not done or rolled back, and why.
    """

    indices: tuple[int, ...]
    cost: Cost
    memory: Memory
    edits: tuple[Edit, ...] = ()
    skipped: tuple[Skip, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk(Record):
    """A suggestion list being worked on: what is previewed, applied, undoable, going on."""

    suggestions: Suggestions
    preview: Outcome | None = None
    applied: Outcome | None = None
    undo: int = 0
    progress: Progress = Progress()


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget(Record):
    """The largest amount of a cost that a model may take.

    Attributes:
        axis: the cost ("macs", "latency_s", a registered metric).
        limit: in the unit of the axis.
    """

    axis: str
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Front(Record):
    """The candidates that no other beats, for one cost field against the main score.

    Attributes:
        axis: the cost ("macs", "params", "param_bytes", "inference_peak_bytes"), or a registered metric.
        numbers: candidates from cheap to dear.
        hypervolume: share of the box from the worst score seen at first to the best possible, and from 0 to the
            dense model's cost, that the front dominates; None before the dense model is scored.
        knee: the candidate farthest above the chord between the ends; None with fewer than three.
    """

    axis: str
    numbers: tuple[int, ...]
    hypervolume: float | None = None
    knee: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StudyState(Shown, Record):
    """A search at one moment.

    Attributes:
        title: what it is a search of ("ResNet").
        metric: name of the main score.
        better: in which direction it improves.
        state: where the run stands.
        candidates: all so far, by number.
        planned: how many there will be; 0 where it cannot be known.
        message: what is going on, or why it ended.
        seconds_left: estimate from the candidates so far; None when there is none.
        fronts: one for each cost axis, the default axis first.
        applied: number of the candidate applied last.
        objectives: the costs that the search is after, beside the main score; the default axis first.
        budgets: limits that the search keeps to; they may change while it runs.
        volumes: hypervolume along the default axis after each result; it never falls.
        contributions: by technique, the share of that hypervolume that is lost without the candidates that use it.
        origin: name of the session; neither compared nor saved.
    """

    title: str
    metric: str
    better: Literal["higher", "lower"]
    state: Literal["idle", "running", "paused", "finished", "cancelled", "failed"]
    candidates: tuple[Candidate, ...]
    planned: int = 0
    message: str = ""
    seconds_left: float | None = None
    fronts: tuple[Front, ...] = ()
    applied: int | None = None
    objectives: tuple[str, ...] = ()
    budgets: tuple[Budget, ...] = ()
    volumes: tuple[float, ...] = ()
    contributions: tuple[Score, ...] = ()
    origin: str = field(default="", compare=False, metadata={"saved": False})

    def __repr__(self) -> str:
        done = sum(candidate.state == "done" for candidate in self.candidates)
        planned = f" of {self.planned}" if self.planned else ""  # not known before the seeds are laid
        return f"StudyState({self.title}: {self.state}, {done}{planned} done)"
