"""The training itself: epochs of steps, the best weights kept, nothing of the process disturbed."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import torch
from torch import Tensor, nn

from effwidgets.errors import InputError, ModelError
from effwidgets.profiling.calls import batch_of, map_tensors, run
from effwidgets.records import Progress
from effwidgets.search.tuning.batches import Source
from effwidgets.search.tuning.chance import Chances, unchecked
from effwidgets.search.tuning.features import Features, taps
from effwidgets.search.tuning.objective import Objective, answers_in
from effwidgets.search.tuning.options import DistillOptions
from effwidgets.search.tuning.reading import Batch
from effwidgets.search.tuning.stepper import Stepper
from effwidgets.search.tuning.told import Told
from effwidgets.search.tuning.tuned import Tuned
from effwidgets.search.tuning.weights import Snapshot, flags_kept, freeze_norms

if TYPE_CHECKING:
    from effwidgets.search.tuning.options import Loss

__all__ = ["Listener", "Training"]

Listener: TypeAlias = Callable[[Progress], None]
"""Hears of each step on the thread that trains."""


_WORSE_RISING: Final = 1.1
_WORSE: Final = 2.0
"""So many times the best loss on the held-out data is too far off: while the rate rises, and after an epoch."""


@dataclass(slots=True)
class _Course:
    """What came of the training so far, and the best weights."""

    kept: Snapshot
    losses: list[float] = field(default_factory=list)
    held_out: list[float] = field(default_factory=list)
    steps: int = 0
    done: float = 0.0
    best: float = math.inf
    best_step: int = 0
    stopped: str = ""

    def look(self, value: float, model: nn.Module) -> None:
        """Keep the weights where they are the best so far."""
        if value < self.best:
            self.best, self.best_step, self.kept = value, self.steps, Snapshot(model)


class Training:
    """Trains ``model`` in place to answer as ``teacher`` does.

    Args:
        model: the student; hooks on it are called at each of its forwards, and what they raise ends the training.
        teacher: is asked in evaluation mode, and left as it is.
        options: how.
        loss: of the labels; None to do without.
        seed: of order, dropout and augmentation.
    """

    def __init__(
        self, model: nn.Module, teacher: nn.Module, *, options: DistillOptions, loss: Loss | None, seed: int
    ) -> None:
        _check_apart(model, teacher)
        self._model, self._teacher, self._options, self._seed = model, teacher, options, seed
        self._objective = Objective(options, loss)
        self._features = Features(teacher, model, options.layers) if options.layers else None
        self._mine: dict[str, Tensor] = {}
        self._his: dict[str, Tensor] = {}
        self._told: dict[int, Told] = {}  # what the teacher answered, by piece of data
        self._chances = Chances(seed)
        first = next(itertools.chain(model.parameters(), model.buffers()), None)
        self._device = torch.device("cpu") if first is None else first.device
        floats = (tensor.dtype for tensor in model.parameters() if tensor.is_floating_point())
        self._dtype = next(floats, torch.get_default_dtype())

    def run(self, data: Source, judge: Source, epochs: float, listen: Listener | None = None) -> Tuned:
        """Train for ``epochs`` passes over ``data``; keep the weights that do best on ``judge``.

        Raises:
            InputError: nothing to train, or labels that the loss does not take.
            ModelError: the answers are not finite, or are not like the teacher's in shape.
        """
        began = time.monotonic()
        course = _Course(Snapshot(self._model))
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(mode=False))
            stack.enter_context(torch.enable_grad())
            stack.enter_context(unchecked(self._model))
            stack.enter_context(flags_kept(self._teacher, train=False))
            stack.enter_context(flags_kept(self._model, train=True))
            if self._options.frozen_norms:
                freeze_norms(self._model)
            if self._features is not None:
                stack.enter_context(taps(self._model, self._features.layers, self._mine))
                stack.enter_context(taps(self._teacher, self._features.layers, self._his))
            try:
                self._epochs(data, judge, epochs, course, listen)
            finally:
                self._told.clear()
                self._model.zero_grad(set_to_none=True)
        notes = tuple(self._features.notes.values()) if self._features is not None else ()
        return Tuned(
            epochs=round(course.done, 3),
            steps=course.steps,
            losses=tuple(course.losses),
            held_out=tuple(course.held_out),
            best_loss=course.best,
            best_epoch=round(course.best_step / len(data), 3),
            seconds=time.monotonic() - began,
            samples=data.samples,
            stopped=course.stopped,
            notes=notes,
        )

    def _epochs(self, data: Source, judge: Source, epochs: float, course: _Course, listen: Listener | None) -> None:
        stepper = Stepper(self._model, self._options, max(1, round(epochs * len(data))))
        try:
            self._steps(data, judge, stepper, course, listen)
        finally:
            stepper.end()
        course.kept.restore()
        if not math.isfinite(course.best):
            raise ModelError(self._why_lost(judge))

    def _steps(self, data: Source, judge: Source, stepper: Stepper, course: _Course, listen: Listener | None) -> None:
        order = torch.Generator().manual_seed(self._seed)
        course.look(self._judged(judge), self._model)
        course.held_out.append(course.best)
        while stepper.done < stepper.planned and not course.stopped:
            self._chances.forget()
            losses: list[float] = []
            for batch in itertools.islice(data.batches(order), stepper.planned - stepper.done):
                value = self._step(batch, stepper, order)
                if value is None:
                    continue
                losses.append(value)
                if not math.isfinite(value):
                    course.stopped = f"the loss was {value} at step {stepper.done}"
                    break
                if listen is not None:
                    message = f"Step {stepper.done} of {stepper.planned}, loss {value:.3g}"
                    listen(Progress(state="working", message=message, done=stepper.done, planned=stepper.planned))
                if stepper.stage_ends:
                    self._look(judge, stepper, course, _WORSE_RISING)
            if not losses:
                raise InputError("No batch of the training data can be trained on; batches of two samples or more are.")
            course.done, course.steps = stepper.done / len(data), stepper.done
            course.losses.append(sum(losses) / len(losses))
            course.held_out.append(self._look(judge, stepper, course, _WORSE))
            left = stepper.done < stepper.planned
            if left and not course.stopped and course.done - course.best_step / len(data) >= self._options.patience:
                course.stopped = f"no better for {self._options.patience} epochs"

    def _look(self, judge: Source, stepper: Stepper, course: _Course, worse: float) -> float:
        # Judge the weights; go back to the best ones, and on with smaller steps, where they have been thrown far off.
        course.steps = stepper.done
        with stepper.averaged():
            value = self._judged(judge)
            course.look(value, self._model)
        if not value <= worse * course.best and stepper.done < stepper.planned:
            course.kept.restore()
            stepper.slow_down()
        return value

    def _step(self, batch: Batch, stepper: Stepper, order: torch.Generator) -> float | None:
        if batch.size == 1 and stepper.needs_two:
            stepper.step(taken=False)
            return None
        batch = self._placed(batch)
        if self._options.augment is not None:
            batch = Batch(self._options.augment(batch.call, order), batch.labels)
        with self._chances.around("step"):
            loss = self._loss(batch)
            value = float(loss.detach())
            if math.isfinite(value):
                stepper.backward(loss)
        stepper.step(taken=math.isfinite(value))
        return value

    def _loss(self, batch: Batch) -> Tensor:
        with self._casting():
            teacher = self._answers_of_teacher(batch)
            output = run(self._model, batch.call)
            loss = self._objective(output, teacher, batch.labels)
            if self._features is not None:
                more = self._features(self._mine, self._his)
                loss = loss if more is None else loss + self._options.layers_weight * more
        return loss

    def _casting(self) -> Any:
        return torch.autocast(self._device.type, torch.bfloat16) if self._options.autocast else nullcontext()

    def _answers_of_teacher(self, batch: Batch) -> list[Tensor]:
        # Asked once for each sample: it always answers the same. With layers inside to compare, anew each time.
        if batch.rows is None or batch.piece is None or self._features is not None:
            return self._asked(batch)
        told = self._told.setdefault(id(batch.piece), Told(batch_of(batch.piece) or 0))
        known = told.read(batch.rows)
        if known is None:
            known = self._asked(batch)
            told.write(batch.rows, known)
        return known

    @torch.no_grad()
    def _asked(self, batch: Batch) -> list[Tensor]:
        return [answer.detach() for answer in answers_in(run(self._teacher, batch.call))]

    @torch.no_grad()
    def _judged(self, judge: Source) -> float:
        total = count = 0.0
        with flags_kept(self._model, train=False):
            for batch in judge.batches(None):
                placed = self._placed(batch)
                with self._chances.around("judge"):
                    total += float(self._loss(placed)) * placed.size
                count += placed.size
        return total / count if count else math.nan

    def _placed(self, batch: Batch) -> Batch:
        def place(tensor: Tensor) -> Tensor:
            found = tensor.to(self._device, self._dtype if tensor.is_floating_point() else None)
            return found.clone() if found.is_inference() else found

        labels = batch.labels
        labels = labels.clone() if labels is not None and labels.is_inference() else labels
        return Batch(map_tensors(batch.call, place), labels, batch.rows, batch.piece)

    def _why_lost(self, judge: Source) -> str:
        batch = self._placed(next(iter(judge.batches(None))))
        for who, model in (("teacher", self._teacher), ("model", self._model)):
            with torch.no_grad(), flags_kept(model, train=False):
                answers = answers_in(run(model, batch.call))
            if not all(bool(torch.isfinite(answer).all()) for answer in answers):
                return f"The {who} answers infinite numbers or NaN to the training data; look at both before training."
        return "The loss is not finite before the first step. Look at the labels, and at what loss makes of them."


def _check_apart(model: nn.Module, teacher: nn.Module) -> None:
    held = {id(parameter) for parameter in teacher.parameters()}
    if model is teacher or any(id(parameter) in held for parameter in model.parameters()):
        raise InputError(
            "The model and its teacher share parameters, so training one changes the other. Hand in "
            "copy.deepcopy(model) as the teacher."
        )
