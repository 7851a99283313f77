"""Obstacles in the weight of a layer: computed, tied, fused, or of numbers that a technique cannot take."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, prune

from tests.transforms.obstacles.case import FLATTENED, FORMATS, Case, Made, after, numbers, seeded


def head() -> nn.Module:
    """Return a perceptron over a flattened picture of 3 x 4 x 4, wide enough for every technique."""
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.ReLU(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))


def _hooked(model: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # that it is old, which is why it is here
        nn.utils.weight_norm(model[1])


class Turn(nn.Module):
    """Two linear layers of 48 over a flattened picture, or one that runs for both."""

    def __init__(self, *, tied: bool) -> None:
        super().__init__()
        self.first = nn.Linear(48, 48)
        self.second = nn.Linear(48, 48)
        self.last = nn.Linear(48, 4)
        if tied:
            self.second.weight = self.first.weight

    def forward(self, x):
        flat = x.flatten(1)
        return self.last(torch.relu(self.first(flat)) + torch.relu(self.second(flat)))


class Words(nn.Module):
    """An embedding of 40 words and a head over them, which may be the embedding again."""

    def __init__(self, *, tied: bool) -> None:
        super().__init__()
        self.words = nn.Embedding(40, 16)
        self.head = nn.Linear(16, 40, bias=False)
        if tied:
            self.head.weight = self.words.weight

    def forward(self, ids):
        return self.head(self.words(ids))


class Raw(nn.Module):
    """Three products; the weight of the second is a layer's, or a parameter of the model."""

    def __init__(self, *, layer: bool) -> None:
        super().__init__()
        self.first = nn.Linear(8, 32)
        self.middle = nn.Linear(32, 16, bias=False) if layer else nn.Parameter(torch.randn(16, 32))
        self.last = nn.Linear(16, 4)

    def forward(self, x):
        x = torch.relu(self.first(x))
        x = self.middle(x) if isinstance(self.middle, nn.Module) else functional.linear(x, self.middle)
        return self.last(torch.relu(x))


class Steps(nn.Module):
    """A layer over time between two linear ones: recurrent, or a linear one too."""

    def __init__(self, mix: nn.Module) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 16)
        self.mix = mix
        self.head = nn.Linear(32, 3)

    def forward(self, x):
        mixed = self.mix(self.embed(x))
        return self.head(mixed if isinstance(mixed, torch.Tensor) else mixed[0])


