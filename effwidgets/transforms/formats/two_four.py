"""Two zeros in each four inputs of a weight: the pattern that sparse tensor cores know."""

from __future__ import annotations

from typing import ClassVar, Final

from torch import Tensor, nn

from effwidgets.records import Knob, LayerProfile, Profile, Settings, Step, settings
from effwidgets.transforms.formats.format import CONVOLUTIONS
from effwidgets.transforms.formats.masks import check_criterion, two_of_four
from effwidgets.transforms.formats.sizes import stored, stored_two_of_four
from effwidgets.transforms.formats.zeroed import SLOW, UNHELD, Zeroed

__all__ = ["TWO_FOUR", "TwoFour"]

_FOUR: Final = 4


class TwoFour(Zeroed):
    """Two of each four neighbouring inputs of a weight become exact zeros, the pattern of sparse tensor cores.

    Mishra et al. 2021, arXiv:2104.08378. Setting ``criterion``: "magnitude" unless given, or "wanda". The fours run
    along the inputs (dimension 1) for each output, and each place of the kernel.
    """

    name: ClassVar[str] = "two_four"
    kinds: ClassVar[frozenset[str]] = CONVOLUTIONS | {"Linear"}
    known: ClassVar[frozenset[str]] = frozenset({"criterion"})

    def offer(self, layer: LayerProfile, profile: Profile) -> str | tuple[tuple[Knob, ...], str]:
        """Inputs in fours."""
        del profile
        weight = layer.tensor("weight")
        inputs = weight.shape[1] if weight else 0
        if inputs % _FOUR or not inputs:
            return f"its inputs do not come in fours: each output reads {inputs}"
        sentence = "Half of the weight becomes zero, two of each four inputs; faster only in sparse CUDA kernels"
        return (), sentence

    def warnings(self, layer: LayerProfile) -> tuple[str, ...]:
        """Where it is faster."""
        return (SLOW, self._where(layer.kind == "Linear"))

    def check(self, step: Step) -> None:
        """A known criterion."""
        super().check(step)
        check_criterion(step)

    def marked(self, worth: Tensor, step: Step, *, by_rows: bool) -> Tensor:
        """The two least of each four."""
        del step, by_rows
        return two_of_four(worth)

    def measured(self, weight: Tensor) -> Settings:
        """Zeros, and what sparse kernels would hold."""
        found = stored(weight)
        packed = stored_two_of_four(weight)
        return settings({"zeros": found.zeros, "entries": found.entries, "two_of_four_bytes": packed})

    def notes(self, new: nn.Module) -> tuple[str, ...]:
        """Where it is faster; zeros are not held."""
        return (SLOW, self._where(isinstance(new, nn.Linear)), UNHELD)

    def _where(self, linear: bool) -> str:  # noqa: FBT001  one of two sentences
        if linear:
            return (
                "Only CUDA kernels from Ampere on gain from it: "
                "torch.sparse.to_sparse_semi_structured(weight) in half precision or int8."
            )
        return "torch has sparse kernels for a Linear only; a convolution gains in runtimes such as TensorRT."


TWO_FOUR = TwoFour()
