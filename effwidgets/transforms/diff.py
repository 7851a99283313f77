"""`diff`: two module trees as a text of what goes and what comes, like the difference of two files."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import nn

from effwidgets.errors import InputError
from effwidgets.records import Record
from effwidgets.transforms.applied import Applied
from effwidgets.units import count_text, shape_text

__all__ = ["DiffLine", "Difference", "diff"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffLine(Record):
    """One module in one of two trees.

    Attributes:
        sign: "-" in the first tree only, "+" in the second only, " " in both and shown for the surroundings.
        layer: dotted path; "" is the model itself.
        text: its class and what it is set to.
        params: entries of the parameters that it holds itself.
        shapes: those of its parameters, in words.
    """

    sign: Literal["-", "+", " "]
    layer: str
    text: str
    params: int
    shapes: str

    def __str__(self) -> str:
        held = f"  # {self.shapes}" if self.shapes else ""
        return f"{self.sign} {self.layer or '(the model)'}: {self.text}{held}"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Difference(Record):
    """What changed from one module tree to another; ``print`` it to read it, in a notebook it shows itself.

    Attributes:
        before: class name of the first model.
        after: class name of the second.
        lines: the modules that differ, in the order of the trees.
        params_before: entries of all parameters, each counted once.
        params_after: the same of the second.
    """

    before: str
    after: str
    lines: tuple[DiffLine, ...]
    params_before: int
    params_after: int

    def __len__(self) -> int:
        return len(self.lines)

    def __repr__(self) -> str:
        gone, come = (sum(line.sign == sign for line in self.lines) for sign in "-+")
        return f"Difference({self.before}: {gone} modules gone, {come} come, {self._sizes()})"

    def __str__(self) -> str:
        head = f"--- {self.before}\n+++ {self.after}\n@@ {self._sizes()} @@\n"
        return head + "\n".join(map(str, self.lines)) if self.lines else f"{head}  no module differs"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Show the text in a notebook, as it is."""
        del include, exclude
        return {"text/plain": str(self)}

    def _sizes(self) -> str:
        return f"{count_text(self.params_before)} -> {count_text(self.params_after)} params"


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
