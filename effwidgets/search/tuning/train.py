"""The training itself: epochs of steps, the best weights kept, nothing of the process disturbed."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from effwidgets.errors import InputError, ModelError
from effwidgets.profiling.calls import batch_of, map_tensors, run
from effwidgets.records import Progress
from effwidgets.search.tuning.batches import Batch, Source
from effwidgets.search.tuning.chance import Chances, unchecked
from effwidgets.search.tuning.features import Features, taps
from effwidgets.search.tuning.objective import Objective, answers_in
from effwidgets.search.tuning.options import DistillOptions
from effwidgets.search.tuning.tuned import Tuned
from effwidgets.search.tuning.weights import Average, Snapshot, flags_kept, trained_groups, zeros_kept

if TYPE_CHECKING:
    from effwidgets.search.tuning.options import Loss

__all__ = ["Listener", "Training"]

Listener: TypeAlias = Callable[[Progress], None]
"""Hears of each step on the thread that trains."""


@dataclass(slots=True)
class _Course:
    """What came of the training so far."""

    losses: list[float] = field(default_factory=list)
    held_out: list[float] = field(default_factory=list)
    steps: int = 0
    best: int = 0
    done: float = 0.0
    stopped: str = ""


class _Told:
    """What the teacher answered to each sample of a piece of data."""

    def __init__(self, count: int) -> None:
        self._known = torch.zeros(count, dtype=torch.bool)
        self._answers: list[Tensor] = []

    def read(self, rows: Tensor) -> list[Tensor] | None:
        if not bool(self._known[rows].all()):
            return None
        return [answer[rows.to(answer.device)] for answer in self._answers]

    def write(self, rows: Tensor, found: list[Tensor]) -> None:
        if not found or not all(answer.dim() and len(answer) == len(rows) for answer in found):
            return
        if not self._answers:
            self._answers = [answer.new_zeros((len(self._known), *answer.shape[1:])) for answer in found]
        if all(whole.shape[1:] == answer.shape[1:] for whole, answer in zip(self._answers, found, strict=True)):
            for whole, answer in zip(self._answers, found, strict=True):
                whole[rows.to(answer.device)] = answer
            self._known[rows] = True


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
        self._told: dict[int, _Told] = {}  # what the teacher answered, by piece of data
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
        course = _Course()
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(mode=False))
            stack.enter_context(torch.enable_grad())
            stack.enter_context(unchecked(self._model))
            stack.enter_context(flags_kept(self._teacher, train=False))
            stack.enter_context(flags_kept(self._model, train=True))
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
            best_epoch=course.best,
            seconds=time.monotonic() - began,
            samples=data.samples,
            stopped=course.stopped,
            notes=notes,
        )

    def _epochs(self, data: Source, judge: Source, epochs: float, course: _Course, listen: Listener | None) -> None:
        stepper = _Stepper(self._model, self._options, max(1, round(epochs * len(data))))
        order = torch.Generator().manual_seed(self._seed)
        course.held_out.append(self._judged(judge))
        best = Snapshot(self._model)
        while stepper.done < stepper.planned and not course.stopped:
            losses = []
            self._chances.forget()
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
            if not losses:
                raise InputError("No batch of the training data can be trained on; batches of two samples or more are.")
            course.steps, course.done = stepper.done, stepper.done / len(data)
            course.losses.append(sum(losses) / len(losses))
            with stepper.averaged():
                course.held_out.append(self._judged(judge))
                if course.held_out[-1] < course.held_out[course.best] or _lost(course.held_out[course.best]):
                    course.best = len(course.held_out) - 1
                    best = Snapshot(self._model)
            if len(course.held_out) - 1 - course.best >= self._options.patience and stepper.done < stepper.planned:
                course.stopped = f"no better for {self._options.patience} epochs"
        best.restore()
        if _lost(course.held_out[course.best]):
            raise ModelError(self._why_lost(judge))
        
    def _step(self, batch: Batch, stepper: _Stepper, order: torch.Generator) -> float | None:
        if batch.size == 1 and stepper.needs_two:
            stepper.skip()
            return None
        batch = self._placed(batch)
        if self._options.augment is not None:
            batch = Batch(self._options.augment(batch.call, order), batch.labels)
        with self._chances.around("step"):
            loss = self._loss(batch)
            value = float(loss.detach())
            if math.isfinite(value):
                stepper.backward(loss)
        if math.isfinite(value):
            stepper.step()
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
        # Asked once for each sample: it always answers the same.
        told = None
        if batch.rows is not None and batch.piece is not None and self._features is None:
            told = self._told.setdefault(id(batch.piece), _Told(batch_of(batch.piece) or 0))
        known = None if told is None else told.read(batch.rows)
        if known is not None:
            return known
        with torch.no_grad():
            found = [answer.detach() for answer in answers_in(run(self._teacher, batch.call))]
        if told is not None:
            told.write(batch.rows, found)
        return found

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


class _Stepper:
    """The optimizer, its learning rate over the steps, and what is done with the gradients."""

    def __init__(self, model: nn.Module, options: DistillOptions, planned: int) -> None:
        groups: Any = trained_groups(model, options.weight_decay)
        own = options.optimizer
        self._free = [parameter for group in groups for parameter in group["params"]]
        # One kernel for all parameters: with small ones a step is mostly the calls.
        fused = all(parameter.device.type in ("cpu", "cuda") for parameter in self._free)
        self._optimizer = torch.optim.AdamW(groups, lr=options.lr, fused=fused) if own is None else own(self._free)
        self._rates = [group["lr"] for group in self._optimizer.param_groups]
        self._clip, self._warm = options.clip, max(1.0, options.warmup * planned)
        self._zeros = zeros_kept(model)
        self._average = Average(model, options.average) if options.average else None
        self.planned, self.done = planned, 0
        norms = nn.modules.batchnorm._BatchNorm
        self.needs_two = any(isinstance(module, norms) for module in model.modules())

    def skip(self) -> None:
        """Count a step that is not taken."""
        self.done += 1

    def backward(self, loss: Tensor) -> None:
        """Find the gradients."""
        if not loss.requires_grad:
            raise InputError("The loss does not depend on a trainable parameter, so there is nothing to train.")
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()

    def step(self) -> None:
        """Take one step; one whose gradient is not finite is left out."""
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * self._share()
        norm = torch.nn.utils.clip_grad_norm_(self._free, self._clip)
        self.done += 1
        if bool(torch.isfinite(norm)):
            self._optimizer.step()
            with torch.no_grad():
                for parameter, kept in self._zeros:
                    parameter.mul_(kept)
        if self._average is not None:
            self._average.add()

    def _share(self) -> float:
        # Up in a line, down in a half cosine: "one cycle".
        at = self.done + 1
        if at < self._warm:
            return at / self._warm
        gone = (at - self._warm) / max(1.0, self.planned - self._warm + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, gone)))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Judge the running mean of the weights, where there is one."""
        with nullcontext() if self._average is None else self._average.instead():
            yield


def _check_apart(model: nn.Module, teacher: nn.Module) -> None:
    held = {id(parameter) for parameter in teacher.parameters()}
    if model is teacher or any(id(parameter) in held for parameter in model.parameters()):
        raise InputError(
            "The model and its teacher share parameters, so training one changes the other. Hand in "
            "copy.deepcopy(model) as the teacher."
        )


def _lost(value: float) -> bool:
    return not math.isfinite(value)
