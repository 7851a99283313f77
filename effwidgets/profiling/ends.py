"""What modules take and return, as the storages behind it; and what was done since autograd kept something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch

from effwidgets.profiling.memory import Cell, Ledger, storage_of

__all__ = ["Ends", "Held", "Trail"]

Held: TypeAlias = tuple[Cell | None, int]
"""The storage behind a tensor: its cell, None where it never counts, and its bytes."""


class Trail:
    """Who did how much work since something was kept for the backward.

    Attributes:
        since: names of layers, with their MACs.
        packs: how often something was kept.
        last: for whom it was kept last.
    """

    __slots__ = ("last", "packs", "since")

    def __init__(self) -> None:
        self.since: list[tuple[str, int]] = []
        self.packs = 0
        self.last = ""

    def packed(self, name: str) -> None:
        """Note that autograd keeps something for a layer."""
        self.packs += 1
        self.last = name
        self.since.clear()


class Ends:
    """What one module was given in its first call, and what it returned.

    Attributes:
        given: of each tensor by position.
        alone: whether one strided tensor is all that it was given.
        returned: of the one strided tensor that it returned; None where it returned something else.
        versions: how often the first tensor that it was given, and the one that it returned, was written into.
        last: the layer that kept something last while it ran; "" where nothing was kept.
        tail: layers inside, with their MACs, that ran after that.
        writes: whether it wrote into something that it was given.
    """

    __slots__ = ("_before", "_packs", "_start", "alone", "given", "last", "returned", "tail", "versions", "writes")

    def __init__(self, ledger: Ledger, trail: Trail, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
        self.given: list[Held] = []
        self.alone = len(args) == 1 and not kwargs
        self.returned: Held | None = None
        self.versions = [0, 0]
        self.last = ""
        self.tail: tuple[tuple[str, int], ...] = ()
        self.writes = False
        self._packs, self._start = trail.packs, len(trail.since)
        self._before = _versions((*args, *kwargs.values()) if kwargs else args)
        for arg in args:
            if isinstance(arg, torch.Tensor):
                self.given.append(held := _held(ledger, arg))
                if held[0] is not None:
                    held[0].given = True
                self.alone = self.alone and arg.layout is torch.strided
        self.alone = self.alone and bool(self.given)
        if self.alone:
            self.versions[0] = self._before[0]

    def close(self, ledger: Ledger, trail: Trail, given: Sequence[object], out: object) -> None:
        """Note what it returned; ``given`` is all that it was given, by name too."""
        self.writes = self._before != _versions(given)
        if isinstance(out, torch.Tensor) and out.layout is torch.strided:
            self.returned, self.versions[1] = _held(ledger, out), _version(out)
        if trail.packs != self._packs:
            self.last, self.tail = trail.last, tuple(trail.since)
        else:
            self.tail = tuple(trail.since[self._start :])


def _held(ledger: Ledger, tensor: torch.Tensor) -> Held:
    storage = storage_of(tensor)
    return (None, 0) if storage is None else (ledger.at(storage), storage.nbytes())


def _versions(given: Sequence[object]) -> list[int]:
    return [_version(value) for value in given if isinstance(value, torch.Tensor)]


def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
