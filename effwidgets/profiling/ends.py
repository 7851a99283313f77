"""What a module takes and returns, as the storages behind it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from effwidgets.profiling.memory import Cell, Ledger

__all__ = ["End", "end_of"]

_MOST = 4  # dimensions: rows and pictures are of interest, and what lies between


@dataclass(frozen=True, slots=True)
class End:
    """The one tensor that a module took, or returned: its storage's cell, None where it never counts, and its bytes."""

    cell: Cell | None
    bytes: int


def end_of(ledger: Ledger, value: object) -> End | None:
    """Return a module's input or output as an end; None where it is not one strided tensor."""
    if not isinstance(value, torch.Tensor) or value.layout is not torch.strided or not 1 < value.dim() <= _MOST:
        return None
    return End(ledger.find(value), value.untyped_storage().nbytes())
