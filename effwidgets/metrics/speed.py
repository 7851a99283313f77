"""How fast a model is, as it was measured."""

from __future__ import annotations

from typing import ClassVar, Literal

from effwidgets.errors import InputError
from effwidgets.records import Profile

__all__ = ["LATENCY_S", "LatencyS"]


class LatencyS:
    """Median time of one forward in seconds, on the machine, with the batch and the threads of the profile.

    ``measured`` tells those who only count that a profile need not have it.
    """

    name: ClassVar[str] = "latency_s"
    title: ClassVar[str] = "Latency"
    unit: ClassVar[str] = "s"
    better: ClassVar[Literal["lower", "higher"]] = "lower"
    measured: ClassVar[bool] = True

    def measure(self, profile: Profile) -> float:
        """Return the median of the whole model.

        Raises:
            InputError: no time was measured with the profile.
        """
        if profile.latency is None:
            raise InputError(
                f"The profile of {profile.model} holds no measured time. "
                "Profile the model with options=ProfileOptions(latency=True)."
            )
        return profile.latency.median_s


LATENCY_S = LatencyS()
