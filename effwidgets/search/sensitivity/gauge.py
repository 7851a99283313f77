"""How far outputs are from those of the model, as one number: for classes in nats, else in relative squares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from effwidgets.errors import ModelError
from effwidgets.profiling.calls import tensors_in
from effwidgets.transforms.trial import relative_error

__all__ = ["Answer", "Gauge", "Gauged", "answer_of"]

Gauged: TypeAlias = Literal["auto", "kl", "squares"]
"""How outputs are compared, see `Gauge`."""

_CLEAR = 1e-6  # where all answers are this sure, the classes say nothing more
_WHOLE = 1e-3
_SAME, _ENOUGH = 0.98, 32  # one column is largest in so large a share of at least so many rows: no classes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What a forward returned: its floating-point tensors, and the one that looks like scores of classes."""

    floats: tuple[Tensor, ...]
    classes: Tensor | None
    named: bool = False  # called "logits"


def answer_of(outputs: object) -> Answer:
    """Read what a forward returned.

    Scores of classes are what is called "logits", ``(..., classes)``, or a matrix ``(batch, classes)`` that is the only
    output, with at least two columns.
    """
    floats = tuple(tensor.detach() for tensor in tensors_in(outputs) if tensor.is_floating_point())
    named = outputs.get("logits") if isinstance(outputs, Mapping) else getattr(outputs, "logits", None)
    known = named.detach() if isinstance(named, Tensor) and named.is_floating_point() and named.dim() > 1 else None
    called = known is not None
    if known is None and len(floats) == 1 and floats[0].dim() == 2:
        known = floats[0]
    return Answer(floats=floats, classes=known if known is not None and known.shape[-1] > 1 else None, named=called)


class Gauge:
    """Compares answers with those of the model.

    "kl" is the Kullback-Leibler divergence ``sum p (ln p - ln q)`` of the class probabilities, the model's ``p``, in
    nats, mean over all rows (Kullback and Leibler 1951): what distillation minimises, smooth where accuracy counts
    whole samples. Probabilities are the softmax of the scores, or the outputs themselves where all rows are from 0 on
    and add up to 1. "squares" is the squared norm of the change over the squared norm of the outputs, all together.

    "auto" takes "kl" where all answers look like scores of classes (see `answer_of`), and the model is not so sure of
    every single one that probabilities say nothing. Several numbers that are no classes look the same, and a softmax
    sees only how they differ among each other. So where they are neither called "logits" nor probabilities, the model
    must be mostly sure, as a trained classifier is: the largest probability is nearer to 1 than to 1 / classes on
    average, and it is not always the same column that has it. Three colours of unit variance reach 0.6 of the 0.67 that
    three classes need. Numbers in large units of which now one, now another is largest are still taken for scores: ask
    for "squares" there, and for "kl" where classes are not told apart yet, where one is nearly always the answer, or
    where the model was taught to be unsure.

    Args:
        answers: of the model, one for each call.
        kind: "auto", "kl" or "squares".

    Raises:
        ModelError: "kl" was asked for, and the outputs are no scores of classes; there is no floating-point output.
    """

    def __init__(self, answers: Sequence[Answer], kind: Gauged = "auto") -> None:
        if not any(answer.floats for answer in answers):
            raise ModelError("The model returns no floating-point tensor, so no change of its outputs can be measured.")
        self._before = answers
        self._logs: list[Tensor] = []
        rows = [answer.classes for answer in answers if answer.classes is not None]
        alike = len(rows) == len(answers)
        if kind == "kl" and not alike:
            raise ModelError("gauge='kl' needs scores of classes, (batch, classes); ask for gauge='squares'.")
        self._given = alike and all(map(_distributed, rows))
        if alike and kind != "squares":
            self._logs = [self._log(tensor) for tensor in rows]
        self.kind: Literal["kl", "squares"] = "squares" if kind == "squares" or not alike else "kl"
        if kind == "auto" and self._logs and not self._tells(all(answer.named for answer in answers)):
            self.kind = "squares"

    def of(self, answers: Sequence[Answer]) -> tuple[float | None, float | None]:
        """Return the divergence and the relative error of the outputs; None where the model's are all zero.

        Raises:
            ModelError: other tensors than the model's, other shapes, or numbers that are not finite.
        """
        old = [tensor for answer in self._before for tensor in answer.floats]
        new = [tensor for answer in answers for tensor in answer.floats]
        shapes = [[tuple(tensor.shape) for tensor in side] for side in (old, new)]
        if shapes[0] != shapes[1]:
            raise ModelError(f"The changed model returns tensors of {shapes[1]} where {shapes[0]} was expected.")
        error = relative_error(old, new)
        if error is not None and not math.isfinite(error):
            raise ModelError("the outputs are no longer finite")
        if self.kind == "squares":
            return (None if error is None else error**2), error
        return self._kl([answer.classes for answer in answers]), error

    def _tells(self, named: bool) -> bool:  # noqa: FBT001  our own
        # Whether probabilities are what these answers are about.
        tops = [log.nan_to_num(nan=-math.inf).flatten(0, -2).max(-1) for log in self._logs]
        largest = torch.cat([top.values for top in tops]).exp()
        if bool((1 - largest < _CLEAR).all()):
            return False
        if named or self._given:
            return True
        places = torch.cat([top.indices for top in tops])
        pairs = zip(tops, self._logs, strict=True)
        least = torch.cat([torch.full_like(top.values, (1 + 1 / log.shape[-1]) / 2) for top, log in pairs])
        often = float(places.bincount().max()) / len(places)
        return float((largest - least).mean()) >= 0 and (often < _SAME or len(places) < _ENOUGH)

    def _kl(self, tensors: Sequence[Tensor | None]) -> float:
        total, count = 0.0, 0
        for log, tensor in zip(self._logs, tensors, strict=True):
            if tensor is None:
                raise ModelError("the outputs are no longer scores of classes")
            other = self._log(tensor)
            chance = log.exp()
            apart = torch.where(chance > 0, chance * (log - other), 0.0).sum(-1).flatten()
            total, count = total + float(apart.nansum()), count + int((~apart.isnan()).sum())
        if not math.isfinite(total):
            raise ModelError("the changed model rules out what the model holds possible: the divergence is infinite")
        return max(0.0, total / count) if count else 0.0

    def _log(self, tensor: Tensor) -> Tensor:
        if self._given:
            return tensor.double().clamp_min(torch.finfo(tensor.dtype).tiny).log()
        return tensor.double().log_softmax(-1)


def _distributed(tensor: Tensor) -> bool:
    return bool((tensor >= 0).all()) and bool(((tensor.double().sum(-1) - 1).abs() < _WHOLE).all())
