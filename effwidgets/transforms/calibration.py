"""A few batches of real inputs, without labels: what values are fitted to and checked on."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias, cast

import torch

from effwidgets.errors import InputError
from effwidgets.profiling.calls import Call, Inputs, as_call
from effwidgets.profiling.dice import Dice
from effwidgets.transforms.matching import match, matches, misfit, with_tensors
from effwidgets.transforms.trial import quiet_random

__all__ = ["Calibration", "How", "calibration_of"]

How: TypeAlias = Callable[[object], object]
"""From what a data loader yields to what the model is called with (see `Inputs`)."""

_PAIR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Calls of the model on real data. Holds tensors, so it is no record and never saved."""

    batches: tuple[Call, ...]


def calibration_of(
    data: object, *, like: Call | None = None, how: How | None = None, limit: int = 8
) -> Calibration | None:
    """Read calibration data in the forms in which people have it.

    Args:
        data: None; a `Calibration`; one batch (a tensor, a mapping of keyword inputs, a tokenizer's batch, a `Call`,
            with ``like`` a tuple of inputs and labels); or batches one after the other (a list, a generator, a
            ``DataLoader``). Reading a loader that shuffles takes no numbers from torch's generators nor from its own.
            Arrays of numpy stand for tensors.
        like: what the model is called with. It decides which tensors of a batch are inputs, by names, kinds and shapes
            (see `match`). Without it a pair is ``(inputs, labels)``.
        how: makes inputs of a batch where that cannot be guessed: ``how=lambda batch: batch["image"]``.
        limit: batches taken from an iterable; the rest is not read.

    Returns:
        The batches, or None where there are no data.

    Raises:
        InputError: none of these, an iterable without a batch or that fails, or a batch that the model does not take.

    >>> loader = [(torch.zeros(4, 3), torch.zeros(4, 2), torch.ones(4, dtype=torch.long))]
    >>> calibration_of(loader, like=Call((torch.zeros(1, 3), torch.zeros(1, 2)))).batches
    (Call(tensor 4 × 3, tensor 4 × 2),)
    """
    if data is None or isinstance(data, Calibration):
        return data
    if limit < 1:
        raise InputError(f"limit is {limit}; at least one batch is needed.")
    data = with_tensors(data)
    one = isinstance(data, torch.Tensor | Call) or _named(data)
    if one or (like is not None and _is_one(data, like, how)):
        return Calibration(batches=(_called(data, like, how),))
    if not isinstance(data, Iterable):
        raise InputError(_no_data(data))
    items = _read(data, limit)
    if not items:
        raise InputError(f"The calibration data ({type(data).__name__}) holds no batch; give at least one.")
    return Calibration(batches=tuple(_called(item, like, how) for item in items))


def _named(data: object) -> bool:
    return isinstance(data, Mapping) or (hasattr(data, "keys") and hasattr(data, "__getitem__"))


def _read(data: Iterable[object], limit: int) -> list[object]:
    found: list[object] = []
    try:
        with _random_kept(data):
            found.extend(itertools.islice(iter(data), limit))
    except Exception as error:  # the caller's data set
        what = f"The calibration data ({type(data).__name__}) failed after {len(found)} batches"
        raise InputError(f"{what} with {type(error).__name__}: {error}") from error
    return found


def _is_one(data: object, like: Call, how: How | None) -> bool:
    # Whether a list or a tuple is a batch and not several of them.
    if not isinstance(data, list | tuple) or not data:
        return False

    def taken(batch: object) -> bool:
        try:
            return matches(batch if how is None else how(batch), like)
        except Exception:  # noqa: BLE001  the caller's function, given what it may not be meant for
            return False

    return taken(data) and not all(taken(item) for item in data)


def _called(item: object, like: Call | None, how: How | None) -> Call:
    item = with_tensors(item)
    if how is not None:
        try:
            item = how(item)
        except Exception as error:  # the caller's function
            kind = type(item).__name__
            message = f"how failed with {type(error).__name__}: {error}. It was given a batch, a {kind}."
            raise InputError(message) from error
        made = as_call(cast("Inputs", with_tensors(item)))
        if like is not None and not matches(made, like):
            raise InputError(f"What how makes of a batch does not fit. {misfit(made, like)}")
        return made
    if isinstance(item, Call):
        return item
    if like is not None:
        return match(item, like)
    if isinstance(item, list | tuple):
        if len(item) not in (1, _PAIR):
            message = (
                f"A calibration batch is a {type(item).__name__} of {len(item)}; inputs alone or (inputs, labels) was "
                "expected. A model of several inputs takes a Call or a mapping for each batch."
            )
            raise InputError(message)
        item = item[0]
    return as_call(cast("Inputs", item))


def _no_data(data: object) -> str:
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        kind = type(data).__name__
        return f"Calibration data is {kind}, single samples: wrap it, DataLoader({kind.lower()}, batch_size=32)."
    return (
        f"Calibration data is {type(data).__name__}; a tensor, a mapping of keyword inputs, a Call, "
        "or an iterable of these (a DataLoader) was expected."
    )


@contextmanager
def _random_kept(data: object) -> Iterator[None]:
    # A loader draws a seed before its first batch, from its own generator or from torch's.
    own = [getattr(held, "generator", None) for held in (data, getattr(data, "sampler", None))]
    states = [(dice, dice.get_state()) for dice in own if isinstance(dice, torch.Generator)]
    try:
        with quiet_random() if threading.current_thread() is threading.main_thread() else Dice():
            yield
    finally:
        for dice, state in states:
            dice.set_state(state)
