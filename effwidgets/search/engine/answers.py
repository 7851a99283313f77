"""How far the answers of a candidate are from the dense model's, on calibration data: a score without labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from effwidgets.errors import Cancelled, EffError
from effwidgets.profiling.calls import Call
from effwidgets.search.sensitivity.gauge import Answer, Gauge, Gauged, answer_of
from effwidgets.transforms.trial import answer, stand_in

__all__ = ["Answers"]


class Answers:
    """What the dense model answers to a few batches, kept for comparison.

    Args:
        model: the dense model.
        batches: calls with real inputs.
        gauge: how they are compared.
    """

    def __init__(self, model: nn.Module, batches: Sequence[Call], gauge: Gauged = "auto") -> None:
        self._batches = tuple(batches)
        self._gauge = Gauge(self._answers(model, lambda: None), gauge)

    def divergence(self, model: nn.Module, check: Callable[[], None]) -> float | None:
        """Return how far ``model`` is from the dense model (see `Gauge`); None where that is no finite number.

        Raises:
            Cancelled: ``check`` raised it, between two batches.
        """
        try:
            return self._gauge.of(self._answers(model, check))[0]
        except Cancelled:
            raise
        except EffError:  # outputs that are not finite, or none at all: what evaluate says of it counts
            return None

    def _answers(self, model: nn.Module, check: Callable[[], None]) -> list[Answer]:
        twin = stand_in(model)
        found = []
        for call in self._batches:
            check()
            found.append(answer_of(answer(twin, call)))
        return found
