"""Zeros in a weight: what the techniques share that put them in."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Final

from torch import Tensor, nn

from effwidgets.records import LayerProfile, Settings, Step
from effwidgets.transforms.formats.format import Filling, Format, weight_of
from effwidgets.transforms.formats.masks import norms_for, scores
from effwidgets.transforms.surgery import blank_parameter

__all__ = ["SLOW", "UNHELD", "Zeroed"]

SLOW: Final = (
    "Dense kernels multiply by zeros like by other numbers: it is not faster (measured at 90% zeros: 0.97 to 1.01 of "
    "the time) and takes the same memory."
)
UNHELD: Final = "Training moves the zeros again: nothing holds them."


class Zeroed(Format):
    """Base: exact zeros in a plain dense weight, no mask behind. Training would fill them again."""

    family: ClassVar[str] = "sparsify"
    exact: ClassVar[frozenset[str]] = frozenset({"params", "param_bytes", "macs", "backward_macs", "saved_bytes"})
    repairs: ClassVar[frozenset[str]] = frozenset({"bias", "batch_norm"})
    replaces: ClassVar[bool] = False

    @abstractmethod
    def marked(self, worth: Tensor, step: Step, *, by_rows: bool) -> Tensor:
        """Return which entries become zero."""

    def standing(self, layer: LayerProfile, step: Step) -> tuple[LayerProfile, ...]:
        """The same layer."""
        del step
        return (layer,)

    def build(self, module: nn.Module, step: Step) -> nn.Module:
        """Give the layer a weight of its own."""
        del step
        module.weight = blank_parameter(weight_of(module), weight_of(module).shape)
        return module

    def fill(self, filling: Filling) -> tuple[Settings, tuple[str, ...]]:
        """Copy the weight and put the zeros in."""
        old = weight_of(filling.old)
        norms = norms_for(filling.original, filling.step, filling.old, filling.calibration)
        marked = self.marked(scores(old, norms), filling.step, by_rows=norms is not None)
        weight_of(filling.new).copy_(old.masked_fill(marked, 0))
        return self.measured(weight_of(filling.new)), self.notes(filling.new)

    def dense(self, new: nn.Module, old: nn.Module) -> Tensor:
        """The weight itself."""
        del old
        return weight_of(new)

    @abstractmethod
    def measured(self, weight: Tensor) -> Settings:
        """Return what the zeros would save where they are not stored."""

    @abstractmethod
    def notes(self, new: nn.Module) -> tuple[str, ...]:
        """Return what a reader must know."""
