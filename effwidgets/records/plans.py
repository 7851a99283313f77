"""What could be done, what is to be done, what was done: sites, steps, plans, edits, suggestions."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.records.base import Plain, Record, Settings, settings
from effwidgets.records.doors import Shown
from effwidgets.records.latencies import LatencyChange
from effwidgets.records.measures import Cost, Latency, Memory, Score
from effwidgets.records.profiles import Group

__all__ = ["Edit", "Kept", "Knob", "Piece", "Plan", "Site", "Skip", "Step", "Suggestion", "Suggestions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob(Record):
    """One setting of a technique at one site, with its range.

    Attributes:
        name: the key in `Step.settings` ("rank", "channels").
        kind: what its values are; "int" runs from ``low`` to ``high``, "choice" is one of ``choices``.
        low: smallest value.
        high: largest value; "nothing removed" where the technique has such a setting.
        choices: the values of a choice.
        break_even: largest value that still saves parameters or MACs; None where every value does.
        multiple: values are whole multiples of it, as ``low`` and ``high`` are: channels of a convolution in groups.
    """

    name: str
    kind: Literal["int", "float", "choice"]
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    break_even: float | None = None
    multiple: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Site(Record):
    """A place where a technique can be applied.

    Attributes:
        transform: name of the technique.
        layers: where.
        knobs: what can be set.
        reason: what it would be there, in one sentence.
        warnings: bad news of an expert choice, in plain words.
        advised: whether `suggest` tries it; an expert choice is only done when it is asked for by name.
    """

    transform: str
    layers: tuple[str, ...]
    knobs: tuple[Knob, ...]
    reason: str
    warnings: tuple[str, ...] = ()
    advised: bool = True

    def step(self, **values: Plain) -> Step:
        """Return the step that does it here, with these settings.

        >>> Site(transform="low_rank", layers=("fc",), knobs=(), reason="it is wide").step(rank=8)
        Step(transform='low_rank', layers=('fc',), settings=(('rank', 8),))
        """
        return Step(transform=self.transform, layers=self.layers, settings=settings(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip(Record):
    """A place where a technique is not offered, or a step that was not done, and why."""

    transform: str
    layers: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Record):
    """One technique at one site with its settings: ``Step(transform="low_rank", layers=("fc",), settings=...)``."""

    transform: str
    layers: tuple[str, ...]
    settings: Settings = ()

    def __post_init__(self) -> None:
        layers: object = self.layers
        if not isinstance(layers, tuple) or not all(isinstance(layer, str) for layer in layers):
            raise InputError(f"layers is {layers!r}; a tuple of names was expected, such as ('fc',).")
        if not isinstance(self.settings, tuple):
            raise InputError(f"settings is {type(self.settings).__name__}; write settings=settings(rank=4).")

    def check_settings(self, known: Collection[str]) -> None:
        """Raise an `UnknownNameError` for a setting that is not among ``known``: it would be left unread."""
        for name, _ in self.settings:
            if name not in known:
                raise UnknownNameError(f"setting of {self.transform}", name, known)

    def setting(self, name: str) -> Plain:
        """Return one setting; an unknown name is answered with the known ones."""
        values = dict(self.settings)
        if name not in values:
            raise UnknownNameError(f"setting of the {self.transform} step at {', '.join(self.layers)}", name, values)
        return values[name]

    def __str__(self) -> str:
        values = ", ".join(f"{name}={value}" for name, value in self.settings)
        places = ", ".join(layer or "the model itself" for layer in self.layers)
        return f"{self.transform} at {places}{f' ({values})' if values else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Shown, Record):
    """Ordered steps; later steps see names and shapes as earlier ones left them."""

    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        steps: object = self.steps
        odd = next((step for step in steps if not isinstance(step, Step)), None) if isinstance(steps, tuple) else steps
        if odd is not None:
            came = f"a {type(odd).__name__} among them" if odd is not steps else type(steps).__name__
            raise InputError(f"The steps of a plan are a tuple of Step, and {came} came: Plan(steps=(Step(...), ...)).")

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __add__(self, other: Plan) -> Plan:
        return Plan(steps=self.steps + other.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece(Record):
    """A module as one line of text: its path and what it is ("Conv2d(64, 128, kernel_size=(3, 3))")."""

    layer: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Record):
    """Which entries of one side of a layer stayed, in their old numbering."""

    layer: str
    side: Literal["out", "in"]
    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit(Record):
    """What a step did.

    Attributes:
        step: what was asked for.
        before: the modules that it changed, as they were.
        after: what stands there now.
        kept: for pruning, which channels stayed.
        group: for pruning, the channels as they were and who held them; for a block left out, those of its stream.
        error: relative output error of the edited layers on calibration data, None where it was not measured.
        measured: what no arithmetic on shapes can tell and was therefore measured, by name ("download_bytes").
        notes: what a reader must know of it, in sentences.
    """

    step: Step
    before: tuple[Piece, ...]
    after: tuple[Piece, ...]
    kept: tuple[Kept, ...] = ()
    group: Group | None = None
    error: float | None = None
    measured: Settings = ()
    notes: tuple[str, ...] = ()


_STAGES: Final = {"prune": 0, "sparsify": 2, "quantize": 3, "fuse": 4, "recompute": 5}
"""When a family comes in a plan; others change shapes, after the channels were cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion(Record):
    """A step worth considering, with its evidence.

    Attributes:
        step: what to do.
        family: what kind of technique it is ("factorize", "prune", "bottleneck").
        headline: what and where, in a few words.
        change: what it changes, exact, the model as it is now.
        memory_after: the four numbers after it, None where they were not computed.
        error: measured on calibration data: norm of the change of the model's outputs over their norm.
        risk: 0 none, 1 low, 2 middle, 3 high, from ``error``.
        reason: one sentence with the evidence.
        warnings: bad news, in plain words.
        saving: share of the goal that it saves, of the model as it is.
        latency: change of the time of a forward, measured on the pieces that it changes; None where there is none.
        score: main score of ``evaluate`` after the step, repaired; None where nobody asked.
        clashes: places in the list of those that cannot be taken with it.
    """

    step: Step
    family: str
    headline: str
    change: Cost
    memory_after: Memory | None = None
    error: float | None = None
    risk: int = 0
    reason: str
    warnings: tuple[str, ...] = ()
    saving: float = 0.0
    latency: LatencyChange | None = None
    score: float | None = None
    clashes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Suggestions(Shown, Record):
    """Suggestions, best first, and the places where nothing is offered.

    Attributes:
        model: class name of the model.
        goal: the cost field that they are ranked for ("macs", "params", "saved_bytes").
        cost: the model's cost now.
        memory: the model's memory now.
        chosen: places in the list of those that together keep the budget that was asked for; empty without one.
        notes: what a reader must know beside the list, in sentences.
        latency: the measured time of the model now; None where none was measured.
        scores: what ``evaluate`` returns for the model as it is, the main one first; empty where nobody asked.
        origin: name of the session that made them; "" when none did. Neither compared nor saved.
    """

    model: str
    goal: str
    cost: Cost
    memory: Memory
    suggestions: tuple[Suggestion, ...]
    skips: tuple[Skip, ...]
    chosen: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    latency: Latency | None = None
    scores: tuple[Score, ...] = ()
    origin: str = field(default="", compare=False, metadata={"saved": False})

    def __len__(self) -> int:
        return len(self.suggestions)

    def __iter__(self) -> Iterator[Suggestion]:
        return iter(self.suggestions)

    def __getitem__(self, index: int) -> Suggestion:
        return self.suggestions[index]

    def plan(self, *indices: int) -> Plan:
        """Return the plan of the chosen suggestions; all of them when none is named.

        They come in an order that can be followed: channels first, then what splits or replaces layers, then how
        numbers are kept, then what is fused or run again; and among these in the order of the list.

        Raises:
            UnknownNameError: an index beyond the list.
        """
        known = range(len(self.suggestions))
        for index in indices:
            if type(index) in (bool, float) or index not in known:
                raise UnknownNameError("suggestion", index, map(str, known))
        chosen = sorted(set(indices)) if indices else range(len(self.suggestions))
        ranked = sorted(chosen, key=lambda index: _STAGES.get(self.suggestions[index].family, 1))
        return Plan(steps=tuple(self.suggestions[index].step for index in ranked))

    def __repr__(self) -> str:
        return f"Suggestions({self.model}: {len(self.suggestions)} to save {self.goal}, {len(self.skips)} skipped)"
