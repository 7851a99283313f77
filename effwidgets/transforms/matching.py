"""How a batch of a data loader becomes a call of the model: which of its tensors are inputs, in which places."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from effwidgets.errors import InputError
from effwidgets.profiling.calls import Call, map_tensors, tensors_in

__all__ = ["match", "matches", "misfit", "with_tensors"]

_Path: TypeAlias = str | None
_HOW = "or say how a batch becomes inputs: how=lambda batch: batch[0]"
_ASIDE = frozenset({"attention_mask", "token_type_ids", "label", "labels", "target", "targets", "y", "index", "id"})


def match(batch: object, like: Call) -> Call:
    """Return the call of ``batch`` that is like ``like``: the same places filled, everything else as in ``like``.

    A tensor fits a place when it is of the same kind (floating point, whole, ...) and has as many dimensions; where
    the sizes behind the batch are the same too, it fits better. Names decide before shapes, order before choice. What
    is left over (labels) is dropped. What is taken goes to the device of its place; floating-point numbers of another
    precision are converted to that of the place.

    Raises:
        InputError: nothing in the batch fits one of the places; the message says what came and what is taken.

    >>> labelled = (torch.zeros(8, 3), torch.zeros(8, dtype=torch.long))
    >>> match(labelled, Call((torch.zeros(1, 3),)))
    Call(tensor 8 × 3)
    """
    places = [tensor for _, tensor in _places(like)]
    found = _found(batch, like)
    if found is None:
        raise InputError(misfit(batch, like))
    filled = iter(
        tensor.to(device=place.device, dtype=place.dtype if place.is_floating_point() else None)
        for place, tensor in zip(places, found, strict=True)
    )
    return Call(*map_tensors((like.args, dict(like.kwargs)), lambda _: next(filled)))


def matches(batch: object, like: Call) -> bool:
    """Say whether `match` would find what it needs."""
    return _found(batch, like) is not None


def _found(batch: object, like: Call) -> list[Tensor] | None:
    # What of the batch goes into each place of the call, in order.
    if isinstance(batch, Call):
        batch = (*batch.args, dict(batch.kwargs))
    places = list(_places(like))
    names = dict(_named(batch))
    known = [name for name, _ in places if name in names]
    if known:
        # Who names one input names all: another tensor of the same shape may be something else.
        named = {name: names[name] for name in known if name is not None}
        lacking = [place for name, place in places if name is not None and name not in named]
        if lacking or not all(_fits(named[name], place, 0) for name, place in places if name is not None):
            return None
        rest = _chosen(list(_unnamed(batch)), [place for name, place in places if name is None])
        if rest is None:
            return None
        own = iter(rest)
        return [named[name] if name is not None else next(own) for name, _ in places]
    return _chosen(list(_entries(batch)), [place for _, place in places])


def _places(like: Call) -> Iterator[tuple[_Path, Tensor]]:
    # Each tensor that the model is given; with its name where it has one of its own.
    for value in like.args:
        yield from ((None, tensor) for tensor in tensors_in(value))
    for name, value in like.kwargs.items():
        whole = isinstance(value, Tensor)
        yield from ((name if whole else None, tensor) for tensor in tensors_in(value))


def _mapping(value: object) -> Mapping[str, object] | None:
    if isinstance(value, Mapping):
        return value
    if hasattr(value, "keys") and hasattr(value, "__getitem__"):  # a tokenizer's batch
        return {key: value[key] for key in value.keys()}  # noqa: SIM118  it need not be iterable
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {part.name: getattr(value, part.name) for part in dataclasses.fields(value)}
    return None


def _named(batch: object) -> Iterator[tuple[str, Tensor]]:
    held = _mapping(batch)
    if held is not None:
        for name, value in held.items():
            if isinstance(value, Tensor):
                yield name, value
            else:
                yield from _named(value)
    elif isinstance(batch, list | tuple):
        for value in batch:
            yield from _named(value)


def _unnamed(batch: object) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif _mapping(batch) is None and isinstance(batch, list | tuple):
        for value in batch:
            yield from _unnamed(value)


def _entries(batch: object) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
        return
    held = _mapping(batch)
    if held is not None:  # what is hardly ever the first input comes last
        inside = [held[name] for name in sorted(held, key=lambda name: str(name).lower() in _ASIDE)]
    else:
        inside = list(batch) if isinstance(batch, list | tuple) else []
    for value in inside:
        yield from _entries(value)


def _chosen(entries: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor] | None:
    for strictness in (1, 0):
        if len(entries) >= len(places) and all(
            _fits(entry, place, strictness) for entry, place in zip(entries, places, strict=False)
        ):
            return list(entries[: len(places)])
        rest = iter(entries)
        found = [next((entry for entry in rest if _fits(entry, place, strictness)), None) for place in places]
        if all(entry is not None for entry in found):
            return [entry for entry in found if entry is not None]
        if strictness:
            swapped = _in_any_order(entries, places)
            if swapped is not None:
                return swapped
    return None


def _in_any_order(entries: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor] | None:
    # Each place with the first entry of its sizes that is left over.
    left, found = list(entries), []
    for place in places:
        at = next((number for number, entry in enumerate(left) if _fits(entry, place, 1)), None)
        if at is None:
            return None
        found.append(left.pop(at))
    return found


def _fits(entry: Tensor, place: Tensor, strictness: int) -> bool:
    if _kind(entry) != _kind(place) or entry.dim() != place.dim():
        return False
    return not strictness or entry.shape[1:] == place.shape[1:]


def _kind(tensor: Tensor) -> str:
    if tensor.is_floating_point():
        return "float"
    if tensor.is_complex():
        return "complex"
    return "bool" if tensor.dtype is torch.bool else "whole"


def with_tensors(batch: object) -> object:
    """Return ``batch`` with tensors for the arrays of numpy in it, as far as torch has their kind of numbers.

    >>> import numpy
    >>> with_tensors((numpy.zeros(2), 3))
    (tensor([0., 0.], dtype=torch.float64), 3)
    """
    if isinstance(batch, Tensor):
        return batch
    if hasattr(batch, "__array_interface__"):
        try:
            return torch.tensor(batch)
        except (TypeError, ValueError):  # texts, objects, dates
            return batch
    if type(batch) in (list, tuple) and isinstance(batch, list | tuple):
        return type(batch)([with_tensors(value) for value in batch])
    if type(batch) is dict:
        return {name: with_tensors(value) for name, value in batch.items()}
    return batch


def misfit(batch: object, like: Call) -> str:
    """Say what came and what is taken."""
    places = list(_places(like))
    taken = ", ".join(f"{name}: {_text(tensor)}" if name else _text(tensor) for name, tensor in places)
    names = dict(_named(batch))
    lacking = [name for name, _ in places if name is not None and name not in names]
    hint = ""
    if lacking and len(lacking) < sum(name is not None for name, _ in places):
        hint = f" It lacks {', '.join(map(repr, lacking))}."
    elif _chosen([entry[None] for entry in _entries(batch)], [tensor for _, tensor in places]) is not None:
        hint = " These look like single samples: wrap them in torch.utils.data.DataLoader(..., batch_size=32)."
    elif _chosen([entry.float() for entry in _entries(batch)], [tensor.float() for _, tensor in places]) is not None:
        hint = " The shapes fit and the kinds of numbers do not: convert them first."
    if isinstance(batch, Call):
        batch = (*batch.args, dict(batch.kwargs)) if batch.kwargs else batch.args
    came = f"A calibration batch is {_described(batch)}; the model takes {taken}."
    return f"{came}{hint} Give batches of such inputs, {_HOW}."


def _text(tensor: Tensor) -> str:
    sizes = " × ".join(map(str, tensor.shape)) or "scalar"
    return f"{str(tensor.dtype).removeprefix('torch.')} {sizes}"


def _described(batch: object) -> str:
    if isinstance(batch, Tensor):
        return f"a tensor, {_text(batch)}"
    held = _mapping(batch)
    if held is not None:
        inside = ", ".join(f"{name}: {_short(value)}" for name, value in held.items())
        return f"a {type(batch).__name__} of {inside or 'nothing'}"
    if isinstance(batch, list | tuple):
        inside = ", ".join(_short(value) for value in batch[:6]) + (", ..." if len(batch) > 6 else "")
        return f"a {type(batch).__name__} of {inside or 'nothing'}"
    return f"of type {type(batch).__name__}"


def _short(value: object) -> str:
    return _text(value) if isinstance(value, Tensor) else type(value).__name__
