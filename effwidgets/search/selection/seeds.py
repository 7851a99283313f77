"""Where a search begins: plans that are good already, and the options that they and others are made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from effwidgets.profiling.calls import Call
from effwidgets.records import Option, Plan, Profile
from effwidgets.search.advice.survey import survey
from effwidgets.search.selection.ladder import ladder

if TYPE_CHECKING:
    from effwidgets.search.clocks.pieces import Pieces
    from effwidgets.search.engine.options import Evaluate
    from effwidgets.transforms.calibration import Calibration

__all__ = ["Seeds", "seeds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """What a search begins with.

    Attributes:
        plans: each different; the first few spread over the whole range.
        options: what they are made from, and what a sampler draws from (`Space`).
        profile: of the dense model, with its groups.
    """

    plans: tuple[Plan, ...]
    options: tuple[Option, ...]
    profile: Profile


def seeds(  # noqa: PLR0913  all but two have a default
    model: nn.Module,
    call: Call,
    *,
    calibration: Calibration | None = None,
    goals: tuple[str, ...] = ("macs",),
    check: Callable[[], None] | None = None,
    most: int = 24,
    evaluate: Evaluate | None = None,
    pieces: Pieces | None = None,
) -> Seeds:
    """Return at most ``most`` plans to begin with, and the options of the space around them."""
    found = survey(model, call, calibration=calibration, check=check)
    plans = ladder(model, call, calibration=calibration, check=check, most=most)
    return Seeds(plans=plans, options=found.options, profile=found.profile)
