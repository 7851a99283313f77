"""The static metrics: exact numbers that a profile holds already."""

from __future__ import annotations

from typing import ClassVar, Literal

from effwidgets.records import Profile

__all__ = [
    "INFERENCE_PEAK_BYTES",
    "MACS",
    "PARAMS",
    "PARAM_BYTES",
    "InferencePeakBytes",
    "Macs",
    "ParamBytes",
    "Params",
]


class Macs:
    """Multiply-accumulates of one forward; FLOPs are twice as many."""

    name: ClassVar[str] = "macs"
    title: ClassVar[str] = "MACs"
    unit: ClassVar[str] = ""
    better: ClassVar[Literal["lower", "higher"]] = "lower"

    def measure(self, profile: Profile) -> float:
        """Return those of the whole model."""
        return float(profile.cost.macs)


class Params:
    """Parameters, each tensor once."""

    name: ClassVar[str] = "params"
    title: ClassVar[str] = "Parameters"
    unit: ClassVar[str] = ""
    better: ClassVar[Literal["lower", "higher"]] = "lower"

    def measure(self, profile: Profile) -> float:
        """Return those of the whole model."""
        return float(profile.cost.params)


class ParamBytes:
    """Bytes of parameters and buffers, each storage once."""

    name: ClassVar[str] = "param_bytes"
    title: ClassVar[str] = "Parameter memory"
    unit: ClassVar[str] = "B"
    better: ClassVar[Literal["lower", "higher"]] = "lower"

    def measure(self, profile: Profile) -> float:
        """Return those of the whole model."""
        return float(profile.cost.param_bytes)


class InferencePeakBytes:
    """Most bytes alive at once in a forward without gradients, parameters and inputs left out."""

    name: ClassVar[str] = "inference_peak_bytes"
    title: ClassVar[str] = "Inference peak"
    unit: ClassVar[str] = "B"
    better: ClassVar[Literal["lower", "higher"]] = "lower"

    def measure(self, profile: Profile) -> float:
        """Return that of the whole model."""
        return float(profile.memory.inference_peak_bytes)


MACS = Macs()
PARAMS = Params()
PARAM_BYTES = ParamBytes()
INFERENCE_PEAK_BYTES = InferencePeakBytes()
