"""How widths are looked for that a machine likes."""

from __future__ import annotations

from dataclasses import dataclass

from effwidgets.records import Profile

__all__ = ["WidthOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WidthOptions:
    """How widths are looked for.

    Attributes:
        within: how far from the asked width, as a share of it.
        seconds: about how long one step is measured; twice that where another width is taken.
        known: the profile of the model with its inputs, with groups, where it is at hand.
    """

    within: float = 0.15
    seconds: float = 1.0
    known: Profile | None = None
