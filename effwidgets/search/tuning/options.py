"""How a candidate is trained with the dense model as its teacher."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.profiling.calls import Call, Inputs
from effwidgets.transforms.calibration import How

__all__ = ["Augment", "DistillOptions", "Kind", "Loss", "MakeOptimizer"]

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""From what the model answers and the labels to one number, as ``torch.nn.functional.cross_entropy``."""

Augment: TypeAlias = Callable[[Call, torch.Generator], Call]
"""A changed copy of a batch's inputs; draws from the generator. Student and teacher both see it."""

MakeOptimizer: TypeAlias = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]

Kind: TypeAlias = Literal["auto", "logits", "values"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillOptions:
    """The finer points of `distill`.

    Attributes:
        kind: what the answers are: "logits" of classes, compared by the divergence of their softmax; "values", compared
            by squared differences; "auto" takes logits where the labels are whole numbers that fit, or, without
            labels, where the answer is ``(batch, classes)``.
        temperature: of the softmax, in "logits" (Hinton et al. 2015, arXiv:1503.02531).
        alpha: share of the teacher in the loss, from 0 (labels alone) to 1, where there are labels and a ``loss``.
        layers: paths of layers whose outputs are to be like the teacher's as well.
        layers_weight: of their mean relative squared error in the loss.
        lr: largest learning rate, reached after ``warmup``; from there it falls as a cosine to nothing.
        warmup: share of the steps in which it rises.
        weight_decay: of weights; never of norms and biases.
        clip: largest norm of the gradient.
        optimizer: makes one of the parameters; None for AdamW. ``weight_decay`` is not used then.
        batch_size: of data that come in one piece; batches of a list or a loader stay as they are when it is None.
        frozen_norms: leave the statistics of batch norms as repair estimated them, and train the rest around them.
        held_out: share of the data that is not trained on, to tell which weights are best; where ``validation`` is
            given, none is.
        patience: epochs without a better loss on the held-out data after which it stops.
        average: decay of a running mean of the weights, which is judged and kept instead of them; 0 for none.
        autocast: compute in bfloat16 where torch holds that safe.
        augment: changes the inputs of each training batch.
        how: makes inputs of a batch, see `calibration_of`.
        like: what the model is called with, see `calibration_of`; for models of several inputs.
    """

    kind: Kind = "auto"
    temperature: float = 4.0
    alpha: float = 0.9
    layers: tuple[str, ...] = ()
    layers_weight: float = 1.0
    lr: float = 2e-3
    warmup: float = 0.2
    weight_decay: float = 0.01
    clip: float = 1.0
    optimizer: MakeOptimizer | None = None
    batch_size: int | None = None
    frozen_norms: bool = False
    held_out: float = 0.1
    patience: int = 5
    average: float = 0.0
    autocast: bool = False
    augment: Augment | None = None
    how: How | None = None
    like: Inputs | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UnknownNameError("kind of answers", self.kind, get_args(Kind))
        given: object = self.layers
        if not isinstance(given, tuple | list) or not all(isinstance(name, str) for name in given):
            raise InputError(f"layers is {self.layers!r}; a tuple of layer paths was expected.")
        for name, low, high in _RANGES:
            _check_range(name, getattr(self, name), low, high)
        for name in ("batch_size", "patience"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise InputError(f"{name} is {value!r}; a whole number from 1 on was expected.")


_RANGES = (
    ("temperature", 1e-3, 1e3),
    ("alpha", 0.0, 1.0),
    ("layers_weight", 0.0, math.inf),
    ("lr", 1e-12, math.inf),
    ("warmup", 0.0, 1.0),
    ("weight_decay", 0.0, math.inf),
    ("clip", 1e-12, math.inf),
    ("held_out", 0.0, 0.9),
    ("average", 0.0, 0.9999),
)


def _check_range(name: str, value: object, low: float, high: float) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    if not good:
        above = f"a number from {low:g} on" if math.isinf(high) else f"a number from {low:g} to {high:g}"
        raise InputError(f"{name} is {value!r}; {above} was expected.")
