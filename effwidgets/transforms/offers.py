"""Where each technique can be applied to a profiled model: all techniques in one list."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from effwidgets.records import Profile, Site, Sites, Skip, Technique
from effwidgets.transforms.base import TRANSFORMS, Transform

__all__ = ["sites_of", "technique_of"]


def sites_of(profile: Profile, techniques: Iterable[str] | None = None) -> Sites:
    """Ask techniques where they apply; one that raises is a skip of its own: it may be a stranger's.

    Args:
        profile: of the model, with groups and a second opinion where channels may be removed.
        techniques: their names; all when None.

    Raises:
        UnknownNameError: no such technique; the message lists the known ones.

    >>> import torch
    >>> from effwidgets import profile
    >>> found = sites_of(profile(torch.nn.Sequential(torch.nn.Linear(64, 64)), torch.ones(1, 64)), ["low_rank"])
    >>> found.sites[0].knobs[0].break_even
    31
    """
    names = list(TRANSFORMS) if techniques is None else list(techniques)
    asked = [(name, TRANSFORMS[name]) for name in names]
    sites: list[Site] = []
    skips: list[Skip] = []
    for name, transform in asked:
        try:
            for found in transform.sites(profile):
                if isinstance(found, Site):
                    sites.append(found)
                else:
                    skips.append(found)
        except Exception as error:  # noqa: BLE001  a plug-in may raise anything
            skips.append(Skip(transform=name, layers=(), reason=f"it could not look at this model: {error}"))
    return Sites(
        model=profile.model,
        techniques=tuple(technique_of(name, transform) for name, transform in asked),
        sites=tuple(sites),
        skips=tuple(skips),
        origin=profile.origin,
    )


def technique_of(name: str, transform: Transform) -> Technique:
    """Return what a transformation says of itself; the summary is the first sentence of its docstring."""
    paragraph = (inspect.getdoc(type(transform)) or "").partition("\n\n")[0]
    summary = " ".join(paragraph.split()).replace("`", "")
    return Technique(
        name=name,
        family=transform.family,
        phase=transform.phase,
        exact=tuple(sorted(transform.exact)),
        summary=summary,
    )
