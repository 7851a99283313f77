"""What every metric promises."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from effwidgets.metrics.base import METRICS, Metric
from effwidgets.records import Profile

__all__ = ["MetricContract"]


@dataclass(frozen=True, slots=True)
class MetricContract:
    """The promises of a metric. It must be registered."""

    metric: Metric

    def check(self, known: Profile) -> float:
        """Check them on one profile and return the number."""
        assert METRICS[self.metric.name] is self.metric, "it is registered under another name"
        assert self.metric.title.strip(), "it has no title"
        assert self.metric.better in ("lower", "higher"), f"better is {self.metric.better!r}"
        value = self.metric.measure(known)
        assert isinstance(value, float), f"{value!r} is {type(value).__name__}; a float was expected"
        assert not math.isnan(value), "it is not a number"
        assert self.metric.measure(known) == value, "it answers otherwise the second time"
        copied = Profile.from_dict(json.loads(json.dumps(known.to_dict())))
        assert self.metric.measure(copied) == value, "it reads something that a saved profile does not hold"
        return value
