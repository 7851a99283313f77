"""A few batches of real inputs, without labels: what values are fitted to and checked on."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import torch

from effwidgets.errors import InputError
from effwidgets.profiling.calls import Call, Inputs, as_call

__all__ = ["Calibration", "calibration_of"]

_PAIR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Calls of the model on real data. Holds tensors, so it is no record and never saved."""

    batches: tuple[Call, ...]


def calibration_of(data: object, *, limit: int = 8) -> Calibration | None:
    """Read calibration data in the forms in which people have it.

    Args:
        data: None; a `Calibration`; one batch (a tensor, a mapping of keyword inputs, a `Call`); or batches one after
            the other (a list, a generator, a ``DataLoader``), where of a pair ``(inputs, labels)`` the first is
            taken. A model of two inputs takes a `Call` or a mapping for each batch.
        limit: batches taken from an iterable; the rest is not read.

    Returns:
        The batches, or None where there are no data.

    Raises:
        InputError: none of these, or an iterable without a batch.
    """
    if data is None or isinstance(data, Calibration):
        return data
    if isinstance(data, torch.Tensor | Call) or _named(data):
        return Calibration(batches=(as_call(cast("Inputs", data)),))
    if not isinstance(data, Iterable):
        message = (
            f"Calibration data is {type(data).__name__}; a tensor, a mapping of keyword inputs, a Call, "
            "or an iterable of these (a DataLoader) was expected."
        )
        raise InputError(message)
    batches = tuple(_batch(item) for item in itertools.islice(iter(data), limit))
    if not batches:
        message = f"The calibration data ({type(data).__name__}) holds no batch; give at least one."
        raise InputError(message)
    return Calibration(batches=batches)


def _named(data: object) -> bool:
    return isinstance(data, Mapping) or (hasattr(data, "keys") and hasattr(data, "__getitem__"))


def _batch(item: object) -> Call:
    if isinstance(item, list | tuple):
        if len(item) not in (1, _PAIR):
            message = (
                f"A calibration batch is a {type(item).__name__} of {len(item)}; inputs alone or (inputs, labels) was "
                "expected. A model of several inputs takes a Call or a mapping for each batch."
            )
            raise InputError(message)
        item = item[0]
    return as_call(cast("Inputs", item))
