"""Which sizes of which inputs are the batch, the resolution or the length of the sequence.

What cannot be known is asked for: an `InputError` names the tensor and what it could be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeAlias

import torch
from torch import nn

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.profiling.calls import Call
from effwidgets.units import shape_text

__all__ = ["Dims", "Following", "Place", "dims_given", "dims_of", "places_of"]

Dims: TypeAlias = Mapping[str | int, int | tuple[int, ...]]
"""Input -> its sizes that follow: a keyword or the number of a positional input, a dimension or several of them."""

_DOOR: Final = (
    "Say which sizes follow, dims={'input_ids': 1, 'attention_mask': (2, 3)} or dims={0: 0}, "
    "or hand in a function of the size instead of inputs."
)


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A tensor in a call: ``input_ids``, ``0`` for the first positional one, ``batch.mask`` inside of a mapping."""

    path: str
    tensor: torch.Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""
        return tuple(self.tensor.shape)

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"input {self.path}" if self.path[:1].isdigit() else self.path

    def __str__(self) -> str:
        return f"{self.name} ({shape_text(self.shape)}, {str(self.tensor.dtype).removeprefix('torch.')})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """Which sizes follow the axis. At size n, each becomes ``old × n / reference``.

    Attributes:
        reference: the size of the axis in the inputs as they were handed in.
        dims: by path of the tensor, its dimensions from 0 on.
    """

    reference: int
    dims: Mapping[str, tuple[int, ...]]


def places_of(call: Call) -> tuple[Place, ...]:
    """Return the tensors of a call that can be replaced, each with its path, in order.

    >>> [str(place) for place in places_of(Call((torch.zeros(2, 3),), {"ids": torch.ones(2, 5, dtype=torch.int64)}))]
    ['input 0 (2 × 3, float32)', 'ids (2 × 5, int64)']
    """
    named = [(str(number), value) for number, value in enumerate(call.args)]
    return tuple(place for path, value in (*named, *call.kwargs.items()) for place in _inside(path, value))


def _inside(path: str, value: Any) -> Iterator[Place]:
    if isinstance(value, torch.Tensor):
        yield Place(path, value)
    elif isinstance(value, tuple | list):
        names = getattr(value, "_fields", range(len(value)))
        for name, item in zip(names, value, strict=True):
            yield from _inside(f"{path}.{name}", item)
    elif type(value) is dict:
        for name, item in value.items():
            yield from _inside(f"{path}.{name}", item)


def dims_given(dims: Dims, places: tuple[Place, ...]) -> Following:
    """Check what the caller says.

    Raises:
        UnknownNameError: an input that there is not.
        InputError: a dimension that a tensor has not, none at all, or one of size 0.
    """
    if not isinstance(dims, Mapping) or not dims:
        raise InputError(f"dims is {dims!r:.60}; a mapping was expected, such as {{'input_ids': 1}} or {{0: (2, 3)}}.")
    known = {place.path: place for place in places}
    found: dict[str, tuple[int, ...]] = {}
    for key, given in dims.items():
        if str(key) not in known:
            raise UnknownNameError("tensor among the inputs", str(key), known)
        place = known[str(key)]
        chosen = given if isinstance(given, tuple) else (given,)
        if not chosen:
            raise InputError(
                f"dims names no size of {place}; give one or several, such as 0 or (2, 3), or leave it out."
            )
        for dim in chosen:
            if type(dim) is not int or not -len(place.shape) <= dim < len(place.shape):
                raise InputError(f"{place} has no size {dim!r}; its sizes are numbered from 0.")
        found[place.path] = tuple(dict.fromkeys(dim % len(place.shape) for dim in chosen))
    path, (dim, *_) = next(iter(found.items()))
    if not known[path].shape[dim]:
        raise InputError(
            f"Size {dim} of {known[path]} is 0, which nothing can follow; hand in inputs that are not empty."
        )
    return Following(reference=known[path].shape[dim], dims=found)


def dims_of(axis: str, places: tuple[Place, ...], model: nn.Module) -> Following:
    """Find which sizes are "batch", "resolution" or "sequence".

    Raises:
        InputError: it cannot be known; the message names the tensor in question.
    """
    sized = tuple(place for place in places if place.shape)
    if not sized:
        raise InputError(f"Among the inputs is no tensor whose sizes could follow the {axis}. {_DOOR}")
    found = {"batch": _batch, "resolution": _resolution, "sequence": _sequence}[axis](sized, model)
    if found.reference < 1:
        raise InputError(f"The {axis} of the inputs is 0; hand in inputs that are not empty.")
    return found


def _unclear(place: Place, why: str) -> NoReturn:
    raise InputError(f"It is not clear what {place} is: {why}. {_DOOR}")


def _time_first(first: Place, model: nn.Module) -> bool:
    """Say whether the first input has its batch in the second place; raise where only the forward knows."""
    integer = not first.tensor.is_floating_point()
    if len(first.shape) != (2 if integer else 3):
        return False
    for name, module in model.named_modules():
        if getattr(module, "batch_first", None) is False:
            if name == "":
                return not integer
            _unclear(
                first, f"layer {name!r} ({type(module).__name__}) has batch_first=False, so either of the first two"
            )
    return False


def _batch(places: tuple[Place, ...], model: nn.Module) -> Following:
    first = places[0]
    at = 1 if _time_first(first, model) else 0
    batch, other = first.shape[at], first.shape[1 - at] if len(first.shape) > 1 else None
    dims: dict[str, tuple[int, ...]] = {}
    for place in places:
        shape = place.shape
        here = len(shape) > at and shape[at] == batch
        if place is not first and other == batch and here and (len(shape) == 1 or shape[0] == shape[1] == batch):
            _unclear(place, f"{batch} is the batch and another size of {first.name}")
        if not here and at == 0 and len(shape) == 3 and shape[1] == batch and place.tensor.is_floating_point():
            _unclear(place, f"its second size is {batch} like the batch, as in the state of a recurrent layer")
        if here:
            dims[place.path] = (at,)
    return Following(reference=batch, dims=dims)


def _resolution(places: tuple[Place, ...], model: nn.Module) -> Following:
    del model
    tokens = {place.shape[1] for place in places if _is_tokens(place)}
    images = [
        place
        for place in places
        if place.tensor.is_floating_point()
        and len(place.shape) in (4, 5)
        and not (len(place.shape) == 4 and {place.shape[-1]} == {*place.shape[-2:]} & tokens)  # a mask
    ]
    if not images:
        listed = ", ".join(map(str, places))
        raise InputError(
            f"Among the inputs is no picture (batch, channels, height, width) and no volume: {listed}. {_DOOR}"
        )
    first = images[0]
    places_in_space = len(first.shape) - 2
    space = first.shape[-places_in_space:]
    dims: dict[str, tuple[int, ...]] = {}
    for place in places:
        rank = len(place.shape)
        if rank > places_in_space and place.shape[-places_in_space:] == space:
            dims[place.path] = tuple(range(rank - places_in_space, rank))
        elif place in images:
            _unclear(place, f"it is a picture of another size than {first}")
    return Following(reference=min(space), dims=dims)


def _is_tokens(place: Place) -> bool:
    tensor = place.tensor
    whole = not tensor.is_floating_point() and not tensor.is_complex() and tensor.dtype != torch.bool
    return whole and tensor.dim() == 2


def _sequence(places: tuple[Place, ...], model: nn.Module) -> Following:
    tokens = [place for place in places if _is_tokens(place)]
    floats = [place for place in places if place.tensor.is_floating_point() and len(place.shape) == 3]
    chosen = [*tokens[:1], *floats[:1]]
    if not chosen:
        listed = ", ".join(map(str, places))
        raise InputError(
            f"Among the inputs are no tokens (batch, length) and no features (batch, length, width): {listed}. {_DOOR}"
        )
    first = chosen[0]
    at = 0 if _time_first(first, model) else 1
    batch, length = first.shape[1 - at], first.shape[at]
    dims = {place.path: found for place in places if (found := _along(place, first, (batch, length, at)))}
    return Following(reference=length, dims=dims)


def _along(place: Place, first: Place, seen: tuple[int, int, int]) -> tuple[int, ...]:
    """Return the dimensions of a tensor that follow the length."""
    batch, length, at = seen
    shape = place.shape
    if place is first:
        return (at,)
    if len(shape) == 1:
        return _along_one(place, batch, length)
    if len(shape) == 2:
        return _along_two(place, seen)
    if len(shape) == 3 and place.tensor.is_floating_point():
        if shape[at] == length and shape[2] == length:
            _unclear(place, f"both its sizes of {length} could follow the length")
        return (at,) if shape[at] == length else ()
    if len(shape) in (3, 4):  # a mask (batch, queries, keys) or (batch, heads, queries, keys)
        return tuple(dim for dim in (len(shape) - 2, len(shape) - 1) if shape[dim] == length)
    return ()


def _along_one(place: Place, batch: int, length: int) -> tuple[int, ...]:
    tensor = place.tensor
    if place.shape == (batch,) and not tensor.is_floating_point() and tensor.dtype != torch.bool:
        if batch == length:
            _unclear(place, f"{length} is the batch and the length")
        if not tensor.is_meta and int(tensor.max()) == length:
            _unclear(place, f"its largest number is {length}, as if it held the lengths of the sequences")
    return (0,) if place.shape[0] == length else ()


def _along_two(place: Place, seen: tuple[int, int, int]) -> tuple[int, ...]:
    batch, length, at = seen
    shape = place.shape
    if shape == (length, length) and not _is_tokens(place):
        if batch == length:
            _unclear(place, f"{length} is the batch and the length")
        return (0, 1)
    if _is_tokens(place) and shape[at] not in (1, length) and shape[1 - at] == batch:
        _unclear(place, f"it is as long as {shape[at]} tokens, and others as {length}")
    return (at,) if shape[at] == length and shape[1 - at] in (batch, 1) else ()
