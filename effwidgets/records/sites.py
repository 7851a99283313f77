"""Where each technique can be applied to a model, and why not elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from effwidgets.errors import UnknownNameError
from effwidgets.records.base import Record
from effwidgets.records.doors import Shown
from effwidgets.records.plans import Site, Skip

__all__ = ["Sites", "Technique"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Technique(Record):
    """What a transformation says of itself.

    Attributes:
        name: what plans call it.
        family: "factorize", "prune", ...
        phase: in which order plans have it.
        exact: the cost fields that its estimate promises to the integer.
        summary: one sentence.
    """

    name: str
    family: str
    phase: Literal["structure", "format", "schedule"]
    exact: tuple[str, ...]
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Sites(Shown, Record):
    """The places of one model, technique by technique.

    Attributes:
        model: class name of the model.
        techniques: those that were asked, in the order of the registry.
        sites: where something can be done.
        skips: the places of their kind where nothing is offered, with the reason.
        origin: name of the session that looked; "" when none did. Neither compared nor saved.
    """

    model: str
    techniques: tuple[Technique, ...]
    sites: tuple[Site, ...]
    skips: tuple[Skip, ...]
    origin: str = field(default="", compare=False, metadata={"saved": False})

    def technique(self, name: str) -> Technique:
        """Return what a technique says of itself; an unknown name is answered with the known ones."""
        known = {technique.name: technique for technique in self.techniques}
        if name not in known:
            raise UnknownNameError("technique", name, known)
        return known[name]

    def at(self, layer: str) -> tuple[Site | Skip, ...]:
        """Return all that can be done, or cannot, at one layer."""
        every: tuple[Site | Skip, ...] = (*self.sites, *self.skips)
        return tuple(found for found in every if layer in found.layers)

    def __repr__(self) -> str:
        techniques = len(self.techniques)
        return f"Sites({self.model}: {len(self.sites)} of {techniques} techniques, {len(self.skips)} skipped)"
