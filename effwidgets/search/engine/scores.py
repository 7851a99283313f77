"""What ``evaluate`` returned, read; and whether it wrote into the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, SupportsFloat, cast

from torch import Tensor, nn

from effwidgets.errors import SearchError
from effwidgets.records import Score

__all__ = ["marks_of", "read_scores"]


def read_scores(found: object, name: str, main: str | None) -> tuple[Score, ...]:
    """Read what ``evaluate`` returned: a number, or numbers by name; the main one comes first.

    Args:
        found: what came.
        name: what to call a plain number.
        main: name that the main score must have; None for the dense model's, whose first one decides.

    Raises:
        SearchError: no finite number, or the main score ``main`` is missing.
    """
    values: Mapping[Any, object] = found if isinstance(found, Mapping) else {name: found}
    if not values:
        raise SearchError("evaluate returned an empty dict; at least one named number was expected.")
    scores = {str(key): _number(value, str(key)) for key, value in values.items()}
    first = next(iter(scores)) if main is None else main
    if first not in scores:
        raise SearchError(f"evaluate returned {', '.join(scores)} and no {first!r}, the main score of the dense model.")
    if not math.isfinite(scores[first]):
        raise SearchError(f"evaluate returned {scores[first]} for {first!r}; a finite number was expected.")
    ordered = {first: scores[first], **scores}
    return tuple(Score(metric=key, value=value) for key, value in ordered.items() if math.isfinite(value))


def _number(value: object, name: str) -> float:
    if isinstance(value, Tensor):
        value = value.detach()
    if not isinstance(value, bool | str | bytes):
        try:
            return float(cast("SupportsFloat", value))  # a number, a numpy scalar, a tensor with one element
        except (TypeError, ValueError, RuntimeError):
            pass
    raise SearchError(f"evaluate returned {type(value).__name__} for {name!r}; a number was expected.")


def marks_of(model: nn.Module) -> tuple[object, ...]:
    """Return what changes when somebody writes into the tensors of ``model``, replaces one, or leaves a hook."""
    tensors = [*model.parameters(), *model.buffers()]
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]  # noqa: SLF001
    return (*((id(tensor), tensor._version) for tensor in tensors), *hooks)  # noqa: SLF001  no public name counts writes
