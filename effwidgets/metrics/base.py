"""What a metric is, and where they register."""

from __future__ import annotations

from typing import ClassVar, Literal, Protocol, runtime_checkable

from effwidgets.records import Profile
from effwidgets.registry import Registry

__all__ = ["METRICS", "Metric"]


@runtime_checkable
class Metric(Protocol):
    """One number of a model, read from its profile.

    Attributes:
        name: the key on axes and in tables ("macs").
        title: what a reader calls it ("MACs").
        unit: what it is counted in: "" for a plain count, "B" for bytes, "s", "J".
        better: in which direction it improves. What is better when lower is a cost: searches draw a front against it.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str]
    better: ClassVar[Literal["lower", "higher"]]

    def measure(self, profile: Profile) -> float:
        """Return the number for the profiled model. Pure: one profile, one number."""
        ...


METRICS: Registry[Metric] = Registry("metric", "effwidgets.metrics")
