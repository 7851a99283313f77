"""Makes one candidate and scores it: apply and repair, train, evaluate."""

from __future__ import annotations

import copy
import dataclasses
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from effwidgets.errors import Cancelled, InputError, ModelError, SearchError
from effwidgets.profiling.profile import ProfileOptions, profile
from effwidgets.profiling.shadow import check_module
from effwidgets.records import Candidate, Plan, Profile, Rung, Score
from effwidgets.search.engine.after import finished, parted
from effwidgets.search.engine.answers import Answers
from effwidgets.search.engine.gate import Gate
from effwidgets.search.engine.orders import Made, Order
from effwidgets.search.engine.scores import marks_of, read_scores
from effwidgets.search.engine.states import to_bytes
from effwidgets.search.fronts.axes import measures_of
from effwidgets.transforms.apply import Applied, apply, private_copy
from effwidgets.transforms.calibration import Calibration, calibration_of
from effwidgets.transforms.recipes.recipe import recipe_text
from effwidgets.transforms.sound import check_answers, check_calibration, check_real, what_failed
from effwidgets.transforms.trial import quiet_random

if TYPE_CHECKING:
    from effwidgets.profiling.calls import Call
    from effwidgets.search.engine.options import Evaluate, Finetune, SearchOptions
    from effwidgets.search.sensitivity.gauge import Gauged

__all__ = ["Workshop", "sentence", "skipped_text"]

TRAINED: tuple[Rung, ...] = ("briefly tuned", "fine-tuned")


