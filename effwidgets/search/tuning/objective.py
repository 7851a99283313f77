"""What a training makes small: the distance from the teacher's answers, and from the labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import torch
from torch import Tensor
from torch.nn import functional

from effwidgets.errors import InputError, ModelError
from effwidgets.profiling.calls import tensors_in
from effwidgets.search.tuning.options import DistillOptions, Loss

__all__ = ["Objective", "answers_in", "class_dim", "divergence"]

_IGNORED: Final = -100
"""Labels that torch's losses leave out: ``ignore_index`` of ``cross_entropy``."""
_TINY: Final = 1e-12


def answers_in(output: object) -> list[Tensor]:
    """Return what of an answer is compared: "logits" where it has them, else all tensors of floating-point numbers.

    >>> [tensor.shape for tensor in answers_in({"logits": torch.zeros(2, 3), "hidden": torch.zeros(2, 8)})]
    [torch.Size([2, 3])]
    """
    if isinstance(output, Mapping) and isinstance(output.get("logits"), Tensor):
        return [output["logits"]]
    logits = getattr(output, "logits", None)
    if isinstance(logits, Tensor):
        return [logits]
    return [tensor for tensor in tensors_in(output) if tensor.is_floating_point()]


def class_dim(answer: Tensor, labels: Tensor | None) -> int | None:
    """Return which dimension runs over classes, None where the numbers are no logits of classes.

    With labels: whole numbers in the shape of the answer without that dimension, such as ``(batch,)`` for
    ``(batch, classes)``, ``(batch, height, width)`` for ``(batch, classes, height, width)`` and ``(batch, length)`` for
    ``(batch, length, classes)``. Without: an answer ``(batch, classes)`` of more than one class.
    """
    if labels is None:
        return 1 if answer.dim() == 2 and answer.shape[1] > 1 else None
    if labels.is_floating_point() or labels.dtype is torch.bool or labels.dim() != answer.dim() - 1:
        return None
    for place in (1, answer.dim() - 1):
        if answer.shape[place] > 1 and answer.shape[:place] + answer.shape[place + 1 :] == labels.shape:
            return place
    return None


def divergence(answer: Tensor, teacher: Tensor, dim: int, temperature: float = 1.0) -> Tensor:
    """Return ``T^2 KL(teacher || answer)`` of the softmax at temperature ``T``, without the dimension of the classes.

    The factor keeps the gradient as large as at temperature 1 (Hinton et al. 2015, arXiv:1503.02531, section 2.1).

    >>> divergence(torch.zeros(1, 2), torch.zeros(1, 2), 1)
    tensor([0.])
    """
    own = functional.log_softmax(answer.float() / temperature, dim)
    his = functional.log_softmax(teacher.float() / temperature, dim)
    apart: Tensor = (his.exp() * (his - own)).sum(dim)
    return apart * temperature**2


class Objective:
    """The loss of one batch: ``alpha`` of the teacher, the rest of the labels.

    Without labels, or without a ``loss`` for them, all of it is the teacher's. Values are compared by the same loss as
    with the labels, where that takes them; without one by the squared error over the variance of the teacher's answers.

    Args:
        options: kind, temperature, alpha.
        loss: of the labels.
    """

    def __init__(self, options: DistillOptions, loss: Loss | None) -> None:
        self._options, self._loss = options, loss

    def __call__(self, output: object, teacher: list[Tensor], labels: Tensor | None) -> Tensor:
        """Return the loss of one batch.

        Raises:
            InputError: the loss of the labels fails.
            ModelError: the model does not answer in the teacher's shape.
        """
        answers = answers_in(output)
        _check_pairs(answers, teacher)
        labels = _fitting(labels, answers[0])
        given = labels if self._loss is not None else None
        soft = torch.stack([self._soft(mine, his, labels, given) for mine, his in zip(answers, teacher, strict=True)])
        if given is None:
            return soft.mean()
        return self._options.alpha * soft.mean() + (1 - self._options.alpha) * self._task(answers[0], given)

    def _soft(self, answer: Tensor, teacher: Tensor, labels: Tensor | None, given: Tensor | None) -> Tensor:
        dim = self._dim(answer, labels)
        if dim is not None:
            apart = divergence(answer, teacher, dim, self._options.temperature)
            counted = labels is not None and labels.shape == apart.shape and not labels.is_floating_point()
            if counted and labels is not None and bool((labels == _IGNORED).any()):
                return apart[labels != _IGNORED].sum() / (labels != _IGNORED).sum().clamp(min=1)
            return apart.mean()
        if given is not None and given.shape == answer.shape:
            return self._task(answer, teacher)
        spread = teacher.float().var(correction=0) if teacher.numel() > 1 else teacher.float().square().mean()
        return (answer.float() - teacher.float()).square().mean() / (spread + _TINY)

    def _dim(self, answer: Tensor, labels: Tensor | None) -> int | None:
        kind = self._options.kind
        if kind == "values":
            return None
        found = class_dim(answer, labels)
        if found is None and kind == "logits":
            return 1 if answer.dim() in (2, 4, 5) else answer.dim() - 1
        return found

    def _task(self, answer: Tensor, labels: Tensor) -> Tensor:
        loss = cast("Loss", self._loss)
        try:
            found = loss(answer, labels)
        except Exception as error:  # the caller's loss, with the caller's labels
            raise InputError(
                f"loss failed with {type(error).__name__}: {error}. It was given the model's answer of shape "
                f"{tuple(answer.shape)} and labels of shape {tuple(labels.shape)}, {labels.dtype}."
            ) from error
        if not isinstance(found, Tensor) or found.numel() != 1:
            what = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise InputError(f"loss returned {what}; a tensor with one number was expected, such as its mean.")
        return found.reshape(())


def _fitting(labels: Tensor | None, answer: Tensor) -> Tensor | None:
    # Labels as torch's losses take them: (n,) for (n, 1) would be spread over all pairs.
    if labels is None:
        return None
    labels = labels.to(answer.device)
    if labels.is_floating_point():
        labels = labels.to(answer.dtype)
        return labels.reshape(answer.shape) if labels.numel() == answer.numel() else labels
    return labels if labels.dtype is torch.bool else labels.long()


def _check_pairs(answers: list[Tensor], teacher: list[Tensor]) -> None:
    if not answers:
        raise ModelError("The model answers no tensor of floating-point numbers, so there is nothing to be like.")
    mine, his = ([tuple(tensor.shape) for tensor in tensors] for tensors in (answers, teacher))
    if mine != his:
        raise ModelError(f"The model answers {_shapes(mine)} and the teacher {_shapes(his)}; the same was expected.")


def _shapes(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join(" × ".join(map(str, shape)) or "a number" for shape in shapes) or "nothing"
