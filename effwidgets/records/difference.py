"""Two module trees side by side: which modules go and which come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from effwidgets.records.base import Record
from effwidgets.records.doors import Shown
from effwidgets.units import count_text

__all__ = ["DiffLine", "Difference"]


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
class Difference(Shown, Record):
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
        modules = f"{gone} module{'s' * (gone != 1)} gone, {come} {'come' if come != 1 else 'comes'}"
        return f"Difference({self.before}: {modules}, {self.sizes})"

    def __str__(self) -> str:
        head = f"--- {self.before}\n+++ {self.after}\n@@ {self.sizes} @@\n"
        return head + "\n".join(map(str, self.lines)) if self.lines else f"{head}  no module differs"

    @property
    def sizes(self) -> str:
        """The parameters of both, in words."""
        return f"{count_text(self.params_before)} -> {count_text(self.params_after)} params"
