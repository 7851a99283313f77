"""`diff`: two module trees as a text of what goes and what comes, like the difference of two files."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Literal

from torch import nn

from effwidgets.errors import InputError
from effwidgets.records import Difference, DiffLine
from effwidgets.transforms.applied import Applied
from effwidgets.units import shape_text

__all__ = ["diff"]


def diff(before: nn.Module | Applied, after: nn.Module | Applied) -> Difference:
    """Compare two module trees: which modules go and which come, with what they are set to and hold.

    Values are not compared: two models with other weights in the same modules do not differ.

    Args:
        before: a model, or what `apply` returned, whose edited model is meant.
        after: the same.

    Raises:
        InputError: something else.

    >>> before = nn.Sequential(nn.Linear(8, 8))
    >>> print(diff(before, nn.Sequential(nn.Sequential(nn.Linear(8, 2, bias=False), nn.Linear(2, 8)))))
    --- Sequential
    +++ Sequential
    @@ 72 -> 40 params @@
    - 0: Linear(in_features=8, out_features=8, bias=True)  # weight 8 × 8, bias 8
    + 0.0: Linear(in_features=8, out_features=2, bias=False)  # weight 2 × 8
    + 0.1: Linear(in_features=2, out_features=8, bias=True)  # weight 8 × 2, bias 8
    """
    old, new = _model(before), _model(after)
    first, second = list(_lines(old)), list(_lines(new))
    found: list[DiffLine] = []
    matcher = difflib.SequenceMatcher(None, first, second, autojunk=False)
    for word, low, high, start, end in matcher.get_opcodes():
        if word != "equal":
            found += [_signed("-", line) for line in first[low:high]] + [
                _signed("+", line) for line in second[start:end]
            ]
    return Difference(
        before=type(old).__name__,
        after=type(new).__name__,
        lines=tuple(found),
        params_before=sum(parameter.numel() for parameter in old.parameters()),
        params_after=sum(parameter.numel() for parameter in new.parameters()),
    )


def _model(what: nn.Module | Applied) -> nn.Module:
    if isinstance(what, Applied):
        return what.model
    if isinstance(what, nn.Module):
        return what
    raise InputError(f"{type(what).__name__} came; a torch.nn.Module or what apply() returned was expected.")


def _signed(sign: Literal["-", "+", " "], line: tuple[str, str, int, str]) -> DiffLine:
    layer, text, params, shapes = line
    return DiffLine(sign=sign, layer=layer, text=text, params=params, shapes=shapes)


def _lines(model: nn.Module) -> Iterator[tuple[str, str, int, str]]:
    # What only holds others is not a line: its children say it all. One that holds tensors beside them is.
    for layer, module in model.named_modules(remove_duplicate=False):
        held = dict(module.named_parameters(recurse=False))
        if held or next(module.children(), None) is None:
            shapes = [f"{name} {shape_text(tuple(tensor.shape)) or 'number'}" for name, tensor in held.items()]
            text = f"{type(module).__name__}({module.extra_repr()})"
            yield layer, text, sum(tensor.numel() for tensor in held.values()), ", ".join(shapes)