class Workshop:
    """Holds the private copy of the dense model and all that is needed to make candidates from it.

    `make` may be called on several threads at once. It reads of ``options``: ``calibration``, ``finetune``,
    ``score_name``, ``time_limit_s``, ``guide``, ``gauge``.

    Raises:
        InputError: the model cannot be copied, or ``evaluate`` cannot be called.
    """

    def __init__(self, model: nn.Module, call: Call, evaluate: Evaluate, options: SearchOptions) -> None:
        if not callable(evaluate):
            raise InputError(
                f"evaluate is {type(evaluate).__name__}; a function from a model to its score was expected."
            )
        check_module(model)
        check_real(model, call)
        self.model = private_copy(model).eval()
        self.call = call
        with quiet_random():  # a loader that shuffles draws from the state of the whole process
            self.calibration: Calibration | None = calibration_of(options.calibration)
        self.evaluate = evaluate
        self.options = options
        self._known: Profile | None = None
        self._lock = threading.Lock()
        self._answers: Answers | Literal[False] | None = None  # False: its outputs cannot be compared

    @property
    def first(self) -> Rung:
        """The rung that every candidate is scored at first."""
        return "zero-shot" if self.calibration is None else "repaired"

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The rungs that a compressed candidate can stand on, lowest first."""
        train = self.options.finetune
        tuned = TRAINED if callable(getattr(train, "briefly", None)) else TRAINED[1:]
        return (self.first, *(tuned if train is not None else ()))

    def known(self) -> Profile:
        """Return the profile of the dense model; the first time, the model and the data are tried out.

        Raises:
            ModelError: the model's own forward fails, with the inputs or with the calibration data.
        """
        with self._lock:
            if self._known is None:
                check_answers(self.model, self.call)
                if self.calibration is not None:
                    check_calibration(self.model, self.calibration, self.call)
                self._known = profile(self.model, self.call, options=ProfileOptions(second_opinion=True))
        return self._known

    def build(self, plan: Plan, check: Callable[[], None] | None = None) -> Applied:
        """Make the model of a plan, untrained; the same bits each time.

        Raises:
            SearchError: not one step of its plan could be done.
        """
        applied = apply(
            self.model,
            plan,
            self.call,
            calibration=self.calibration,
            repair=len(plan) > 0,
            check=check,
            known=self.known(),
        )
        if len(plan) and not applied.edits:
            raise SearchError(f"No step of the plan could be done. {skipped_text(applied)}")
        applied.model.eval()
        return dataclasses.replace(applied, history=None)  # many are kept: what `undo` needs would double their memory

    def make(self, order: Order, gate: Gate) -> Made:
        """Do ``order``: build, train as far as its rung asks, score. What goes wrong fails the candidate alone.

        Raises:
            BaseException: what ends a thread or the program, from the user's function.
        """
        began = time.monotonic()
        blank = Candidate(
            number=order.number,
            plan=order.plan,
            rung=order.rung,
            state="running",
            seed=order.seed,
            parent=0 if order.number else None,
            climbed=order.climbed,
            source=order.source,
        )
        try:
            made = self._make(order, blank, gate)
        except Cancelled:
            return _dropped(blank, "cancelled", "Cancelled before it was scored", began)
        except Exception as error:  # noqa: BLE001  the user's function, a plug-in, the model itself
            note = what_failed(error)
            if order.number == 0 and not isinstance(error, InputError | ModelError):
                # What is wrong with the model or the data says itself what to do.
                note = f"{sentence(note)} Call evaluate(model) yourself until it returns a finite number."
            return _dropped(blank, "failed", note, began)
        done = dataclasses.replace(made.candidate, state="done", seconds=time.monotonic() - began)
        return dataclasses.replace(made, candidate=done)

    def _make(self, order: Order, blank: Candidate, gate: Gate) -> Made:
        applied, trained = self._trained(order, gate)
        measures, unmeasured = measures_of(applied.profile)
        notes = [skipped_text(applied), unmeasured]
        far = self._divergence(applied, gate) if order.rung == self.first else None
        before = marks_of(applied.model)
        with gate.guard(applied.model, self.options.time_limit_s):
            found = self.evaluate(applied.model)
        applied.model.eval()
        scores = read_scores(found, self.options.score_name, order.main or None)
        changed = marks_of(applied.model) != before
        if changed and trained:
            notes.append("evaluate changed the model; it is kept so.")
        candidate = dataclasses.replace(
            blank,
            edits=applied.edits,
            cost=applied.profile.cost,
            memory=applied.profile.memory,
            note=" ".join(filter(None, notes)),
            measures=measures if far is None else (*measures, Score(metric="divergence", value=far)),
            scores=scores,
        )
        # One that evaluate wrote into is not what was scored; its plan makes it again.
        kept = applied if trained or not changed else None
        if not trained:
            return Made(candidate=candidate, applied=kept)
        return Made(candidate=candidate, tensors=to_bytes(applied.model), recipe=recipe_text(applied), applied=kept)

    def _divergence(self, applied: Applied, gate: Gate) -> float | None:
        if self.calibration is None and self.options.guide != "divergence":
            return None
        with self._lock:
            if self._answers is None:
                batches = self.calibration.batches if self.calibration else (self.call,)
                self._answers = _answers(self.model, batches, self.options.gauge)
        return None if self._answers is False else self._answers.divergence(applied.model, gate.check)

    def _trained(self, order: Order, gate: Gate) -> tuple[Applied, bool]:
        train = self.options.finetune if order.rung in TRAINED else None
        if train is None:
            return self.build(order.plan, gate.check), False
        first, rest = parted(order.plan)
        applied = self.build(first, gate.check)
        self._train(applied, train, order, gate)
        applied = finished(applied, rest, self.call, calibration=self.calibration, check=gate.check)
        if len(order.plan) and not applied.edits:
            raise SearchError(f"No step of the plan could be done. {skipped_text(applied)}")
        return applied, True

    def _train(self, applied: Applied, train: Finetune, order: Order, gate: Gate) -> None:
        if order.rung == "briefly tuned":
            train = getattr(train, "briefly", train)
        seeded = getattr(train, "with_seed", None)
        broken = _not_finite(applied.model)
        with gate.guard(applied.model, self.options.time_limit_s):
            (seeded(order.seed) if callable(seeded) else train)(applied.model, copy.deepcopy(self.model))
        # A score can hide it: the largest of ten NaN is the first class, and sometimes that is right.
        if broken is None and (broken := _not_finite(applied.model)) is not None:
            raise SearchError(f"Training left values in {broken} that are not finite. Try a smaller learning rate.")
        applied.model.zero_grad(set_to_none=True)
        applied.model.eval()


def _not_finite(model: nn.Module) -> str | None:
    # The first parameter with a NaN or an infinity in it.
    floats = ((name, one) for name, one in model.named_parameters() if one.is_floating_point())
    return next((name for name, one in floats if not bool(torch.isfinite(one).all())), None)


def _answers(model: nn.Module, batches: tuple[Call, ...], gauge: Gauged) -> Answers | Literal[False]:
    try:
        return Answers(model, batches, gauge)
    except ModelError:  # no floating-point output
        if gauge == "kl":
            raise
        return False


def _dropped(blank: Candidate, state: Literal["cancelled", "failed"], note: str, began: float) -> Made:
    return Made(candidate=dataclasses.replace(blank, state=state, note=note, seconds=time.monotonic() - began))


def skipped_text(applied: Applied) -> str:
    """Say in a line what was not done, and why."""
    reasons = [f"{skip.transform} at {', '.join(skip.layers)}: {skip.reason}" for skip in applied.skipped]
    more = f" And {len(reasons) - 2} more." if len(reasons) > 2 else ""  # two fit a hover card
    return " ".join(reasons[:2]) + more


def sentence(text: str) -> str:
    """End ``text`` with a full stop, unless it ends somehow."""
    return text if text.endswith((".", "!", "?")) else f"{text}."
