"""The verbs that ask what would be: two profiles side by side, and other sizes of the inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import nn

from effwidgets.errors import InputError
from effwidgets.profiling import Call, Inputs, ProfileOptions
from effwidgets.records import Comparison, Profile, Sweep
from effwidgets.session.session import session_of

if TYPE_CHECKING:
    from effwidgets.whatif.dims import Dims
    from effwidgets.whatif.sweep import InputsAt

__all__ = ["compare", "sweep"]


def compare(before: Profile, after: Profile) -> Comparison:
    """Set two profiles side by side, layer by layer.

    Layers are met by their paths. A layer that became a container of new ones is one row, with its parts below it.
    Different inputs, dtypes, modes or machines are a warning in what comes back.

    Args:
        before: a profile.
        after: another one: of the edited model, of another model, of the same model called otherwise.

    Returns:
        A `Comparison`. Its `places` are the layers that differ; their changes add up to the model's, to the integer.

    Raises:
        InputError: something else than two profiles. For a plan that was not applied there is `preview`.

    Example:
        >>> import torch
        >>> from effwidgets import compare, profile
        >>> wide, narrow = (torch.nn.Sequential(torch.nn.Linear(8, n), torch.nn.Linear(n, 2)) for n in (16, 12))
        >>> x = torch.zeros(4, 8)
        >>> compare(profile(wide, x), profile(narrow, x)).change.macs
        -160
    """
    from effwidgets.whatif.comparison import compare as compare_profiles

    return compare_profiles(before, after)


def sweep(  # noqa: PLR0913  a verb of the package: the four axes exclude each other, the rest have a default
    model: nn.Module,
    inputs: Inputs | InputsAt | None = None,
    *,
    batch: int | Iterable[int] | None = None,
    resolution: int | Iterable[int] | None = None,
    sequence: int | Iterable[int] | None = None,
    sizes: int | Iterable[int] | None = None,
    dims: Dims | None = None,
    options: ProfileOptions | None = None,
) -> Sweep:
    """Say what ``model`` would cost with other sizes of its inputs, and how each cost grows.

    Runs on one shadow of the model: nothing of any size is allocated. Tokens and masks are repeated or cut, never made
    up. A size at which the model fails is a point with the reason.

    Exact are the points: each is what `profile` gives at that size. A formula ("64·n² + 7,424·n") goes through every
    point from `Growth.since` on, to the integer, and is verified by at least one point more than it has coefficients;
    between and beyond the points it is an extrapolation, and where a size does not divide by a stride it is off. What
    no polynomial up to n⁴ goes through gets the slope of its logarithms, with the largest distance from it.

    Args:
        model: any ``torch.nn.Module``; it is not changed.
        inputs: as in `profile`, at any size; or a function that takes a size and returns inputs, for all that cannot
            be guessed. Left out: the call seen last.
        batch: sizes of the first dimension of every tensor that shares the first tensor's batch.
        resolution: sizes of the shorter side of pictures (last two dimensions of four) and volumes (last three of
            five); the other sides keep their proportion.
        sequence: lengths of tokens (second dimension of whole numbers), of features (second of three), and of the masks
            that share it.
        sizes: of what ``dims`` names, or of what the function takes, where it is none of these.
        dims: which dimensions of which inputs follow: ``{"input_ids": 1, "mask": (2, 3)}``, by keyword or by number.
        options: training mode, optimizer, whether to run the backward.

    Returns:
        A `Sweep`: points, growth of the model, the layers that make the growth, and `largest` for a budget.

    Raises:
        InputError: it is not clear which sizes follow; the message names the tensor.

    Example:
        >>> import torch
        >>> from effwidgets import sweep
        >>> found = sweep(torch.nn.Linear(8, 4), torch.zeros(2, 8), batch=(1, 2, 4, 8))
        >>> found.growth_of("macs").formula(), found.largest(macs=1_000).reckoned
        ('32·n', 31)
    """
    from effwidgets.whatif.sweep import axis_of
    from effwidgets.whatif.sweep import sweep as sweep_model

    given: object = options
    if not isinstance(given, ProfileOptions | None):
        raise InputError(f"options is {type(given).__name__}; ProfileOptions(train=True, ...) was expected.")
    session = session_of(model)
    axis = axis_of({"batch": batch, "resolution": resolution, "sequence": sequence, "sizes": sizes}, dims)
    named = dataclasses.replace(options or ProfileOptions(), origin=session.name)
    made: Inputs | InputsAt = inputs if callable(inputs) else session.call(inputs)
    found = sweep_model(model, made, axis, options=named)
    if isinstance(made, Call) and any(point.cost is not None for point in found.points):
        session.seen = made
    return found
