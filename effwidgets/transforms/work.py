"""The copy that a plan is carried out on: steps that have nothing in common are done and checked together."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from effwidgets.errors import Cancelled, TransformError
from effwidgets.profiling.calls import Call
from effwidgets.profiling.shadow import share
from effwidgets.records import Edit, Plan, Profile, Skip, Step
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.describe import Description, reads_of
from effwidgets.transforms.places import Place, clash, touched_by
from effwidgets.transforms.plans import check_order, skip_of
from effwidgets.transforms.taken import Taken, taken_between
from effwidgets.transforms.trial import answers_of, apart
from effwidgets.transforms.verify import Reference, compare_together, look_at, still_learns, verify_together
from effwidgets.transforms.waves import waves_of

__all__ = ["Made", "Work"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    """One step done: its edit, the profile that its rewrite read, None where it reads none, and what it took out."""

    edit: Edit
    read: Profile | None
    taken: Taken


class Work:
    """A private copy of a model and what was done to it so far.

    Steps are done in waves (`waves_of`). A wave is looked at once, when all its steps are done: one forward of the
    edited model, one of the model before it as all the witnesses change it. The answers are what the next wave starts
    from. A wave that fails is undone and done again in halves, down to the steps that fail alone: only these are left
    out. Gradients are looked at when all waves are done. Only where one is lost these are done again from the start,
    and looked at for gradients one by one, as they are where a step for inference may cut them off.

    Args:
        model: the copy.
        call: what it is called with.
        calibration: what values are fitted to.
        description: the profile of the copy.
        before: what it answers.
    """

    def __init__(
        self,
        model: nn.Module,
        call: Call,
        calibration: Calibration | None,
        description: Description,
        before: Reference,
    ) -> None:
        self.model = model
        self.notes: tuple[str, ...] = ()
        self._call = call
        self._calibration = calibration
        self._description = description
        self._before = before
        self._made: dict[int, Made] = {}
        self._skipped: dict[int, Skip] = {}
        self._gradients = True

    @property
    def made(self) -> dict[int, Made]:
        """What was done, by its number in the plan and in the order of the plan."""
        return {number: self._made[number] for number in sorted(self._made)}

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The edits, in the order of the plan."""
        return tuple(made.edit for made in self.made.values())

    @property
    def skipped(self) -> tuple[Skip, ...]:
        """The steps that were left out, in the order of the plan."""
        return tuple(self._skipped[number] for number in sorted(self._skipped))

    def carry_out(
        self, plan: Plan, known: Profile, check: Callable[[], None], *, mend: Callable[[], None] | None = None
    ) -> None:
        """Do the steps of ``plan``; ``check`` is called before each, and what it raises ends the work.

        ``mend`` is called when the last step that changes shapes is done and one that does not comes next: it may give
        the model new values.
        """
        shaped = False
        for shaping, waves in itertools.groupby(waves_of(plan, known), lambda wave: _shaping(plan.steps[wave[0]])):
            if mend is not None and shaped and not shaping and self._made:
                mend()
                self._before = look_at(self.model, self._call)
            shaped = shaping
            self._in_turn(list(waves), plan.steps, check)

    def _in_turn(self, waves: Sequence[Sequence[int]], steps: Sequence[Step], check: Callable[[], None]) -> None:
        self._gradients = len(waves) == 1 or any(_cuts(steps[number]) for wave in waves for number in wave)
        start, description, before = share(self.model), self._description.copy(), self._before
        made, skipped, notes = dict(self._made), dict(self._skipped), self.notes
        for wave in waves:
            self._together(wave, steps, check)
        if self._gradients or len(self._made) == len(made) or still_learns(self.model, start, self._call):
            return
        self.model, self._description, self._before, self._gradients = start, description, before, True
        self._made, self._skipped, self.notes = made, skipped, notes
        for wave in waves:
            self._together(wave, steps, check)

    def _together(self, wave: Sequence[int], steps: Sequence[Step], check: Callable[[], None]) -> None:
        start, description = share(self.model), self._description.copy()
        made, failed = self._try(wave, steps, check)
        try:
            found = self._verified(made, start)
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001  a plug-in's code and the model's own forward ran
            self.model, self._description = start, description
            if len(wave) == 1:
                self._skip(wave[0], steps[wave[0]], error)
                return
            middle = len(wave) // 2
            for half in (wave[:middle], wave[middle:]):
                self._together(half, steps, check)
            return
        self._made |= made
        self._before = found
        self.notes += found.notes
        for number, reason in failed.items():
            self._skip(number, steps[number], reason)

    def _try(
        self, wave: Sequence[int], steps: Sequence[Step], check: Callable[[], None]
    ) -> tuple[dict[int, Made], dict[int, Exception]]:
        made: dict[int, Made] = {}
        failed: dict[int, Exception] = {}
        for number in wave:
            check()
            before = share(self.model)
            try:
                made[number] = self._do(steps[number], before)
            except Cancelled:
                raise
            except Exception as error:  # noqa: BLE001  a plug-in's code and the model's own forward ran
                self.model = before
                failed[number] = error
            else:
                self._description.edited(made[number].edit)
        return made, failed

    def _do(self, step: Step, before: nn.Module) -> Made:
        transform = TRANSFORMS[step.transform]
        read = self._description.before(step, transform, self.model)
        check_order(step, transform, read, self.edits)
        edit = transform.rewrite(self.model, step, read)
        edit = transform.fit(self.model, before, edit, self._calibration)
        taken = taken_between(before, self.model)
        return Made(edit=self._measured(edit, before), read=read if reads_of(transform) else None, taken=taken)

    def _verified(self, made: dict[int, Made], start: nn.Module) -> Reference:
        if not made:
            return dataclasses.replace(self._before, notes=())
        edits = [entry.edit for entry in made.values()]
        touched: frozenset[Place] = frozenset()
        for edit in edits:
            mine = touched_by(edit)
            if clash(mine, touched):  # it changed more than its step names: not together, then
                raise TransformError(f"{edit.step} changes layers that another step of the same wave changes.")
            touched |= mine
        done = [(TRANSFORMS[edit.step.transform], edit) for edit in edits]
        look = verify_together if self._gradients else compare_together
        return look(done, self.model, original=start, call=self._call, before=self._before)

    def _measured(self, edit: Edit, before: nn.Module) -> Edit:
        if self._calibration is None:
            return edit
        ends = getattr(TRANSFORMS[edit.step.transform], "measured_at", None)
        names = frozenset(piece.layer for piece in edit.before)
        layers, batch = names if ends is None else ends(edit), self._calibration.batches[0]
        try:
            error = apart(answers_of(self.model, batch, layers), answers_of(before, batch, layers))
        except Cancelled:
            raise
        except Exception:  # noqa: BLE001  the edited model's own forward: `verify` says what is wrong with it
            return edit
        return dataclasses.replace(edit, error=error if error is not None and math.isfinite(error) else None)

    def _skip(self, number: int, step: Step, error: Exception) -> None:
        self._skipped[number] = skip_of(step, error, self.edits)


def _shaping(step: Step) -> bool:
    return TRANSFORMS[step.transform].phase == "structure"


def _cuts(step: Step) -> bool:
    return bool(getattr(TRANSFORMS[step.transform], "inference_only", False))
