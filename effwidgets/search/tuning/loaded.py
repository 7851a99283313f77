"""Data from a loader of the caller's, read anew in each epoch."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, Subset

from effwidgets.errors import InputError
from effwidgets.search.tuning.chance import Chance
from effwidgets.search.tuning.options import DistillOptions
from effwidgets.search.tuning.reading import Batch, read

__all__ = ["Loaded", "aside"]


class Loaded:
    """A loader of the caller's, read from ``first`` to ``last`` in each pass."""

    def __init__(
        self, data: Iterable[object], options: DistillOptions, first: int = 0, last: int | None = None
    ) -> None:
        self._data, self._options, self._first, self._last = data, options, first, last
        self._known: int | None = None
        self.samples = 0

    def __len__(self) -> int:
        if self._known is None:
            try:
                whole = len(cast("Any", self._data))
            except TypeError:  # it does not know
                whole = sum(1 for _ in self._raw(Chance()))
            last = whole if self._last is None else min(self._last, whole)
            self._known = max(0, last - self._first)
            if not self._known:
                raise InputError(
                    f"The training data ({type(self._data).__name__}) hold no batch; at least one is needed. What can "
                    "be read only once is handed in as a list."
                )
        return self._known

    def batches(self, order: torch.Generator | None) -> Iterator[Batch]:
        """Yield them as they come; where the loader mixes them, it draws by ``order`` and not by its own generator."""
        seed = 0 if order is None else int(torch.randint(2**31, (), generator=order))
        for item in itertools.islice(self._raw(Chance(seed)), self._first, self._last):
            yield Batch(*read(item, self._options))

    def _raw(self, dice: Chance) -> Iterator[object]:
        done, end = 0, object()
        try:
            with dice:
                left = iter(self._data)
            while True:
                with dice:
                    item = next(left, end)
                if item is end:
                    return
                yield item
                done += 1
        except Exception as error:  # the caller's data set
            raise InputError(
                f"The training data ({type(self._data).__name__}) failed after {done} batches with "
                f"{type(error).__name__}: {error}"
            ) from error

    def split(self, share: float) -> tuple[Loaded, Loaded | None]:
        """Hold out the samples of a plain loader, else the first batches: where it shuffles, they are not apart."""
        parts = _loaders(self._data, share)
        if parts is not None:
            return Loaded(parts[0], self._options), Loaded(parts[1], self._options)
        first = aside(len(self), share)
        if not first:
            return self, None
        return Loaded(self._data, self._options, first), Loaded(self._data, self._options, 0, first)


def aside(count: int, share: float) -> int:
    """Return how many of ``count`` batches are held out: at least one, and not all."""
    return min(max(1, round(count * share)), count - 1) if share > 0 else 0


def _loaders(data: object, share: float) -> tuple[Iterable[object], Iterable[object]] | None:
    # Two loaders like a plain one: of nine samples in ten, and of the rest.
    if type(data) is not DataLoader or type(data.batch_sampler) is not BatchSampler:
        return None
    mixed = type(data.sampler) is RandomSampler and not data.sampler.replacement
    if not mixed and type(data.sampler) is not SequentialSampler:
        return None
    count = len(cast("Any", data.dataset))
    held = int(count * share)
    if held < 1 or len(cast("Any", data.sampler)) != count:
        return None
    rows = torch.randperm(count, generator=torch.Generator().manual_seed(0)).tolist()

    def like(part: list[int], *, shuffle: bool) -> Iterable[object]:
        return DataLoader(
            Subset(data.dataset, sorted(part)),
            batch_size=data.batch_size,
            shuffle=shuffle,
            drop_last=data.drop_last and shuffle,
            collate_fn=data.collate_fn,
            num_workers=data.num_workers,
            pin_memory=data.pin_memory,
        )

    return like(rows[held:], shuffle=mixed), like(rows[:held], shuffle=False)
