"""What a module with others inside takes and returns after channels are removed, and what autograd keeps around it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from effwidgets.records import Group, LayerProfile, Profile, Seam, Shape
from effwidgets.transforms.dtypes import bytes_each
from effwidgets.transforms.prune.trims import Trim

__all__ = ["Ends", "ends_of", "narrowed_layers", "seams_after"]


@dataclass(frozen=True, slots=True)
class Ends:
    """Whether the channels of a group come into a module, and whether they go out of it."""

    into: bool
    out: bool


def ends_of(name: str, group: Group, makers: Collection[str], *, touched: bool = False) -> Ends:
    """Tell where the channels of ``group`` cross the ends of the module at ``name``, from who holds them where.

    They come in where one inside reads what one outside makes, and go out where one inside makes what one outside
    reads. A module that only passes them on has them at both ends.

    Args:
        name: dotted path of the module.
        group: the channels.
        makers: the members that make them; other members on the "out" side pass them on.
        touched: whether the module keeps some of them for the backward.

    >>> from effwidgets.records import Member
    >>> group = Group(name="a", channels=4, members=(Member(layer="a", side="out"), Member(layer="b.c", side="in")))
    >>> ends_of("b", group, {"a"})
    Ends(into=True, out=False)
    """
    inside = {(member.layer in makers, member.side) for member in group.members if _within(member.layer, name)}
    outside = {(member.layer in makers, member.side) for member in group.members if not _within(member.layer, name)}
    made, read = (True, "out") in inside, any(side == "in" for _, side in inside)
    made_else, read_else = (True, "out") in outside, any(side == "in" for _, side in outside)
    if not made and not read:
        passes = bool(inside or touched) and made_else and read_else
        return Ends(passes, passes)
    return Ends(read and made_else, made and read_else)


def narrowed_layers(trim: Trim, known: Mapping[str, LayerProfile]) -> Iterator[LayerProfile]:
    """Yield the modules that are no members themselves with the shapes that they take and return afterwards.

    Args:
        trim: what goes.
        known: layers that are told already, by name.
    """
    group, makers = trim.group, trim.makers()
    members = {member.layer for member in group.members if not member.tensor}
    keeps = {name for name, _ in group.saved_at}
    flat = not trim.layers[group.name].kind.startswith("Conv")
    for name, layer in trim.layers.items():
        if not name or name in members:
            continue
        ends = ends_of(name, group, makers, touched=name in keeps)
        now = known.get(name, layer)
        inputs = _narrowed(now.inputs, trim, flat=flat) if ends.into else now.inputs
        outputs = _narrowed(now.outputs, trim, flat=flat) if ends.out else now.outputs
        if (inputs, outputs) != (now.inputs, now.outputs):
            yield replace(now, inputs=inputs, outputs=outputs)


def seams_after(profile: Profile, trim: Trim) -> tuple[Seam, ...]:
    """Return the seams of ``profile`` when the channels are gone.

    What is kept inside shrinks as `Group.saved_at` says. What is counted inside and kept by others too is the input,
    the output or both, told apart by their sizes; a seam whose sizes fit none of these is left out.
    """
    found = (_seam_after(seam, trim, trim.layers[seam.layer], profile.dtype) for seam in profile.seams)
    return tuple(seam for seam in found if seam is not None)


def _seam_after(seam: Seam, trim: Trim, layer: LayerProfile, dtype: str) -> Seam | None:
    group, removed = trim.group, trim.removed
    less = removed * sum(each for name, each in group.saved_at if _within(name, seam.layer))
    ends = ends_of(seam.layer, group, trim.makers(), touched=less > 0)
    if not (ends.into or ends.out):
        return replace(seam, whole_bytes=seam.whole_bytes - less, inside_bytes=seam.inside_bytes - less)
    each = bytes_each(dtype)
    taken, returned = (prod(shapes[0]) * each for shapes in (layer.inputs, layer.outputs))
    lost = taken // _channels(layer.inputs[0], group.channels) * removed if ends.into else 0
    gone = returned // _channels(layer.outputs[0], group.channels) * removed if ends.out else 0
    shared = {0: 0, taken: lost, returned: gone, taken + returned: lost + gone}
    outside = seam.whole_bytes - seam.inside_bytes
    if outside not in shared or (outside == taken == returned and lost != gone):
        return None
    return replace(
        seam,
        whole_bytes=seam.whole_bytes - less,
        inside_bytes=seam.inside_bytes - (less - shared[outside]),
        input_bytes=seam.input_bytes - (lost if seam.input_bytes else 0),
        output_bytes=seam.output_bytes - (gone if seam.output_bytes else 0),
    )


def _narrowed(shapes: tuple[Shape, ...], trim: Trim, *, flat: bool) -> tuple[Shape, ...]:
    if not shapes:
        return shapes
    first, removed = list(shapes[0]), trim.removed
    place = len(first) - 1 if flat or len(first) == 2 else 1
    if _tokens(first, trim.group.channels):
        place = len(first) - 1  # behind a convolution that makes patches
    if not 0 <= place < len(first) or first[place] <= removed:
        return shapes
    first[place] -= removed
    return (tuple(first), *shapes[1:])


def _channels(shape: Shape, channels: int) -> int:
    return shape[-1 if _tokens(shape, channels) else 1]  # seams are of pictures and of rows


def _tokens(shape: Sequence[int], channels: int) -> bool:
    return len(shape) > 2 and shape[-1] == channels != shape[1]


def _within(layer: str, name: str) -> bool:
    return layer == name or layer.startswith(f"{name}.")
