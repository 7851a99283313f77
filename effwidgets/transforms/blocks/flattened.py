"""The picture that a Linear reads as one long row, as far as a profile tells."""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt

from effwidgets.records import LayerProfile, Profile, Shape

__all__ = ["picture_of"]

_PICTURE, _ROWS = 4, 2  # dimensions


def picture_of(profile: Profile, layer: LayerProfile) -> Shape | None:
    """Return ``(channels, height, width)`` of the picture that was flattened into the inputs of a Linear.

    The groups of channels say how many entries in a row belong to one channel; which height and width these are, the
    shapes of the layers before it. Where no layer says it (a pooling inside of a forward), the height nearest to the
    form of the last picture is taken: the order of the entries does not depend on it.

    Returns:
        None where the inputs are no flattened picture of more than one place.
    """
    if len(layer.inputs) != 1 or len(layer.inputs[0]) != _ROWS:
        return None
    rows, entries = layer.inputs[0]
    before = [shape for shape in _pictures(profile, layer) if shape[0] == rows]
    places = _places(profile, layer, entries)
    if places is None:
        known = next((shape for shape in before if shape[1] * shape[2] * shape[3] == entries), None)
        # Nothing in between says so: a picture that goes into the model, or channels that were not followed.
        return known[1:] if known and known[2] * known[3] > 1 else None
    if places == 1:
        return None
    channels = entries // places
    alike = [shape for shape in before if shape[1] == channels]
    exact = next((shape for shape in alike if shape[2] * shape[3] == places), None)
    if exact is not None:
        return exact[1:]
    height = _height(places, alike[0] if alike else None)
    return channels, height, places // height


def _pictures(profile: Profile, layer: LayerProfile) -> Iterator[Shape]:
    # What pictures there were before it, the last one first.
    names = [one.name for one in profile.layers]
    for one in reversed(profile.layers[: names.index(layer.name)]):
        for shape in (*one.outputs, *one.inputs):
            if len(shape) == _PICTURE:
                yield shape
    for shape in profile.inputs:
        if len(shape) == _PICTURE:
            yield shape


def _places(profile: Profile, layer: LayerProfile, entries: int) -> int | None:
    # The entries for one channel; None where the channels are not known, 1 where they are not alike.
    found = [
        (group.channels, member.repeat)
        for group in profile.groups
        for member in group.members
        if member.layer == layer.name and member.side == "in"
    ]
    if not found:
        return None
    repeats = {repeat for _, repeat in found}
    whole = sum(channels * repeat for channels, repeat in found)
    return repeats.pop() if len(repeats) == 1 and whole == entries else 1


def _height(places: int, form: Shape | None) -> int:
    fits = [height for height in range(1, places + 1) if places % height == 0]
    ratio = form[2] / form[3] if form and form[3] else 1.0
    if ratio == 1.0 and isqrt(places) ** 2 == places:
        return isqrt(places)
    return min(fits, key=lambda height: abs(height * height / places - ratio))
