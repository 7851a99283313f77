"""`sweep`: what a model would cost with a larger batch, another resolution, a longer sequence; on one shadow."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

from effwidgets.errors import Cancelled, EffError, InputError
from effwidgets.profiling.calls import Call, Inputs, as_call, shapes_of
from effwidgets.profiling.failures import is_empty
from effwidgets.profiling.profile import ProfileOptions, profile, profile_shadow
from effwidgets.profiling.shadow import make_shadow, share
from effwidgets.records import Profile
from effwidgets.records.sweeps import Sweep, SweepPoint
from effwidgets.whatif.dims import Dims, Following, dims_given, dims_of, places_of
from effwidgets.whatif.growth import growths_of_layers, growths_of_model
from effwidgets.whatif.resize import resized, resized_for_real

__all__ = ["Axis", "InputsAt", "axis_of", "sweep"]

InputsAt: TypeAlias = Callable[[int], Inputs]
"""Makes the inputs of one size."""

_ASK = "sweep(model, x, batch=(1, 2, 4, 8)), or resolution=, sequence=, or sizes= with dims="
_VALUES_ASKED = (DataDependentOutputException, DynamicOutputShapeException)


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """What grows, and through which sizes.

    Attributes:
        name: "batch", "resolution", "sequence", or "size" for what the caller describes.
        sizes: increasing.
        dims: which sizes of which inputs follow; None to find out.
    """

    name: str
    sizes: tuple[int, ...]
    dims: Dims | None = None


def axis_of(given: dict[str, object], dims: Dims | None = None) -> Axis:
    """Return the one axis among the sizes that were ``given`` by name.

    >>> axis_of({"batch": (1, 2, 4), "sequence": None})
    Axis(name='batch', sizes=(1, 2, 4), dims=None)

    Raises:
        InputError: none or several, or sizes that are no whole numbers above 0.
    """
    named = {name: sizes for name, sizes in given.items() if sizes is not None}
    if len(named) != 1:
        came = "none" if not named else " and ".join(named)
        raise InputError(f"One thing is swept at a time, and {came} came: {_ASK}.")
    [(name, sizes)] = named.items()
    return Axis(name=name, sizes=_sizes_of(name, sizes), dims=dims)


def _sizes_of(name: str, sizes: object) -> tuple[int, ...]:
    listed = [sizes] if isinstance(sizes, int) else list(sizes) if isinstance(sizes, Iterable) else [sizes]
    for size in listed:
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise InputError(f"{name} is {sizes!r:.80}; whole numbers above 0 were expected, such as (1, 2, 4, 8).")
    if not listed:
        raise InputError(f"{name} has no sizes; name some, such as (1, 2, 4, 8).")
    return tuple(sorted(set(listed)))


def sweep(
    model: nn.Module, inputs: Inputs | InputsAt, axis: Axis, *, options: ProfileOptions = ProfileOptions()
) -> Sweep:
    """Profile ``model`` at each size of ``axis``, on one shadow: nothing of that size is allocated.

    A size at which the model fails is a point with the reason. A forward that asks for the values of its activations
    is run for real at each size, on a copy, and the point says so.

    Args:
        model: any module; it is left as it is.
        inputs: what it is called with, at any size; or a function that makes it at a size.
        axis: what grows.
        options: training mode, optimizer, whether to run the backward.

    Raises:
        InputError: not a module, unusable inputs, or it is not clear which sizes of them follow.

    >>> from torch import zeros
    >>> found = sweep(nn.Linear(8, 4), zeros(2, 8), Axis(name="batch", sizes=(1, 2, 4)))
    >>> found.growth_of("macs").formula(), found.point(4).cost.macs
    ('32·n', 128)
    """
    if options.latency:
        raise InputError("A sweep measures no time: it runs on a shadow. Leave latency=True out, and profile one size.")
    look = _Look(model, inputs, axis, dataclasses.replace(options, groups=False))
    found = [look.at(size) for size in axis.sizes]
    profiles = [profile for _, profile in found if profile is not None]
    shared = [note for note in (profiles[0].notes if profiles else ()) if all(note in p.notes for p in profiles)]
    points = tuple(_point(size, *one, shared) for size, one in zip(axis.sizes, found, strict=True))
    return Sweep(
        model=type(model).__name__,
        axis=axis.name,
        changed=look.changed,
        dtype=profiles[0].dtype if profiles else "",
        train=options.train,
        points=points,
        growth=growths_of_model(points),
        layers=growths_of_layers([point.size for point in points if point.cost is not None], profiles),
        notes=tuple(shared),
        origin=options.origin,
    )


class _Look:
    """A model and its inputs, to be looked at in several sizes."""

    def __init__(self, model: nn.Module, inputs: Inputs | InputsAt, axis: Axis, options: ProfileOptions) -> None:
        self._model = model
        self._shadow = make_shadow(model)
        self._options = options
        self._make = inputs if callable(inputs) and not isinstance(inputs, nn.Module) else None
        self._call: Call | None = None
        self._following: Following | None = None
        self.changed: tuple[str, ...] = ()
        if self._make is not None:
            if axis.dims is not None:
                raise InputError("A function of the size makes the inputs, so nothing is left to say in dims.")
            return
        self._call = as_call(inputs)
        places = places_of(self._call)
        if axis.dims is None and axis.name not in ("batch", "resolution", "sequence"):
            raise InputError(f"sizes= says how large, not what: {_ASK}={{'input_ids': 1}}.")
        self._following = dims_of(axis.name, places, model) if axis.dims is None else dims_given(axis.dims, places)
        self.changed = tuple(
            _told(place.name, self._following.dims[place.path])
            for place in places
            if place.path in self._following.dims
        )

    def at(self, size: int) -> tuple[tuple[Call | None, str], Profile | None]:
        """Return the call of one size with what went wrong, and the profile."""
        call = None
        try:
            call = self._call_at(size, real=False)
            return (call, ""), self._profile(call, size)
        except Cancelled:
            raise
        except EffError as error:
            if self._make is not None and call is None:
                raise
            return (call, str(error)), None

    def _call_at(self, size: int, *, real: bool) -> Call:
        if self._call is None or self._following is None:
            return _made(self._make, size)
        if real:
            return resized_for_real(self._call, self._following, size)
        return resized(self._call, self._following, size, self._shadow)

    def _profile(self, call: Call, size: int) -> Profile:
        # A tree of its own for each size: some models keep masks or tables of the size that they saw last.
        shadow = dataclasses.replace(self._shadow, model=share(self._shadow.model))
        try:
            return profile_shadow(shadow, call, self._options)
        except EffError as error:
            if not isinstance(error.__cause__, _VALUES_ASKED) or is_empty(self._model, call):
                raise
            return profile(self._model, self._call_at(size, real=True), options=self._options)


def _made(make: InputsAt | None, size: int) -> Call:
    if make is None:
        raise InputError("There are no inputs.")
    try:
        made = make(size)
    except Exception as error:
        name = getattr(make, "__name__", "the function")
        raise InputError(f"The inputs of size {size} could not be made: {name}({size}) raised {error!r}.") from error
    return as_call(made)


def _told(name: str, dims: tuple[int, ...]) -> str:
    return f"{name}, dimension{'s' * (len(dims) > 1)} {', '.join(map(str, dims))}"


def _point(size: int, asked: tuple[Call | None, str], found: Profile | None, shared: list[str]) -> SweepPoint:
    call, fault = asked
    shapes = () if call is None else shapes_of(call)
    if found is None:
        return SweepPoint(size=size, inputs=shapes, note=fault)
    return SweepPoint(
        size=size,
        inputs=shapes,
        cost=found.cost,
        memory=found.memory,
        uncounted=found.uncounted,
        note=" ".join(note for note in found.notes if note not in shared),
    )
