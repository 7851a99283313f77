"""Train a compressed model with the dense one as its teacher."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from torch import nn

from effwidgets.errors import InputError
from effwidgets.search.tuning.options import DistillOptions, Loss

if TYPE_CHECKING:
    from effwidgets.search.tuning.train import Listener
    from effwidgets.search.tuning.tuned import Tuned

__all__ = ["Distill", "distill"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Distill:
    """A way to train: a function of (model, teacher) that trains the model in place. See `distill`.

    Attributes:
        data: what to train on.
        epochs: passes over the data; a part of one is allowed.
        loss: of answers and labels; None to learn from the teacher alone.
        validation: what to judge by; None for a part of ``data``.
        options: the finer points.
        seed: of order, dropout and augmentation; a search gives each candidate its own.
    """

    data: object
    epochs: float = 3
    loss: Loss | None = None
    validation: object = None
    options: DistillOptions = field(default_factory=DistillOptions)
    seed: int = 0

    def __call__(self, model: nn.Module, teacher: nn.Module) -> None:
        """Train ``model`` in place."""
        self.trained(model, teacher)

    def trained(self, model: nn.Module, teacher: nn.Module, *, progress: Listener | None = None) -> Tuned:
        """Train ``model`` in place and return how it went.

        ``progress`` hears of each step. What a forward pre-hook of ``model`` raises ends the training at once.

        Raises:
            InputError: no data, nothing to train, labels that ``loss`` does not take, or a loader that fails.
            ModelError: the answers are not finite, or not of the teacher's shape.
        """
        # With optimizers and loaders: much of what an import of the package would take.
        from effwidgets.search.tuning.batches import source_of
        from effwidgets.search.tuning.train import Training

        training = Training(model, teacher, options=self.options, loss=self.loss, seed=self.seed)
        data, judge = source_of(self.data, self.options), None
        if self.validation is not None:
            judge = source_of(self.validation, self.options)
        elif self.options.held_out:
            data, judge = data.split(self.options.held_out)
        return training.run(data, judge or data, self.epochs, progress)

    @property
    def briefly(self) -> Self:
        """A third of the training, to see which candidates are worth all of it."""
        return dataclasses.replace(self, epochs=self.epochs / 3)

    def with_seed(self, seed: int) -> Self:
        """Return the same training with another seed."""
        return dataclasses.replace(self, seed=seed)

    def __repr__(self) -> str:
        loss = "" if self.loss is None else f", loss {getattr(self.loss, '__name__', type(self.loss).__name__)}"
        return f"Distill({self.epochs:g} epochs on {type(self.data).__name__}{loss}, seed {self.seed})"


def distill(
    data: object,
    *,
    epochs: float = 3,
    loss: Loss | None = None,
    validation: object = None,
    options: DistillOptions | None = None,
) -> Distill:
    """Return a fine-tuning for `explore`: the compressed model learns to answer as the dense one.

    The learning rate rises as far as the model bears it, then falls as a cosine. A part of the data is held out (or
    ``validation`` is used), and the weights that do best there are kept, which may be those from before. Order, dropout
    and augmentation come from generators of its own: the same seed gives the same model, in a thread too.

    Args:
        data: inputs in one piece (a tensor, a mapping, with labels a tuple ``(inputs, labels)``), a list of batches, a
            ``Dataset`` or a ``DataLoader``. Labels are not needed. What can be read only once is read here.
        epochs: passes over the data, above 0.
        loss: for the labels, such as ``torch.nn.functional.cross_entropy``; None learns from the teacher alone.
        validation: data in the same forms, to judge the weights by.
        options: temperature, layers to compare inside, learning rate and the like.

    Raises:
        InputError: ``epochs`` is not above 0.

    >>> import torch
    >>> from torch import nn
    >>> dense, small = nn.Linear(4, 2), nn.Linear(4, 2)
    >>> tuned = distill(torch.randn(64, 4), epochs=5).trained(small, dense)
    >>> tuned.best_loss <= tuned.held_out[0]
    True
    """
    if isinstance(epochs, bool) or not isinstance(epochs, int | float) or not 0 < epochs < math.inf:
        raise InputError(f"epochs is {epochs!r}; a number above 0 was expected.")
    if loss is not None and not callable(loss):
        raise InputError(f"loss is {type(loss).__name__}; a function of (answers, labels) or None was expected.")
    if data is None:
        raise InputError("data is None; inputs to train on were expected: a tensor, a list of batches, a DataLoader.")
    data = list(data) if isinstance(data, Iterator) and not isinstance(data, Mapping) else data
    return Distill(data=data, epochs=epochs, loss=loss, validation=validation, options=options or DistillOptions())