class Ways(nn.Module):
    """One of two layers reads the flattened picture: the left one, or the right one."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.turns = right
        self.left = nn.Linear(48, 16)
        self.right = nn.Linear(48, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        flat = x.flatten(1)
        return self.head(self.right(flat) if self.turns else self.left(flat))


class Either(nn.Module):
    """Its numbers decide which of two layers runs; or both run, and the numbers choose between what they return."""

    def __init__(self, *, both: bool) -> None:
        super().__init__()
        self.both = both
        self.left = nn.Linear(8, 16)
        self.right = nn.Linear(8, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        if self.both:
            return self.head(torch.relu(torch.where(x.sum() > 0, self.left(x), self.right(x))))
        return self.head(torch.relu(self.left(x) if x.sum() > 0 else self.right(x)))


def _wide(dtype: torch.dtype) -> Callable[[], Made]:
    return seeded(
        lambda: nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)).to(dtype), numbers(4, 16).to(dtype)
    )


_PICTURE = numbers(4, 3, 4, 4)
_HEAD = seeded(head, _PICTURE)
_CONVS = seeded(
    lambda: nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 16, 3, padding=1)),
    numbers(2, 8, 6, 6),
)
_MASKED = after(_HEAD, lambda model: prune.l1_unstructured(model[1], "weight", 0.5))
_MASKED_CONV = after(_CONVS, lambda model: prune.l1_unstructured(model[0], "weight", 0.5))
_NORMED = after(_HEAD, lambda model: parametrizations.weight_norm(model[1]))
_NORMED_READER = after(_HEAD, lambda model: parametrizations.weight_norm(model[3]))
_OLD = after(_HEAD, _hooked)
_TURN = seeded(lambda: Turn(tied=True), _PICTURE)
_APART = seeded(lambda: Turn(tied=False), _PICTURE)
_IDS = torch.arange(12).reshape(2, 6)
_TIED = seeded(lambda: Words(tied=True), _IDS)
_UNTIED = seeded(lambda: Words(tied=False), _IDS)
_RAW = seeded(lambda: Raw(layer=False), numbers(4, 8))
_LAYER = seeded(lambda: Raw(layer=True), numbers(4, 8))
_PLAIN_STEPS = seeded(lambda: Steps(nn.Linear(16, 32)), numbers(2, 6, 4))
_GRU = seeded(lambda: Steps(nn.GRU(16, 32, batch_first=True)), numbers(2, 6, 4))
_LSTM = seeded(lambda: Steps(nn.LSTM(16, 32, batch_first=True)), numbers(2, 6, 4))
_LEFT = seeded(lambda: Ways(right=False), _PICTURE)
_RIGHT = seeded(lambda: Ways(right=True), _PICTURE)


def _plain(model: nn.Module, place: int) -> None:
    parametrize.remove_parametrizations(model[place], "weight")


WEIGHTS = (
    Case(
        reason="its weight is parametrized; remove the parametrization first",
        techniques=(*FORMATS, *FLATTENED, "low_rank"),
        blocked=_NORMED,
        freed=after(_NORMED, lambda model: _plain(model, 1)),
        at="1",
    ),
    Case(
        reason="the weight of its layer is computed from it; remove the parametrization first",
        techniques=FORMATS,
        blocked=_NORMED,
        freed=after(_NORMED, lambda model: _plain(model, 1)),
        at="1.parametrizations.weight",
        then="1",
    ),
    Case(
        reason="the weight of * is computed before it is used (a parametrization, a mask, weight norm, autocast)",
        techniques=("channel_prune",),
        blocked=_NORMED_READER,
        freed=after(_NORMED_READER, lambda model: _plain(model, 3)),
        at="1",
    ),
    Case(
        reason="its weight is masked; make it plain first (torch.nn.utils.prune.remove)",
        techniques=(*FORMATS, *FLATTENED, "low_rank"),
        blocked=_MASKED,
        freed=after(_MASKED, lambda model: prune.remove(model[1], "weight")),
        at="1",
    ),
    Case(
        reason="its weight is masked; make it plain first (torch.nn.utils.prune.remove)",
        techniques=("bottleneck", "cp", "depthwise_separable", "spatial_svd", "tucker2"),
        blocked=_MASKED_CONV,
        freed=after(_MASKED_CONV, lambda model: prune.remove(model[0], "weight")),
        at="0",
    ),
    Case(
        reason="its weight is normalised; make it plain first (torch.nn.utils.remove_weight_norm)",
        techniques=(*FORMATS, *FLATTENED, "low_rank"),
        blocked=_OLD,
        freed=after(_OLD, lambda model: nn.utils.remove_weight_norm(model[1])),
        at="1",
    ),
    Case(
        reason="its weight is tied to *",
        techniques=(*FORMATS, *FLATTENED),
        blocked=_TURN,
        freed=_APART,
        at="second",
    ),
    Case(
        reason="the weight of * is tied to that of *",
        techniques=("channel_prune",),
        blocked=_TIED,
        freed=_UNTIED,
        at="words",
    ),
    Case(
        reason="its class, *, is not one of torch.nn's: what its forward does with its weight is not known",
        techniques=(*FORMATS, "low_rank"),
        blocked=_RAW,
        freed=_LAYER,
        at="",
        then="middle",
    ),
    Case(
        reason="it meets the parameter *, which no known layer reads",
        techniques=("channel_prune",),
        blocked=_RAW,
        freed=_LAYER,
        at="first",
    ),
    Case(
        reason="GRU is recurrent: one fused operation reads its raw weights",
        techniques=(*FORMATS, "low_rank"),
        blocked=_GRU,
        freed=_PLAIN_STEPS,
        at="mix",
    ),
    Case(
        reason="LSTM is recurrent: one fused operation reads its raw weights",
        techniques=(*FORMATS, "low_rank"),
        blocked=_LSTM,
        freed=_PLAIN_STEPS,
        at="mix",
    ),
    Case(
        reason="it goes into the recurrent layer *",
        techniques=("channel_prune",),
        blocked=_LSTM,
        freed=_PLAIN_STEPS,
        at="embed",
    ),
    Case(
        reason="the gates of * hold its state in one matrix",
        techniques=("channel_prune",),
        blocked=_GRU,
        freed=_PLAIN_STEPS,
        at="mix",
    ),
    Case(
        reason="its weight is bfloat16 already: bfloat16 takes as many bytes",
        techniques=("bf16",),
        blocked=_wide(torch.bfloat16),
        freed=_wide(torch.float32),
        at="0",
    ),
    Case(
        reason="which layers' channels change together could not be followed (the forward asks for values *)",
        techniques=("channel_prune",),
        blocked=seeded(lambda: Either(both=False), numbers(4, 8)),
        freed=seeded(lambda: Either(both=True), numbers(4, 8)),
        at="left",
    ),
    Case(
        reason="it did not run in this forward, so that nothing could be checked",
        techniques=FORMATS,
        blocked=_LEFT,
        freed=_RIGHT,
        at="right",
    ),
    Case(
        reason="it did not run in this forward",
        techniques=(*FLATTENED, "low_rank"),
        blocked=_LEFT,
        freed=_RIGHT,
        at="right",
    ),
)
"""One for each reason, or several where the techniques that give it need other layers."""
