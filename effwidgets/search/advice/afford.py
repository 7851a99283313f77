"""Which trials are made where there are more than can be paid for: all places first, then the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from effwidgets.records import Option, Profile, Skip

__all__ = ["Affordable", "affordable", "looks_for", "trials_for"]

_MOST: Final = 160
_FEWEST: Final = 24
_FEWEST_LOOKS: Final = 8
_EASY_MACS: Final = 1.5e9  # of one forward
_EASY_LAYERS: Final = 250

Alike: TypeAlias = tuple[object, ...]
SiteName: TypeAlias = tuple[str, tuple[str, ...]]


def trials_for(profile: Profile) -> int:
    """Return how many trials are made at most: 160, fewer for a forward of more than 1.5 billion MACs or 250 layers.

    At least 24. A trial of a large model takes longer, and its list is no better for being complete: its blocks are
    alike.

    >>> from effwidgets import profile
    >>> import torch
    >>> trials_for(profile(torch.nn.Linear(8, 8), torch.ones(1, 8)))
    160
    """
    easy = min(1.0, _EASY_MACS / max(1, profile.cost.macs), _EASY_LAYERS / len(profile.layers))
    return max(_FEWEST, round(_MOST * easy))


def looks_for(profile: Profile) -> int:
    """Return for how many entries of a list the model that they make is profiled at most.

    As many as are tried, and fewer from 250 layers on: one takes as long as the model has modules. At least 8.

    >>> from effwidgets import profile
    >>> import torch
    >>> looks_for(profile(torch.nn.Linear(8, 8), torch.ones(1, 8)))
    160
    """
    return max(_FEWEST_LOOKS, round(trials_for(profile) * min(1.0, _EASY_LAYERS / len(profile.layers))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Affordable:
    """Which options are tried.

    Attributes:
        first: these, in their order.
        then: by site, the settings that are tried where the first one turned out to be worth most.
        most: so many of those.
        skips: why others are left out.
    """

    first: list[Option]
    then: dict[SiteName, list[Option]] = field(default_factory=dict)
    most: int = 0
    skips: list[Skip] = field(default_factory=list)

    def second(self, ranked: Sequence[SiteName]) -> list[Option]:
        """Return what is tried next, when the sites are worth something in this order."""
        return [option for site in ranked for option in self.then.get(site, [])][: max(0, self.most)]


def affordable(options: Sequence[Option], most: int, profile: Profile, goal: str) -> Affordable:
    """Say which ``most`` of the options are tried.

    First every place at its middle setting, and then, where that was worth most, at the others. Where places alone are
    too many, of those that are alike, of one technique and one shape, some are tried, spread over the depth of the
    model: more of those that save more together.
    """
    if len(options) <= most:
        return Affordable(first=list(options))
    sites: dict[tuple[str, tuple[str, ...]], list[Option]] = {}
    for option in options:
        sites.setdefault(option.site, []).append(option)
    single = [tried[len(tried) // 2] for tried in sites.values()]
    if len(single) <= most:
        others = {site: [one for one in tried if one is not tried[len(tried) // 2]] for site, tried in sites.items()}
        return Affordable(first=single, then=others, most=most - len(single))
    alike: dict[Alike, list[Option]] = {}
    layers = {layer.name: layer for layer in profile.layers}
    for option in single:
        held = [layers[name] for name in option.step.layers if name in layers]
        shapes = tuple((layer.kind, tuple(tensor.shape for tensor in layer.tensors), layer.inputs) for layer in held)
        alike.setdefault((option.step.transform, option.step.settings, shapes), []).append(option)
    kinds = sorted(alike.values(), key=lambda kind: -sum(option.saving for option in kind))
    counts = [0] * len(kinds)
    for _ in range(most):
        worth = [
            (sum(option.saving for option in kind) / (1 + count)) * (count < len(kind))
            for kind, count in zip(kinds, counts, strict=True)
        ]
        counts[worth.index(max(worth))] += 1
    taken: set[int] = set()
    skips = []
    for kind, count in zip(kinds, counts, strict=True):
        chosen = _spread(kind, count)
        taken |= {id(option) for option in chosen}
        skips += [_left_out(option, chosen, goal) for option in kind if id(option) not in taken]
    return Affordable(first=[option for option in single if id(option) in taken], skips=skips)


def _spread(kind: Sequence[Option], count: int) -> list[Option]:
    # Evenly over the depth, the middle of each part.
    return [kind[(2 * part + 1) * len(kind) // (2 * count)] for part in range(count)]


def _left_out(option: Option, chosen: Sequence[Option], goal: str) -> Skip:
    if chosen:
        where = ", ".join(", ".join(one.step.layers) for one in chosen[:3])
        more = f" and {len(chosen) - 3} more" if len(chosen) > 3 else ""
        reason = f"not tried: places of the same shape were, {where}{more}"
    else:
        reason = f"not tried: it would save {option.saving:.2%} of {goal}, and others save more"
    return Skip(transform=option.step.transform, layers=option.step.layers, reason=reason)
