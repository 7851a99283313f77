"""What a place that keeps a search can do, and what it is told of the search when it is opened."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from effwidgets.records import Budget, Candidate, Plan, Record, Rung

__all__ = ["SCHEMA", "Header", "ModelMark", "Store", "plan_key"]

SCHEMA = 1
"""Grows when an older effwidgets could not read what is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMark(Record):
    """What tells one dense model from another.

    Attributes:
        name: class name.
        structure: SHA-256 of every layer's class and of name, shape and dtype of each tensor; hexadecimal digits.
        values: SHA-256 of the numbers in them.
    """

    name: str
    structure: str
    values: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Header(Record):
    """What a kept search is a search of; two that differ in more than ``seed`` and ``made_with`` are two searches.

    Attributes:
        model: the dense model.
        call: SHA-256 of the shapes and dtypes that it is called with.
        metric: name of the main score; "" where ``evaluate`` names its scores itself.
        better: in which direction it improves.
        objectives: the costs beside it.
        seed: of the process that began the search; another one that joins may have its own.
        made_with: version of effwidgets.
        created: when it was begun, ISO 8601 in UTC; "" takes the moment when the store is made.
        schema: the form in which it is kept.
    """

    model: ModelMark
    call: str
    metric: str
    better: Literal["higher", "lower"]
    objectives: tuple[str, ...]
    seed: int = 0
    made_with: str = ""
    created: str = ""
    schema: int = SCHEMA


@runtime_checkable
class Store(Protocol):
    """Where a search is kept. One coordinator writes through one store; other processes may have theirs open too.

    The order for one candidate: `begin`; then, once for each rung that is a result, `put_tensors` where it was
    trained, and `put`. What was put is never lost, also when the process is killed right after.
    All methods raise a `StoreError` where the place cannot be read or written (a full disk): the search stops with
    everything before it intact.
    """

    @property
    def keeps_tensors(self) -> bool:
        """Whether there is a place for trained states; without one a search that trains is refused at its start."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user must hear of opening it, in sentences: a repaired log, claims of processes that died."""

    def open(self, header: Header) -> tuple[Candidate, ...]:
        """Begin or go on with the search that ``header`` tells of; what is there already, by number.

        A candidate is "done" or "failed"; "running" in a process that lives; or "cancelled": it was given up, or its
        process died. The cancelled ones may be begun again and keep their number.

        Raises:
            StoreError: it keeps another model's search, other objectives, a newer schema, or it is damaged beyond
                the last line.
        """

    def begin(self, candidate: Candidate, most: int | None = None) -> int | None:
        """Claim the plan of ``candidate`` at its rung, atomically over processes.

        Args:
            candidate: with its plan and its rung.
            most: of how many plans, those of all processes together, there may be claims; None: any number. In a
                database, processes that claim at the same moment may go beyond it by one each.

        Returns:
            the number of the plan: a new one, or the one it has where it climbs or was given up. None: somebody has
            it at this rung or above, finished or going on; `news` tells when it is finished. Or the plan is new, and
            ``most`` were claimed; `news` has those of others.
        """

    def put(self, candidate: Candidate) -> None:
        """Keep a result: state "done" or "failed", or "cancelled" to give the claim back.

        May be said again, with more measures, and after each climb: the last holds.
        """

    def put_tensors(self, number: int, rung: Rung, tensors: bytes) -> None:
        """Keep the trained state of a candidate, as safetensors."""

    def put_recipe(self, number: int, recipe: str) -> None:
        """Keep the recipe of a candidate (``recipe.json``), so that `effwidgets.load` reads its folder."""

    def tensors(self, number: int, rung: Rung | None = None) -> bytes | None:
        """Return the trained state of a rung, the highest where none is named; None where nothing is kept of it.

        A state may be there without its result: its process was killed between the two.
        """

    def news(self) -> tuple[Candidate, ...]:
        """Return what other processes began, put or gave up since this was asked last."""

    def set_budgets(self, budgets: tuple[Budget, ...]) -> None:
        """Let results from now on say how far they are beyond these limits, for Optuna's dashboard."""

    def close(self) -> None:
        """Give back what is claimed and not put. Nothing that was put depends on it."""


def plan_key(plan: Plan) -> str:
    """Return a text that two plans share exactly when they are equal.

    >>> plan_key(Plan())
    '{"steps": []}'
    """
    return json.dumps(plan.to_dict(), sort_keys=True, ensure_ascii=False)
