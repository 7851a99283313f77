"""What a profile will say of channels and seams around a block that was replaced."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from effwidgets.records import Group, Handed, Profile, Seam
from effwidgets.transforms.blocks.sheet import Counted
from effwidgets.transforms.blocks.spots import Spot

__all__ = ["barred_groups", "forgotten", "groups_after", "handed_after", "seams_after"]

_CHANGED = "a block that held them was replaced by an earlier step of this plan; profile the edited model"


def groups_after(profile: Profile, spot: Spot, made: Counted) -> tuple[Group, ...]:
    """Return the groups of channels: the new block's own in the place of the old one's; those around are barred."""
    if not profile.groups:
        return ()  # nobody looked for them
    inside = frozenset(layer.name for layer in (spot.layer, *spot.below))
    return (*barred_groups(profile, inside), *made.groups)


def barred_groups(profile: Profile, gone: Collection[str]) -> tuple[Group, ...]:
    """Return the groups of channels without the layers that are ``gone``; those that these held too are barred.

    Which of them hold what now stands there takes and returns, a profile does not tell.
    """
    found: list[Group] = []
    for group in profile.groups:
        others = tuple(member for member in group.members if member.layer not in gone)
        if len(others) == len(group.members):
            found.append(group)
        elif others:
            found.append(replace(group, name=others[0].layer, members=others, obstacle=group.obstacle or _CHANGED))
    return tuple(found)


def seams_after(profile: Profile, spot: Spot, made: Counted) -> tuple[Seam, ...]:
    """Return the seams of all modules after the block was replaced.

    They stay true of the modules around while the new block keeps its input and output as the old one did; otherwise
    their bytes are known no more.
    """
    old = spot.seam
    whole = sum(layer.self_cost.saved_bytes for layer in made.layers)
    new = replace(
        old,
        whole_bytes=whole,
        inside_bytes=made.inside_bytes,
        keeps_input=made.keeps_input,
        keeps_output=made.keeps_output,
    )
    if (old.keeps_input, old.keeps_output) != (new.keeps_input, new.keeps_output):
        return tuple(new if seam is old else forgotten(seam) for seam in profile.seams)
    gone = f"{old.layer}."
    found = []
    for seam in profile.seams:
        if seam.layer == old.layer:
            found.append(new)
        elif old.layer.startswith(f"{seam.layer}."):
            found.append(
                replace(
                    seam,
                    whole_bytes=seam.whole_bytes + new.whole_bytes - old.whole_bytes,
                    inside_bytes=seam.inside_bytes + new.inside_bytes - old.inside_bytes,
                )
            )
        elif not seam.layer.startswith(gone):
            found.append(seam)
    return tuple(found)


def handed_after(profile: Profile, spot: Spot, made: Counted) -> tuple[Handed, ...]:
    """Return who hands what to whom: the new layers to one another, and all around as before."""
    gone = {one.name for one in spot.below}
    left = (handed for handed in profile.handed if not gone & {handed.maker, handed.taker})
    return (*left, *made.handed)


def forgotten(seam: Seam) -> Seam:
    """Return a seam whose bytes are true no more."""
    return replace(seam, whole_bytes=-1)
