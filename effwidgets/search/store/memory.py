"""A search that ends with its process: numbers are given, nothing is written."""

from __future__ import annotations

import threading

from effwidgets.errors import StoreError
from effwidgets.records import RUNGS, Budget, Candidate, Plan, Rung
from effwidgets.search.store.base import Header
from effwidgets.search.store.claims import Claim, height

__all__ = ["MemoryStore"]


class MemoryStore:
    """Keeps what a running search needs: which plans are taken, and trained states.

    >>> from effwidgets.records import Plan
    >>> store = MemoryStore()
    >>> dense = Candidate(number=0, plan=Plan(), rung="dense", state="running")
    >>> store.begin(dense), store.begin(dense)
    (0, None)
    """

    keeps_tensors = True
    notes: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claims: dict[Plan, Claim] = {}
        self._order: list[Claim] = []
        self._tensors: dict[int, dict[Rung, bytes]] = {}

    def open(self, header: Header) -> tuple[Candidate, ...]:
        """Begin; nothing is there yet."""
        del header
        return ()

    def begin(self, candidate: Candidate, most: int | None = None) -> int | None:
        """Claim a plan at a rung; see `Store.begin`."""
        with self._lock:
            claim = self._claims.get(candidate.plan)
            if claim is None:
                if most is not None and len(self._order) >= most:
                    return None
                claim = Claim(number=len(self._order))
                self._claims[candidate.plan] = claim
                self._order.append(claim)
            elif not claim.free_at(candidate.rung):
                return None
            claim.running = height(candidate.rung)
            return claim.number

    def put(self, candidate: Candidate) -> None:
        """Note that a plan is tried, or given back.

        Raises:
            StoreError: a number that `begin` did not give.
        """
        with self._lock:
            if not 0 <= candidate.number < len(self._order):
                raise StoreError(f"Candidate {candidate.number} was never begun, so it cannot be put.")
            claim = self._order[candidate.number]
            if candidate.state in ("done", "failed"):
                claim.finish(candidate.rung)
            elif candidate.state == "cancelled":
                claim.running = None

    def put_tensors(self, number: int, rung: Rung, tensors: bytes) -> None:
        """Hold a trained state."""
        with self._lock:
            self._tensors.setdefault(number, {})[rung] = tensors

    def put_recipe(self, number: int, recipe: str) -> None:
        """Do nothing: `Study.save` writes a recipe where it is wanted."""

    def tensors(self, number: int, rung: Rung | None = None) -> bytes | None:
        """Return the trained state of a rung, or of the highest."""
        with self._lock:
            held = self._tensors.get(number, {})
            highest = next((each for each in reversed(RUNGS) if each in held), None)
            wanted = rung or highest
            return None if wanted is None else held.get(wanted)

    def news(self) -> tuple[Candidate, ...]:
        """Return nothing: no other process has it."""
        return ()

    def set_budgets(self, budgets: tuple[Budget, ...]) -> None:
        """Do nothing: no dashboard reads it."""

    def close(self) -> None:
        """Give back what is claimed; the search may go on."""
        with self._lock:
            for claim in self._order:
                claim.running = None
