"""The static metrics: exact numbers that a profile holds already."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from effwidgets.errors import UnknownNameError
from effwidgets.records import Cost, Memory, Profile

__all__ = [
    "INFERENCE_PEAK_BYTES",
    "MACS",
    "PARAMS",
    "PARAM_BYTES",
    "InferencePeakBytes",
    "Macs",
    "ParamBytes",
    "Params",
    "amount",
]

_OF_COST: Final = ("macs", "params", "param_bytes")
_OF_MEMORY: Final = ("inference_peak_bytes", "saved_bytes")


def amount(name: str, cost: Cost, memory: Memory) -> int:
    """Return one number of a whole model by name: a cost that adds up over layers, or memory that does not.

    >>> amount("macs", Cost(macs=3), Memory(param_bytes=8, inference_peak_bytes=7, inference_peak_at="", saved_bytes=0))
    3

    Raises:
        UnknownNameError: no such number; the message names those there are.
    """
    if name not in _OF_COST + _OF_MEMORY:
        raise UnknownNameError("cost", name, _OF_COST + _OF_MEMORY)
    return int(getattr(memory if name in _OF_MEMORY else cost, name))


class _Counted:
    # A number that a profile has counted already, by the name of its field.

    name: ClassVar[str]

    def measure(self, profile: Profile) -> float:
        """Return that of the whole model."""
        return float(amount(self.name, profile.cost, profile.memory))


class Macs(_Counted):
    """Multiply-accumulates of one forward; FLOPs are twice as many."""

    name: ClassVar[str] = "macs"
    title: ClassVar[str] = "MACs"
    unit: ClassVar[str] = ""
    better: ClassVar[Literal["lower", "higher"]] = "lower"


class Params(_Counted):
    """Parameters, each tensor once."""

    name: ClassVar[str] = "params"
    title: ClassVar[str] = "Parameters"
    unit: ClassVar[str] = ""
    better: ClassVar[Literal["lower", "higher"]] = "lower"


class ParamBytes(_Counted):
    """Bytes of parameters and buffers, each storage once."""

    name: ClassVar[str] = "param_bytes"
    title: ClassVar[str] = "Parameter memory"
    unit: ClassVar[str] = "B"
    better: ClassVar[Literal["lower", "higher"]] = "lower"


class InferencePeakBytes(_Counted):
    """Most bytes alive at once in a forward without gradients, parameters and inputs left out."""

    name: ClassVar[str] = "inference_peak_bytes"
    title: ClassVar[str] = "Inference peak"
    unit: ClassVar[str] = "B"
    better: ClassVar[Literal["lower", "higher"]] = "lower"


MACS = Macs()
PARAMS = Params()
PARAM_BYTES = ParamBytes()
INFERENCE_PEAK_BYTES = InferencePeakBytes()
