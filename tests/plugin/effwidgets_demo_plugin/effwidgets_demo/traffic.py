"""Bytes that a forward reads and writes: a cost, so searches draw a front against it."""

from __future__ import annotations

from effwidgets.records import Profile


class Traffic:
    name = "traffic_bytes"
    title = "Traffic"
    unit = "B"
    better = "lower"

    def measure(self, profile: Profile) -> float:
        return float(profile.cost.moved_bytes)


TRAFFIC = Traffic()
