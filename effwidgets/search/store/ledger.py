"""Claims and results in an Optuna study: numbers are given and plans are taken in the order of its log.

A trial is one attempt: of a plan nobody had (it gives the plan the next number), of a plan that was given up, or of a
climb. A trial that found an earlier one of its plan, or at its rung, withdraws. So no plan is tried twice, also where
several processes write at once and only the storage decides whose line is first.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from effwidgets.errors import EffError, StoreError
from effwidgets.records import Budget, Candidate, Plan
from effwidgets.search.store.base import Header, plan_key
from effwidgets.search.store.claims import height
from effwidgets.search.store.owners import Owner
from effwidgets.search.store.place import Place
from effwidgets.search.store.trials import (
    CANDIDATE,
    CLAIM,
    NOTE,
    PLAN,
    RUNG,
    candidate_in,
    constraints_of,
    finished,
    outcome,
    template,
)

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, TrialState

__all__ = ["Ledger"]

_TRIES = 5

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _Line:
    # What is known of one plan: ``attempts`` are its running trials, the height of their rung by place in the study.
    number: int
    key: str
    last: FrozenTrial
    tried: int = -1
    attempts: dict[int, int] = field(default_factory=dict)
    record: FrozenTrial | None = None

    def free_at(self, rung: int) -> bool:
        return not self.attempts and rung > self.tried


class Ledger:
    """Who has which plan, and what came of it.

    Args:
        place: where it stands.
        header: of the search.
        owner: of the claims made here.

    Attributes:
        lost: how many claims of processes that died were freed.
    """

    def __init__(self, place: Place, header: Header, owner: Owner) -> None:
        self.lost = 0
        self._place = place
        self._header = header
        self._me = str(owner)
        self._budgets: tuple[Budget, ...] = ()
        self._lock = threading.RLock()
        self._lines: dict[str, _Line] = {}
        self._order: list[_Line] = []
        self._seen = 0
        self._running: dict[int, _Line] = {}  # by place of the trial in the study
        self._mine: dict[int, FrozenTrial] = {}  # the own running trial, by number
        self._news: dict[int, None] = {}

    def candidates(self) -> tuple[Candidate, ...]:
        """Return all, by number, and free what dead processes claimed."""
        with self._looking():
            self._bury(self._order)
            self._news.clear()
            return tuple(self._shown(line) for line in self._order)

    def news(self) -> tuple[Candidate, ...]:
        """Return what others began, finished, gave up or left behind since the last call."""
        with self._looking():
            self._bury(list(self._running.values()))
            lines = [self._order[number] for number in sorted(self._news)]
            found = tuple(self._shown(line) for line in lines)
            self._news.clear()
            return found

    def begin(self, candidate: Candidate, most: int | None = None) -> int | None:
        """Claim a plan at a rung; see `Store.begin`."""
        key, rung = plan_key(candidate.plan), height(candidate.rung)
        for _ in range(_TRIES):  # again only where the one before us gave up in between
            with self._looking():
                line = self._lines.get(key)
                if line is not None:
                    self._bury([line])
                    if not line.free_at(rung):
                        return None
                elif most is not None and len(self._order) >= most:
                    return None
                number = len(self._order) if line is None else line.number
                trial = self._add(template(candidate, number, self._me))
                line = self._lines[key]
                if rung > line.tried and min(line.attempts) == trial.number:
                    self._mine[line.number] = trial
                    return line.number
                self._end(trial, "Another process was first.")
        return None

    def put(self, candidate: Candidate) -> None:
        """Keep a result, or give a claim back; see `Store.put`.

        Raises:
            StoreError: a number that `begin` did not give, or it could not be written.
        """
        if candidate.state in ("planned", "running"):
            return
        with self._looking():
            if not 0 <= candidate.number < len(self._order):
                raise StoreError(f"Candidate {candidate.number} was never begun, so it cannot be put.")
            trial = self._mine.get(candidate.number)
            if candidate.state == "cancelled":
                if trial is not None:
                    self._end(trial, candidate.note or "Cancelled.")
            elif trial is None or not self._finish(trial, candidate):
                limits = constraints_of(candidate, self._budgets)
                self._add(finished(candidate, self._me, outcome(candidate, self._header), limits))

    def set_budgets(self, budgets: tuple[Budget, ...]) -> None:
        """Let results from now on carry how far they are beyond these."""
        with self._looking():
            if budgets == self._budgets:
                return
            shown = {budget.axis: budget.limit for budget in budgets}
            self._place.storage.set_study_user_attr(self._place.study, "budgets", shown)
            self._budgets = budgets

    def close(self) -> None:
        """Give back what is claimed; where that cannot be written, others see that its owner is gone."""
        try:
            with self._looking():
                for trial in list(self._mine.values()):
                    self._end(trial, "Given back when the search was closed.")
        except StoreError:
            _log.debug("The claims in %s could not be given back.", self._place.where, exc_info=True)

    @contextmanager
    def _looking(self) -> Iterator[None]:
        # Alone, and with what others wrote.
        with self._lock, self._guarded(), self._place.alone():
            self._look()
            yield

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except EffError:
            raise
        except Exception as error:
            raise StoreError(
                f"{self._place.where} could not be read or written: {type(error).__name__}: {error}. What was kept "
                "before is intact. Mend that, then start the search again."
            ) from error

    def _look(self) -> None:
        trials = self._place.storage.get_all_trials(self._place.study, deepcopy=False)
        for place, line in list(self._running.items()):
            self._settle(trials[place], line)
        for trial in trials[self._seen :]:
            self._enter(trial)
        self._seen = len(trials)

    def _enter(self, trial: FrozenTrial) -> None:
        key = trial.user_attrs.get(PLAN)
        if not isinstance(key, str) or RUNG not in trial.user_attrs:
            return  # somebody else's trial in our study
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(number=len(self._order), key=key, last=trial)
            self._order.append(line)
        line.attempts[trial.number] = height(trial.user_attrs[RUNG])
        self._running[trial.number] = line
        line.last = trial
        if trial.user_attrs.get(CLAIM) != self._me:
            self._news[line.number] = None
        self._settle(trial, line)

    def _settle(self, trial: FrozenTrial, line: _Line) -> None:
        if not trial.state.is_finished():
            return
        rung = line.attempts.pop(trial.number)
        del self._running[trial.number]
        mine = self._mine.get(line.number)
        if mine is not None and mine.number == trial.number:
            del self._mine[line.number]
        if CANDIDATE in trial.user_attrs:
            line.tried = max(line.tried, rung)
            if line.record is None or _worth(trial) >= _worth(line.record):
                line.record = trial
        if trial.user_attrs.get(CLAIM) != self._me:
            self._news[line.number] = None

    def _bury(self, lines: Collection[_Line]) -> None:
        # A process that was killed between writing its result and saying that it is finished has finished.
        for trial in [self._trial(place) for line in lines for place in line.attempts]:
            owner = Owner.read(str(trial.user_attrs.get(CLAIM)))
            if owner is not None and str(owner) != self._me and self._place.dead(owner):
                self.lost += 1
                if CANDIDATE in trial.user_attrs:
                    self._finish(trial, candidate_in(trial.user_attrs, 0, self._place.where))
                else:
                    self._end(trial, "Its process ended before it was finished.")

    def _trial(self, place: int) -> FrozenTrial:
        return self._place.storage.get_all_trials(self._place.study, deepcopy=False)[place]

    def _add(self, trial: FrozenTrial) -> FrozenTrial:
        number = self._place.storage.create_new_trial(self._place.study, template_trial=trial)
        made = self._place.storage.get_trial(number)
        if made.number == self._seen:
            self._enter(made)
            self._seen += 1
        else:  # others wrote in between
            self._look()
        return made

    def _end(self, trial: FrozenTrial, note: str) -> None:
        from optuna.trial import TrialState

        self._write(trial, {NOTE: note}, {}, (TrialState.FAIL, None))

    def _finish(self, trial: FrozenTrial, candidate: Candidate) -> bool:
        limits = constraints_of(candidate, self._budgets)
        kept = {CANDIDATE: candidate.to_json(), **({NOTE: candidate.note} if candidate.note else {})}
        return self._write(trial, kept, limits, outcome(candidate, self._header))

    def _write(
        self,
        trial: FrozenTrial,
        attributes: Mapping[str, str | None],
        limits: Mapping[str, float],
        end: tuple[TrialState, tuple[float, ...] | None],
    ) -> bool:
        # False: somebody took us for dead, or was faster.
        from optuna.exceptions import UpdateFinishedTrialError

        storage, number = self._place.storage, trial._trial_id  # noqa: SLF001  no public name for what all setters take
        try:
            with self._place.together():
                for name, value in attributes.items():
                    storage.set_trial_user_attr(number, name, value)
                for name, limit in limits.items():
                    storage.set_trial_system_attr(number, name, limit)
                storage.set_trial_state_values(number, *end)
        except UpdateFinishedTrialError:
            return False
        self._settle(storage.get_trial(number), self._running[trial.number])
        return True

    def _shown(self, line: _Line) -> Candidate:
        if line.record is not None:
            return candidate_in(line.record.user_attrs, line.number, self._place.where)
        state: Literal["running", "cancelled"] = "running" if line.attempts else "cancelled"
        told = line.last.user_attrs
        return Candidate(
            number=line.number,
            plan=Plan.from_dict(json.loads(line.key)),
            rung=told[RUNG],
            state=state,
            seed=int(told.get("seed", 0)),
            source=str(told.get("source", "")),
            note="" if state == "running" else str(told.get(NOTE, "")),
        )


def _worth(trial: FrozenTrial) -> tuple[bool, int, object]:
    # Of several results of a plan: one with scores, then the highest rung, then the last.
    from optuna.trial import TrialState

    return trial.state != TrialState.FAIL, height(trial.user_attrs[RUNG]), trial.datetime_complete
