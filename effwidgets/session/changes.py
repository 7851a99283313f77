"""Verbs about what can be done to a model, technique by technique."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from torch import nn

from effwidgets.errors import InputError
from effwidgets.profiling import Inputs, ProfileOptions
from effwidgets.records import Sites
from effwidgets.session.session import session_of
from effwidgets.transforms.base import TRANSFORMS

__all__ = ["sites"]


def sites(model: nn.Module, inputs: Inputs | None = None, *, technique: str | Iterable[str] | None = None) -> Sites:
    """Say where each technique can be applied, with which settings, and why not elsewhere: expert choices too.

    `suggest` tries and ranks what is advised; this lists all that a `Plan` may name. Nothing is tried.

    Args:
        model: any ``torch.nn.Module``.
        inputs: as in `profile`; left out: the call seen last.
        technique: the name of one, or of several; left out: all.

    Returns:
        `Sites`: by technique, the sites with their settings and the skips with their reasons.

    Raises:
        UnknownNameError: no such technique; the message lists the known ones.

    Example:
        >>> import torch
        >>> from effwidgets import sites
        >>> found = sites(torch.nn.Sequential(torch.nn.Linear(64, 64)), torch.ones(1, 64), technique="low_rank")
        >>> found.sites[0].layers, found.sites[0].knobs[0].break_even
        (('0',), 31)
    """
    names = _names(technique)
    for name in names or ():
        TRANSFORMS[name]
    session = session_of(model)
    profile = session.profile(inputs, ProfileOptions(second_opinion=True))
    from effwidgets.transforms.offers import sites_of

    return dataclasses.replace(sites_of(profile, names), origin=session.name)


def _names(technique: object) -> list[str] | None:
    if technique is None or isinstance(technique, str):
        return None if technique is None else [technique]
    held = list(technique) if isinstance(technique, Iterable) else []
    if not held or not all(isinstance(name, str) for name in held):
        raise InputError(f"technique is {technique!r}; a name such as 'low_rank', or several, were expected.")
    return held
