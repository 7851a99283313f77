"""What a batch of a data set is: the call of the model, and the labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from torch import Tensor

from effwidgets.errors import InputError
from effwidgets.profiling.calls import Call, as_call, batch_of, tensors_in
from effwidgets.search.tuning.options import DistillOptions
from effwidgets.transforms.calibration import calibration_of
from effwidgets.transforms.matching import with_tensors

__all__ = ["Batch", "is_named", "is_pair", "read"]

_LABELS: Final = ("labels", "label", "targets", "target", "y")


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What the model is called with, and the labels where there are any.

    ``rows`` says which samples of ``piece`` these are, where that is known.
    """

    call: Call
    labels: Tensor | None = None
    rows: Tensor | None = None
    piece: Call | None = None

    @property
    def size(self) -> int:
        """How many samples; 1 where that cannot be told."""
        return batch_of(self.call) or 1


def is_named(data: object) -> bool:
    """Say whether a batch holds its tensors by name."""
    return isinstance(data, Mapping) or (hasattr(data, "keys") and hasattr(data, "__getitem__"))


def is_pair(data: object) -> bool:
    """Say whether these are inputs and labels of as many samples; two batches stand in a list."""
    return (
        isinstance(data, tuple)
        and len(data) == 2
        and isinstance(data[1], Tensor)
        and data[1].dim() > 0
        and (isinstance(data[0], Tensor | Call) or is_named(data[0]))
    )


def read(item: object, options: DistillOptions) -> tuple[Call, Tensor | None]:
    """Return what the model is called with for a batch, and its labels, None where there are none.

    Raises:
        InputError: nothing in it that the model takes.
    """
    item = with_tensors(item)
    like = None if options.like is None else as_call(options.like)
    # Without a tensor to spare, all of them are inputs.
    spare = like is None or len(list(tensors_in(item))) > len(list(tensors_in(like)))
    labels: Tensor | None = None
    inputs = item
    if not spare:
        pass
    elif isinstance(item, Mapping) or is_named(item):
        held = cast("Mapping[str, object]", item)
        named = {name: held[name] for name in held.keys()}  # noqa: SIM118  it need not be iterable
        known = next((name for name in _LABELS if isinstance(named.get(name), Tensor)), None)
        labels = None if known is None else cast("Tensor", named.pop(known))
        inputs = named
    elif isinstance(item, list | tuple) and len(item) > 1 and isinstance(item[-1], Tensor):
        labels = item[-1]
        if len(item) == 2 and not isinstance(item[0], Tensor):
            inputs = item[0]
    wrapped = inputs if isinstance(inputs, Call) else [item if options.how is not None else inputs]
    found = calibration_of(wrapped, like=like, how=options.how, limit=1)
    if found is None:
        raise InputError("A batch of the training data is None.")
    return found.batches[0], labels
