"""Two profiles side by side: what differs, layer by layer, and by how much."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from effwidgets.errors import UnknownNameError
from effwidgets.records.base import Plain, Record
from effwidgets.records.doors import Shown
from effwidgets.records.exports import Exported
from effwidgets.records.measures import Cost
from effwidgets.records.profiles import Profile
from effwidgets.units import bytes_text, signed_text

__all__ = ["FOUR", "Comparison", "Fact", "LayerChange", "LayerState", "MemoryChange", "Quantity"]

Quantity: TypeAlias = Literal["param_bytes", "inference_peak_bytes", "saved_bytes", "training_peak_bytes"]
FOUR: Final[tuple[Quantity, ...]] = get_args(Quantity)
"""The four numbers of memory, by their fields in `Memory`."""

LayerState: TypeAlias = Literal["same", "inside", "changed", "replaced", "removed", "added"]
"""What became of a layer. "inside": it is as it was, and something below it is not. "replaced": a layer without
children became one with children, or the other way round. "removed" and "added" layers stand in one profile only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact(Record):
    """One thing about a layer that is not what it was: ``Fact(what="out_channels", before=64, after=48)``.

    Attributes:
        what: "class"; a setting of the layer ("stride"); "calls", "aliases"; "inputs", "outputs"; or a tensor and what
            of it ("weight shape", "weight dtype", "weight trainable", "weight tied to").
        before: None where there was nothing.
        after: None where there is nothing.
    """

    what: str
    before: Plain
    after: Plain

    def __str__(self) -> str:
        return f"{self.what} {_value(self.before)} → {_value(self.after)}"


def _value(value: Plain) -> str:
    if isinstance(value, tuple):
        nested = any(isinstance(item, tuple) for item in value)
        return ", ".join(map(_value, value)) if nested else " × ".join(map(str, value)) or "scalar"
    return "none" if value is None else str(value)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LayerChange(Record):
    """One place of the model, before and after.

    Attributes:
        name: dotted path of the layer, the same in both profiles.
        state: what became of it.
        part_of: for a layer that was added or removed together with what holds it, the path of the layer whose
            `whole_change` holds its cost already; None for all others.
        before_kind: class of the module before; "" where there was none.
        after_kind: class of the module after; "" where there is none.
        facts: what is not what it was; empty where there is nothing to say but the cost.
        before: cost with everything below it; zero where the layer was not there.
        after: the same afterwards.
        own_before: its own work alone.
        own_after: the same afterwards.
        latency_before_s: measured time of the layer, None where it was not measured.
        latency_after_s: the same afterwards.
    """

    name: str
    state: LayerState
    part_of: str | None = None
    before_kind: str = ""
    after_kind: str = ""
    facts: tuple[Fact, ...] = ()
    before: Cost = Cost()
    after: Cost = Cost()
    own_before: Cost = Cost()
    own_after: Cost = Cost()
    latency_before_s: float | None = None
    latency_after_s: float | None = None

    @property
    def change(self) -> Cost:
        """Cost with everything below it, after minus before."""
        return self.after - self.before

    @property
    def own_change(self) -> Cost:
        """Its own work alone, after minus before."""
        return self.own_after - self.own_before

    @property
    def whole(self) -> bool:
        """Whether the layer stands for everything below it: it was replaced, removed or added as a whole."""
        return self.state in ("replaced", "removed", "added")

    @property
    def whole_change(self) -> Cost:
        """What this place adds to the change of the model; over `Comparison.places` these add up to it exactly."""
        return self.change if self.whole else self.own_change

    @property
    def telling(self) -> tuple[Fact, ...]:
        """The facts that say what happened, without the shapes that follow from them."""
        said = tuple(fact for fact in self.facts if not fact.what.endswith(("inputs", "outputs", " shape")))
        return said or self.facts

    def __repr__(self) -> str:
        change = self.whole_change
        costs = f"{signed_text(change.params)} params, {signed_text(change.macs)} MACs"
        return f"LayerChange({self.name!r} {self.state}, {costs})"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryChange(Record):
    """One of the four memory numbers, in bytes, with the layer responsible; None where it was not measured.

    Attributes:
        quantity: the field of `Memory`.
        before: bytes before.
        after: bytes after.
        before_at: the layer at which the peak was met; for sums, the layer that holds most of it itself.
        after_at: the same afterwards.
    """

    quantity: Quantity
    before: int | None
    after: int | None
    before_at: str | None = None
    after_at: str | None = None

    @property
    def change(self) -> int | None:
        """After minus before; None where either was not measured."""
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Comparison(Shown, Exported, Record):
    """Two profiles beside one another; ``str()`` lists the places that differ.

    Attributes:
        before: the first profile.
        after: the second one.
        layers: every layer of either, parents before children, in the order of the first profile.
        memory: the four numbers.
        warnings: what makes the two unlike for another reason than the change itself: other inputs, another dtype,
            another machine. Sentences.
        notes: what a reader must know beside that, in sentences.
        origin: name of the session that made it; "" when none did. Neither compared nor saved.
    """

    before: Profile
    after: Profile
    layers: tuple[LayerChange, ...]
    memory: tuple[MemoryChange, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    origin: str = field(default="", compare=False, metadata={"saved": False})

    @property
    def change(self) -> Cost:
        """Cost of the model, after minus before."""
        return self.after.cost - self.before.cost

    @property
    def latency_change_s(self) -> float | None:
        """Change of the measured median; None where either was not measured."""
        one, other = self.before.latency, self.after.latency
        return None if one is None or other is None else other.median_s - one.median_s

    def places(self) -> Iterator[LayerChange]:
        """Yield the layers that differ themselves, each change once: their `LayerChange.whole_change` add up."""
        for layer in self.layers:
            if layer.part_of is None and layer.state not in ("same", "inside"):
                yield layer

    def layer(self, name: str) -> LayerChange:
        """Return the layer at a dotted path; "" is the model itself.

        Raises:
            UnknownNameError: it stands in neither profile; the message lists the closest.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise UnknownNameError("layer in either profile", name, [layer.name for layer in self.layers if layer.name])

    def __str__(self) -> str:
        lines = [repr(self)]
        for place in self.places():
            kinds = [kind for kind in (place.before_kind, place.after_kind) if kind]
            told = [str(fact) for fact in place.telling if fact.what != "class"]
            what = ", ".join([f"{place.state} {' → '.join(dict.fromkeys(kinds))}", *told])
            lines.append(f"  {place.name or 'the model itself'}: {what}")
        return "\n".join([*lines, *(f"  ! {warning}" for warning in self.warnings)])

    def __repr__(self) -> str:
        count, change = sum(1 for _ in self.places()), self.change
        differ = "place differs" if count == 1 else "places differ"
        return (
            f"Comparison({self.before.model} and {self.after.model}: {count} {differ}, "
            f"{signed_text(change.params)} params, {signed_text(change.macs)} MACs, "
            f"{signed_text(change.saved_bytes, bytes_text)} saved for backward)"
        )
