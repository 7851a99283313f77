"""How a model trains, seen on one batch: norms, dead and saturated units, numbers that are none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from effwidgets.errors import UnknownNameError
from effwidgets.records.base import Record
from effwidgets.records.doors import Shown
from effwidgets.records.exports import Exported
from effwidgets.records.profiles import Shape

__all__ = ["Activity", "Finding", "Gradient", "Health", "LayerHealth"]

Gradient: TypeAlias = Literal["present", "zero", "not finite", "frozen", "not run", "disconnected", "unknown", "none"]
"""What became of the gradient of a layer's own parameters.

"frozen": none of them asks for one. "not run": the layer was not called. "disconnected": it ran, and the loss does not
depend on it. "unknown": there was no backward. "none": it has no parameters.
"""

Severity: TypeAlias = Literal["problem", "warning", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity(Record):
    """Units of one activation function at one place of the forward.

    A unit is a channel or a feature; of a softmax, a row (a head and query). It is dead or saturated when it is so for
    every sample and every position of the batch.

    Attributes:
        layer: dotted path of the module that was running; "" is the model itself.
        function: "relu", "sigmoid", ...
        place: 1 for the first time that this module ran an activation function, and so on.
        after: the layer whose weights stand before it, "" when there is none.
        units: how many there are.
        dead: units that pass on nothing.
        saturated: units that stand at a limit.
        flat: share of all single values that are off or at a limit; about a half is usual behind a ReLU.
        seen: values of one unit that were looked at (samples times positions).
    """

    layer: str
    function: str
    place: int
    after: str
    units: int
    dead: int
    saturated: int
    flat: float
    seen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerHealth(Record):
    """One module of the model. A norm is None where there is none, or where it is no finite number.

    Attributes:
        name: dotted path in ``named_modules()``; "" is the model itself.
        kind: class name of the module.
        calls: how often it ran.
        params: entries of the parameters that it holds itself and that ask for a gradient.
        weight_norm: Euclidean norm of these parameters.
        gradient: what became of their gradient.
        gradient_norm: Euclidean norm of their gradient.
        update_ratio: gradient norm over weight norm; times the learning rate, the relative step of plain SGD.
        output_rms: root of the mean square of what the module returned.
        signal_norm: norm of the gradient of the loss by what the module returned, over the whole batch.
        units: units of activation functions that ran in this module itself, all places together.
        dead: how many of them are dead.
        saturated: how many of them are saturated.
        nonfinite_outputs: entries of its outputs that are infinite or no number.
        nonfinite_gradients: the same of its parameters' gradients.
    """

    name: str
    kind: str
    calls: int
    params: int = 0
    weight_norm: float | None = None
    gradient: Gradient = "none"
    gradient_norm: float | None = None
    update_ratio: float | None = None
    output_rms: float | None = None
    signal_norm: float | None = None
    units: int = 0
    dead: int = 0
    saturated: int = 0
    nonfinite_outputs: int = 0
    nonfinite_gradients: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Record):
    """One thing that a reader should know, with the numbers that it rests on.

    Attributes:
        kind: "nonfinite", "dead", "saturated", "vanishing", "exploding", "disconnected", "not run", "zero", "frozen".
        severity: a problem stops learning somewhere; a warning may; a note is only said.
        layers: where.
        text: what, in a sentence.
    """

    kind: str
    severity: Severity
    layers: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Health(Shown, Exported, Record):
    """The health of a model in one step of training that was not taken.

    Attributes:
        model: class name of the model.
        inputs: shapes of the tensors it was called with.
        loss: which loss the gradients are of, in words.
        loss_value: its value; None when there was none, or it is no finite number.
        train: whether the model ran in training mode.
        layers: every module, parents before children, as in a `Profile`.
        activities: every place where an activation function with a flat side ran, in the order of the forward.
        findings: what a reader should know, the gravest first.
        notes: what was left out, in sentences.
    """

    model: str
    inputs: tuple[Shape, ...]
    loss: str
    loss_value: float | None
    train: bool
    layers: tuple[LayerHealth, ...]
    activities: tuple[Activity, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    origin: str = field(default="", compare=False, metadata={"saved": False})

    def layer(self, name: str) -> LayerHealth:
        """Return the layer at a dotted path; "" is the model itself.

        Raises:
            UnknownNameError: no such layer; the message lists the closest.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise UnknownNameError(f"layer of {self.model}", name, [layer.name for layer in self.layers if layer.name])

    @property
    def loss_text(self) -> str:
        """The value of the loss in words."""
        if self.loss_value is not None:
            return f"{self.loss_value:.4g}"
        return "–" if self.loss.startswith("none") else "not finite"

    def __repr__(self) -> str:
        counts = [(kind, sum(one.severity == kind for one in self.findings)) for kind in ("problem", "warning")]
        said = ", ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in counts if count)
        return f"Health({self.model}: {said or 'nothing found'}, loss {self.loss_text})"
