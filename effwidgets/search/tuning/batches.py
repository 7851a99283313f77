"""The data of a training: in one piece, as a list of batches, or from a loader that is read anew in each epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from effwidgets.errors import InputError
from effwidgets.profiling.calls import Call, batch_of, map_tensors, tensors_in
from effwidgets.search.tuning.loaded import Loaded, aside
from effwidgets.search.tuning.options import DistillOptions
from effwidgets.search.tuning.reading import Batch, is_named, is_pair, read
from effwidgets.transforms.matching import with_tensors

__all__ = ["Source", "source_of"]

_POOL_BYTES: Final = 2**29  # of batches that are joined, so that they can be mixed
_SIZE: Final = 32


class Source(Protocol):
    """Where batches come from, again and again.

    Attributes:
        samples: how many there are in one pass; 0 where that cannot be known.
    """

    samples: int

    def __len__(self) -> int:
        """Return the batches of one pass."""
        ...

    def batches(self, order: torch.Generator | None) -> Iterator[Batch]:
        """Yield the batches of one pass, in an order drawn from ``order``; as they are without it."""
        ...

    def split(self, share: float) -> tuple[Source, Source | None]:
        """Return what to train on and what is held out, None where there is too little; always the same split."""
        ...


def source_of(data: object, options: DistillOptions) -> Source:
    """Read training data in the forms in which people have them.

    Args:
        data: inputs in one piece (a tensor, a mapping of keyword inputs, a `Call`), with labels as a tuple
            ``(inputs, labels)`` or under "labels" in the mapping; batches of these in a list; a ``Dataset``; a
            ``DataLoader`` or anything else that can be iterated again and again.
        options: how to read them: ``batch_size``, ``how``, ``like``.

    Raises:
        InputError: none of these, or nothing in it.
    """
    data = with_tensors(data)
    if isinstance(data, TensorDataset):
        data = data.tensors if len(data.tensors) > 1 else data.tensors[0]
    if isinstance(data, Tensor | Call) or is_named(data) or is_pair(data):
        return Pool(*read(data, options), options.batch_size or _SIZE)
    if isinstance(data, Dataset) and hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        data = DataLoader(data, batch_size=options.batch_size or _SIZE, shuffle=True)
    if isinstance(data, list | tuple):
        found = [Batch(*read(item, options)) for item in data]
        if not found:
            raise InputError(f"The training data (an empty {type(data).__name__}) hold no batch; give at least one.")
        return _joined(found, options.batch_size) or Listed(found)
    if isinstance(data, Iterable) and not isinstance(data, str | bytes):
        return Loaded(data, options)
    raise InputError(
        f"The training data are {type(data).__name__}; a tensor, a tuple (inputs, labels), a mapping of keyword "
        "inputs, a list of such batches or a DataLoader was expected."
    )


class Pool:
    """Samples in one piece, mixed anew in each pass."""

    def __init__(self, call: Call, labels: Tensor | None, size: int, rows: Tensor | None = None) -> None:
        self._call, self._labels, self._size = call, labels, size
        count = batch_of(call) or 0
        if not count:
            raise InputError("The training data hold no sample; at least one is needed.")
        if labels is not None and (not labels.dim() or labels.shape[0] != count):
            raise InputError(
                f"The training data are {count} samples and labels of shape {tuple(labels.shape)}; "
                "one label for each sample was expected."
            )
        self._count = count
        self._rows = torch.arange(count) if rows is None else rows
        self.samples = len(self._rows)

    def __len__(self) -> int:
        return max(1, round(self.samples / self._size))

    def batches(self, order: torch.Generator | None) -> Iterator[Batch]:
        """Yield batches of nearly equal sizes, so that none is too small for a batch norm."""
        rows = self._rows if order is None else self._rows[torch.randperm(self.samples, generator=order)]
        for part in rows.tensor_split(len(self)):
            labels = None if self._labels is None else self._labels[part.to(self._labels.device)]
            yield Batch(self._at(part), labels, part, self._call)

    def _at(self, part: Tensor) -> Call:
        def take(tensor: Tensor) -> Tensor:
            own = tensor.dim() and tensor.shape[0] == self._count
            return tensor[part.to(tensor.device)] if own else tensor

        return cast("Call", map_tensors(self._call, take))

    def split(self, share: float) -> tuple[Source, Source | None]:
        """Hold out samples drawn by chance."""
        aside = int(self.samples * share)
        if aside < 1 or self.samples - aside < 1:
            return self, None
        mixed = self._rows[torch.randperm(self.samples, generator=torch.Generator().manual_seed(0))]
        parts = [Pool(self._call, self._labels, self._size, rows) for rows in (mixed[aside:], mixed[:aside])]
        return parts[0], parts[1]


class Listed:
    """Batches that cannot be joined, such as sequences of different lengths."""

    def __init__(self, found: Sequence[Batch]) -> None:
        self._found = tuple(found)
        self.samples = sum(batch.size for batch in found)

    def __len__(self) -> int:
        return len(self._found)

    def batches(self, order: torch.Generator | None) -> Iterator[Batch]:
        """Yield them in another order each time."""
        places = range(len(self)) if order is None else torch.randperm(len(self), generator=order).tolist()
        yield from (self._found[place] for place in places)

    def split(self, share: float) -> tuple[Source, Source | None]:
        """Hold out the last ones."""
        last = aside(len(self), share)
        return (Listed(self._found[:-last]), Listed(self._found[-last:])) if last else (self, None)


def _joined(found: Sequence[Batch], size: int | None) -> Source | None:
    # All batches as one piece, where they are alike and not too large.
    first = found[0]
    calls = [tuple(tensors_in(batch.call)) for batch in found]
    labels = [batch.labels for batch in found]
    if sum(tensor.nbytes for tensors in calls for tensor in tensors) > _POOL_BYTES:
        return None
    alike = all(_alike(tensors, calls[0], batch.size, first.size) for tensors, batch in zip(calls, found, strict=True))
    plain = type(first.call.args) is tuple and all(
        repr(batch.call).count(",") == repr(first.call).count(",") for batch in found
    )
    if not alike or not plain or any((mine is None) != (labels[0] is None) for mine in labels):
        return None
    known = [mine for mine in labels if mine is not None]
    if known and not _alike(known, known[:1] * len(known), 0, 0, sizes=False):
        return None
    whole = iter([torch.cat(parts) for parts in zip(*calls, strict=True)])
    call = cast("Call", map_tensors(first.call, lambda _: next(whole)))
    return Pool(call, torch.cat(known) if known else None, size or first.size)


def _alike(these: Sequence[Tensor], those: Sequence[Tensor], size: int, other: int, *, sizes: bool = True) -> bool:
    return len(these) == len(those) and all(
        mine.dim() > 0
        and mine.dim() == his.dim()
        and mine.shape[1:] == his.shape[1:]
        and (mine.dtype, mine.device) == (his.dtype, his.device)
        and (not sizes or (mine.shape[0] == size and his.shape[0] == other))
        for mine, his in zip(these, those, strict=True)
    )
