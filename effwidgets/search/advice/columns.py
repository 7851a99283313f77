"""What is added to the options that make it into a list: their time, the memory after them, the score."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import nn

from effwidgets.errors import Cancelled, EffError
from effwidgets.profiling.calls import Call
from effwidgets.profiling.failures import is_empty
from effwidgets.records import Latency, Option, Plan, Profile, Score
from effwidgets.search.advice.afford import looks_for
from effwidgets.search.clocks.pieces import Pieces
from effwidgets.search.engine.gate import Asked
from effwidgets.search.engine.scores import read_scores
from effwidgets.transforms.apply import apply, private_copy
from effwidgets.transforms.hypothetical import Drafts
from effwidgets.transforms.sound import what_failed
from effwidgets.transforms.trial import quiet_random

if TYPE_CHECKING:
    from effwidgets.search.engine.options import Evaluate
    from effwidgets.transforms.calibration import Calibration

__all__ = ["Columns"]


@dataclass(slots=True, eq=False)
class Columns:
    """Fills the columns of options of one model.

    Attributes:
        model: as it is; it is not changed.
        call: what it is called with.
        profile: of the two, with groups.
        calibration: what steps are fitted to and repaired with before they are scored.
        check: called before each piece of work.
        pieces: to measure times with; None where there are no numbers to run with.
        notes: what could not be filled, in sentences.
    """

    model: nn.Module
    call: Call
    profile: Profile
    calibration: Calibration | None
    check: Callable[[], None]
    pieces: Pieces | None
    notes: list[str]

    @classmethod
    def of(
        cls,
        model: nn.Module,
        call: Call,
        profile: Profile,
        calibration: Calibration | None,
        check: Callable[[], None],
    ) -> Columns:
        """Return it with pieces to measure, unless the model stands on meta."""
        empty = is_empty(model, call)
        pieces = None if empty else Pieces(model, call, profile, check=check)
        notes = ["The model stands on meta and has no numbers to run with, so no time was measured."] if empty else []
        return cls(model, call, profile, calibration, check, pieces, notes)

    def whole(self) -> Latency | None:
        """Return the time of the model."""
        return None if self.pieces is None else self.pieces.whole()

    def timed(self, options: Sequence[Option]) -> list[Option]:
        """Measure what each changes of the time."""
        if self.pieces is None:
            return list(options)
        made = []
        failed: dict[str, int] = {}
        for option, found in zip(options, self.pieces.tried(option.step for option in options), strict=True):
            if isinstance(found, EffError):
                failed[what_failed(found)] = failed.get(what_failed(found), 0) + 1
            made.append(option if isinstance(found, EffError) else replace(option, latency=found))
        for text, count in failed.items():
            self.notes.append(f"The time of {count} could not be measured: {text}")
        return made

    def remembered(self, options: Iterable[Option]) -> list[Option]:
        """Profile what each would make, for its memory, where that was not done yet: for the first `looks_for`."""
        drafts, most, left = Drafts(self.model, self.call, known=self.profile), looks_for(self.profile), 0
        made: list[Option] = []
        for option in options:
            self.check()
            memory = option.memory_after
            if memory is None and len(made) < most:
                with suppress(EffError):  # the trial itself went well; only this number is missing
                    memory = drafts.profile(Plan(steps=(option.step,)), backward=False).memory
            elif memory is None:
                left += 1
            made.append(replace(option, memory_after=memory))
        if left:
            size = f"{len(self.profile.layers):,} modules"
            self.notes.append(f"The memory after a step was worked out for the first {most}: the model has {size}.")
        return made

    def scored(self, options: Iterable[Option], evaluate: Evaluate) -> tuple[tuple[Score, ...], list[Option]]:
        """Apply each alone, repaired, in evaluation mode, and hand it to ``evaluate``.

        Returns the scores of the model as it is, and the options with theirs.

        Raises:
            SearchError: ``evaluate`` returns no number for the model as it is; others, whatever it raises there.
        """
        with quiet_random():
            return self._scored(options, evaluate)

    def _scored(self, options: Iterable[Option], evaluate: Evaluate) -> tuple[tuple[Score, ...], list[Option]]:
        dense = self._read(private_copy(self.model), evaluate, None)
        made = []
        for option in options:
            self.check()
            try:
                plan = Plan(steps=(option.step,))
                done = apply(self.model, plan, self.call, calibration=self.calibration, known=self.profile)
                found = self._read(done.model, evaluate, dense[0].metric)
            except Cancelled:
                raise
            except Exception as error:  # noqa: BLE001  the user's own function, on a changed model
                self.notes.append(f"{option.step} could not be scored: {what_failed(error)}")
                made.append(option)
            else:
                made.append(replace(option, score=found[0].value))
        return dense, made

    def _read(self, model: nn.Module, evaluate: Evaluate, main: str | None) -> tuple[Score, ...]:
        model.eval()
        with Asked(self.check).guard(model):  # a stop takes effect within one forward
            found = evaluate(model)
        return read_scores(found, "score", main)
