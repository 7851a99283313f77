"""What the teacher answered, kept for the next epoch."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

__all__ = ["Told"]

_MOST_BYTES: Final = 2**29  # of answers: those to a text are larger than the text by the size of the vocabulary


class Told:
    """What the teacher answered to each sample of a piece of data; of large answers nothing is kept."""

    def __init__(self, count: int) -> None:
        self._known = torch.zeros(count, dtype=torch.bool)
        self._answers: list[Tensor] = []

    def read(self, rows: Tensor) -> list[Tensor] | None:
        """Return the answers to these samples; None where one is not known."""
        if not bool(self._known[rows].all()):
            return None
        return [answer[rows.to(answer.device)] for answer in self._answers]

    def write(self, rows: Tensor, found: list[Tensor]) -> None:
        """Keep the answers to these samples, where there is one for each of them."""
        if not found or not all(answer.dim() and len(answer) == len(rows) for answer in found):
            return
        if sum(answer[0].nbytes for answer in found) * len(self._known) > _MOST_BYTES:
            return
        if not self._answers:
            self._answers = [answer.new_zeros((len(self._known), *answer.shape[1:])) for answer in found]
        if all(whole.shape[1:] == answer.shape[1:] for whole, answer in zip(self._answers, found, strict=True)):
            for whole, answer in zip(self._answers, found, strict=True):
                whole[rows.to(answer.device)] = answer
            self._known[rows] = True
