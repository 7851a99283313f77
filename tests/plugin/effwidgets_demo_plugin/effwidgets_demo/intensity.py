"""How much a model computes for each byte that it moves: the horizontal axis of a roofline."""

from __future__ import annotations

from effwidgets.records import Profile


class Intensity:
    name = "intensity"
    title = "Arithmetic intensity"
    unit = "FLOP/B"
    better = "higher"

    def measure(self, profile: Profile) -> float:
        return 2 * profile.cost.macs / max(1, profile.cost.moved_bytes)


INTENSITY = Intensity()
