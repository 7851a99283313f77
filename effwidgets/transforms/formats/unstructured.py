"""Zeros in a weight, wherever the numbers matter least."""

from __future__ import annotations

from math import prod
from typing import ClassVar, Final

from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.records import Knob, LayerProfile, Profile, Settings, Shape, Step, settings
from effwidgets.transforms.formats.format import CONVOLUTIONS
from effwidgets.transforms.formats.masks import check_criterion, smallest, smallest_in_rows
from effwidgets.transforms.formats.sizes import stored
from effwidgets.transforms.formats.tables import weight_info
from effwidgets.transforms.formats.zeroed import SLOW, UNHELD, Zeroed

__all__ = ["UNSTRUCTURED", "Unstructured", "zeros_in"]

_FEWEST: Final = 4
_MOST: Final = 0.95


class Unstructured(Zeroed):
    """The smallest numbers of a weight become exact zeros.

    Settings: ``share``, between 0 and 1: the nearest whole number of ``share * entries`` is zeroed, numbers that are
    zero already first, of equal ones those that stand first; ``criterion``: "magnitude" (Han et al. 2015,
    arXiv:1506.02626), over the whole weight, or "wanda" (Sun et al. 2024, arXiv:2306.11695): size times the norm of the
    input, the same share in each row, which needs calibration data. `sparsity_plan` spreads a share over layers.
    """

    name: ClassVar[str] = "unstructured"
    kinds: ClassVar[frozenset[str]] = CONVOLUTIONS | {"Linear", "Embedding"}
    known: ClassVar[frozenset[str]] = frozenset({"share", "criterion"})

    def offer(self, layer: LayerProfile, profile: Profile) -> str | tuple[tuple[Knob, ...], str]:
        """Any weight with enough numbers to choose from."""
        del profile
        weight = layer.tensor("weight")
        entries = prod(weight.shape) if weight else 0
        if entries < _FEWEST:
            return f"its weight has {entries} numbers: nothing to choose from"
        knob = Knob(name="share", kind="float", low=max(0.1, 1 / entries), high=_MOST)
        return (knob,), f"Up to {_MOST:.0%} of {entries:,} numbers become zero; a smaller download, not a faster layer"

    def warnings(self, layer: LayerProfile) -> tuple[str, ...]:
        """Not faster."""
        del layer
        return (SLOW,)

    def check(self, step: Step) -> None:
        """A share between 0 and 1, a known criterion."""
        super().check(step)
        share = step.setting("share")
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
            raise TransformError(f"{step}: share is {share!r}; a number between 0 and 1 was expected, such as 0.8.")
        check_criterion(step)

    def standing(self, layer: LayerProfile, step: Step) -> tuple[LayerProfile, ...]:
        """The same layer, where the share makes any number zero."""
        zeros_in(weight_info(layer).shape, step)
        return super().standing(layer, step)

    def marked(self, worth: Tensor, step: Step, *, by_rows: bool) -> Tensor:
        """Over the whole weight, or in each row alike."""
        count = zeros_in(tuple(worth.shape), step)
        return smallest_in_rows(worth, count) if by_rows else smallest(worth, count)

    def measured(self, weight: Tensor) -> Settings:
        """Zeros, and what the weight takes without them."""
        found = stored(weight)
        return settings(
            {
                "zeros": found.zeros,
                "entries": found.entries,
                "csr_bytes": found.csr_bytes,
                "bitmask_bytes": found.bitmask_bytes,
                "download_bytes": found.download_bytes,
            }
        )

    def notes(self, new: nn.Module) -> tuple[str, ...]:
        """Not faster; zeros are not held."""
        del new
        return (SLOW, UNHELD)


def zeros_in(shape: Shape, step: Step) -> int:
    """Return how many numbers of a weight become zero, or of each row of it where rows are compared.

    The nearest whole number of share times numbers; of two equally near ones the even one.

    Raises:
        TransformError: that is none of them, or all.

    >>> zeros_in((10, 10), Step(transform="unstructured", layers=("fc",), settings=settings(share=0.29)))
    29
    """
    share, by_rows = step.setting("share"), check_criterion(step) == "wanda"
    entries = prod(shape[1:]) if by_rows else prod(shape)
    count = round(entries * share) if isinstance(share, int | float) else 0
    if not 0 < count < entries:
        raise TransformError(
            f"{step}: this share makes {count} of the {entries} numbers of {'each row' if by_rows else 'the weight'} "
            f"zero; one from {1 / max(1, entries):.2g} to {1 - 1 / max(1, entries):.2g} was expected."
        )
    return count


UNSTRUCTURED = Unstructured()
