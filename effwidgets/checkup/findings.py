"""What the health of a model says in words, with the numbers that it rests on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from effwidgets.records import Activity, Finding, Gradient

__all__ = ["Pulse", "findings_of"]

_MANY: Final = 0.1  # share of units from which on it is said
_MOST: Final = 0.9  # share of single values at a limit
_ENOUGH: Final = 32  # values of a unit: with fewer, units that are off half of the time look dead by chance
_STEEP: Final = 1e3  # of a gradient between the first and the last quarter of the layers
_STEEPER: Final = 1e6
_WILD: Final = 1e4  # of the outputs
_FEWEST: Final = 4  # layers that make a chain
_TWO_SIDED: Final = frozenset({"sigmoid", "tanh", "hardsigmoid", "hardtanh", "relu6"})
_GRAVITY: Final = {"problem": 0, "warning": 1, "note": 2}


@dataclass(slots=True)
class Pulse:
    """What was seen of one module while it ran."""

    name: str
    kind: str
    calls: int = 0
    order: int = 0
    params: int = 0
    matrix: bool = False
    weight_norm: float | None = None
    gradient: Gradient = "none"
    gradient_norm: float | None = None
    bad_weights: int = 0
    bad_outputs: int = 0
    bad_gradients: int = 0
    entries: int = 0
    square: float = 0.0
    signal_square: float | None = None
    units: int = 0
    dead: int = 0
    saturated: int = 0

    @property
    def output_rms(self) -> float | None:
        """Root of the mean square of the outputs."""
        value = math.sqrt(self.square / self.entries) if self.entries else math.nan
        return value if math.isfinite(value) else None

    @property
    def signal_norm(self) -> float | None:
        """Norm of the gradient by the outputs; None where none came back."""
        if self.signal_square is None or not math.isfinite(self.signal_square):
            return None
        return math.sqrt(self.signal_square)


def findings_of(
    pulses: Sequence[Pulse], activities: Sequence[Activity], *, bad: tuple[str | None, str | None, bool]
) -> tuple[Finding, ...]:
    """Return what a reader should know, the gravest first.

    Said are: units that are dead or saturated from a tenth of a layer on, where at least 32 values of each were seen
    (or all of them are); a gradient that is 1,000 times smaller or larger at the first quarter of the layers with
    matrices than at the last, a problem from a million on; outputs that grow or shrink by 10,000; gradients that are
    zero or missing; whatever is not finite. These bounds are ours, wide enough that models at their usual first weights
    pass.

    Args:
        pulses: the modules.
        activities: the activation functions.
        bad: where outputs and where gradients first were not finite, and whether the loss was not.
    """
    found = [*_nonfinite(pulses, *bad), *_chains(pulses)]
    for one in activities:
        said = _flat(one, "dead", one.dead) + _flat(one, "saturated", one.saturated)
        found += said or _full(one)
    found += _gradients(pulses)
    return tuple(sorted(found, key=lambda one: _GRAVITY[one.severity]))


def _quoted(names: Sequence[str], most: int = 4) -> str:
    said = ", ".join(repr(name) if name else "the model itself" for name in names[:most])
    return said + (f" and {len(names) - most} more" if len(names) > most else "")


def _nonfinite(pulses: Sequence[Pulse], output: str | None, signal: str | None, loss: bool) -> list[Finding]:  # noqa: FBT001
    found = []
    held = {pulse.name: pulse.bad_weights for pulse in pulses if pulse.bad_weights}
    if held:
        text = f"Weights that are infinite or no number: {sum(held.values()):,} entries in {_quoted(list(held))}."
        found.append(Finding(kind="nonfinite", severity="problem", layers=tuple(held), text=text))
    if output is not None:
        names = [pulse.name for pulse in pulses if pulse.bad_outputs]
        count = next((pulse.bad_outputs for pulse in pulses if pulse.name == output), 0)
        where = output if output == "the inputs" else _quoted([output])
        first = (
            f"{count:,} entries of what it returned"
            if count
            else "before any layer inside it ran" * (output != "the inputs")
        )
        text = f"Infinite numbers, or none, first appear in {where}" + (f" ({first})" if first else "")
        text += f" and reach the outputs of {len(names)} modules." if names else "."
        layers = tuple(dict.fromkeys([output, *names])) if output != "the inputs" else tuple(names)
        found.append(Finding(kind="nonfinite", severity="problem", layers=layers, text=text))
    elif loss:
        text = "The outputs are finite and the loss is not: look at the loss (a logarithm of 0, a division by 0)."
        found.append(Finding(kind="nonfinite", severity="problem", layers=(), text=text))
    if signal is not None and output is None and not loss:
        names = [pulse.name for pulse in pulses if pulse.bad_gradients]
        text = (
            f"On the way back, infinite gradients, or none, first appear at the outputs of {_quoted([signal])}: what "
        )
        text += f"follows it in the forward made them (a square root or logarithm of 0). {len(names)} layers have them."
        found.append(Finding(kind="nonfinite", severity="problem", layers=(signal, *names), text=text))
    return found


def _chains(pulses: Sequence[Pulse]) -> list[Finding]:
    """Compare the first layers with weights to the last ones, in the order in which they ran."""
    chain = sorted((pulse for pulse in pulses if pulse.matrix and pulse.calls), key=lambda pulse: pulse.order)
    found = []
    ends = _ends(chain, lambda pulse: pulse.signal_norm)
    if ends is not None:
        first, last, names, steps = ends
        ratio = first / last
        if not 1 / _STEEP <= ratio <= _STEEP:
            kind, word = ("vanishing", "shrinks") if ratio < 1 else ("exploding", "grows")
            grave = not 1 / _STEEPER <= ratio <= _STEEPER
            text = (
                f"The gradient {word} on its way back: its norm is {last:.2g} at the outputs of {_quoted(names[1:])} "
                f"and {first:.2g} at those of {_quoted(names[:1])}, {_times(ratio, steps)} a layer over {steps + 1} "
                "layers."
            )
            found.append(Finding(kind=kind, severity="problem" if grave else "warning", layers=names, text=text))
    ends = _ends(chain, lambda pulse: pulse.output_rms)
    if ends is not None:
        first, last, names, steps = ends
        if not 1 / _WILD <= last / first <= _WILD:
            kind, word = ("vanishing", "shrink") if last < first else ("exploding", "grow")
            text = (
                f"The outputs {word} on the way forward: their root mean square is {first:.2g} at {_quoted(names[:1])} "
                f"and {last:.2g} at {_quoted(names[1:])}, {_times(last / first, steps)} a layer over {steps + 1} "
                "layers."
            )
            found.append(Finding(kind=kind, severity="warning", layers=names, text=text))
    return found


def _times(ratio: float, steps: int) -> str:
    return f"× {ratio ** (1 / steps):.2g}"


def _ends(
    chain: Sequence[Pulse], value: Callable[[Pulse], float | None]
) -> tuple[float, float, tuple[str, str], int] | None:
    """Return the geometric means over the first and last quarter, the layers at the ends, and the steps between.

    Layers where the value is zero or unknown are left out: they are said elsewhere.
    """
    known = [(pulse.name, number) for pulse in chain if (number := value(pulse))]
    if len(known) < _FEWEST:
        return None
    quarter = len(known) // 4
    first = math.exp(sum(math.log(number) for _, number in known[:quarter]) / quarter)
    last = math.exp(sum(math.log(number) for _, number in known[-quarter:]) / quarter)
    return first, last, (known[0][0], known[-1][0]), len(known) - quarter


def _flat(one: Activity, kind: str, count: int) -> list[Finding]:
    share = count / one.units if one.units else 0.0
    if share < _MANY or (share < 1 and one.seen < _ENOUGH):
        return []
    what = "pass on nothing" if kind == "dead" else "stand at a limit"
    text = f"{count:,} of {one.units:,} units of {_where(one)} {what} for the whole batch, {one.seen:,} values each."
    # One row of a softmax that is sure of itself is what a trained classifier ends with.
    whole = share == 1 and one.function != "softmax"
    if whole:
        text += " No gradient comes through it." if kind == "dead" else " Hardly any gradient comes through it."
    return [Finding(kind=kind, severity="problem" if whole else "warning", layers=_layers(one), text=text)]


def _full(one: Activity) -> list[Finding]:
    # No unit is always at a limit, but nearly all values are: each on one side or the other.
    if one.flat < _MOST or one.function not in _TWO_SIDED or one.units * one.seen < _ENOUGH:
        return []
    text = f"{one.flat:.0%} of the values of {_where(one)} stand at a limit: little gradient comes through it."
    return [Finding(kind="saturated", severity="warning", layers=_layers(one), text=text)]


def _where(one: Activity) -> str:
    place = f"place {one.place} of " if one.place > 1 else ""
    after = f", after {one.after!r}" if one.after and one.after != one.layer else ""
    return f"{one.function} ({place}{_quoted([one.layer])}{after})"


def _layers(one: Activity) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, (one.layer, one.after)))) or ("",)


def _gradients(pulses: Sequence[Pulse]) -> list[Finding]:
    groups = {
        "zero": ("problem", "have a gradient of exactly zero: nothing that they do reaches the loss with a slope"),
        "disconnected": (
            "warning",
            "ran and have no gradient: the loss does not depend on them (cut off by detach, or unused)",
        ),
        "not run": ("warning", "ask for a gradient and were not run in this call"),
        "frozen": ("note", "are frozen: no parameter of theirs asks for a gradient"),
    }
    found = []
    for verdict, (severity, words) in groups.items():
        names = tuple(pulse.name for pulse in pulses if pulse.gradient == verdict)
        if names:
            plural = f"{len(names)} layers" if len(names) > 1 else "1 layer"
            said = words if len(names) > 1 else _singular(words)
            text = f"{plural} {said}: {_quoted(names)}."
            found.append(Finding(kind=verdict, severity=severity, layers=names, text=text))  # type: ignore[arg-type]
    return found


def _singular(words: str) -> str:
    swaps = (
        ("have ", "has "),
        ("ask ", "asks "),
        ("were ", "was "),
        ("are ", "is "),
        ("on them", "on it"),
        ("they do", "it does"),
        ("of theirs asks", "of it asks"),
    )
    for many, one in swaps:
        words = words.replace(many, one, 1)
    return words
