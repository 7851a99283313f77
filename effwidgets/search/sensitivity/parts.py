"""Calibration data in two parts: one that values are fitted to, one that divergence is measured on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from effwidgets.profiling.calls import Call, batch_of, map_tensors
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.trial import answer, stand_in

__all__ = ["Parts", "parts_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """The data of a measurement.

    Attributes:
        fit: what values are fitted to and repaired with; None where there are no calibration data.
        held: what the divergence is measured on.
        fitted: samples of the one.
        held_out: samples of the other.
        notes: what a reader must know, in sentences.
    """

    fit: Calibration | None
    held: tuple[Call, ...]
    fitted: int
    held_out: int
    notes: tuple[str, ...] = ()


def parts_of(model: nn.Module, call: Call, data: Calibration | None, *, samples: int, share: float) -> Parts:
    """Divide the first ``samples`` of the data: the last ``share`` of them is held out.

    Batches are cut where the model runs on the halves, else they go to one side whole. Of one batch that cannot be cut
    nothing is held out: a note says so. Without data the model's own call is what the divergence is measured on.
    """
    if data is None:
        note = "There are no calibration data: the divergence is that on the inputs, and nothing was repaired."
        return Parts(fit=None, held=(call,), fitted=0, held_out=_size(call), notes=(note,))
    batches = list(_first(model, data.batches, samples))
    wanted = max(1, round(share * sum(map(_size, batches))))
    held: list[Call] = []
    while wanted > 0 and len(batches) > 1 and _size(batches[-1]) <= wanted:
        held.insert(0, batches.pop())
        wanted -= _size(held[0])
    halves = _cut(model, batches[-1], _size(batches[-1]) - wanted) if wanted > 0 else None
    if halves is not None:
        batches[-1] = halves[0]
        held.insert(0, halves[1])
    elif not held and len(batches) > 1:
        held.append(batches.pop())
    notes = () if held else ("The one calibration batch cannot be divided: nothing is held out.",)
    held = held or list(batches)
    fitted, out = sum(map(_size, batches)), sum(map(_size, held))
    return Parts(fit=Calibration(batches=tuple(batches)), held=tuple(held), fitted=fitted, held_out=out, notes=notes)


def _size(call: Call) -> int:
    return batch_of(call) or 1


def _first(model: nn.Module, batches: tuple[Call, ...], samples: int) -> Iterator[Call]:
    for batch in batches:
        if samples <= 0:
            return
        halves = _cut(model, batch, samples) if _size(batch) > samples else None
        yield batch if halves is None else halves[0]
        samples -= _size(batch)


def _cut(model: nn.Module, call: Call, place: int) -> tuple[Call, Call] | None:
    # Both sides, where the model runs on them: some take a batch of one size only.
    size = _size(call)
    if not 0 < place < size:
        return None
    halves = [
        map_tensors(call, lambda tensor: tensor[part] if tensor.dim() and tensor.shape[0] == size else tensor)  # noqa: B023  called at once
        for part in (slice(place), slice(place, None))
    ]
    try:
        for half in halves:
            answer(stand_in(model), half)
    except Exception:  # noqa: BLE001  the model's own forward, with inputs that are cut for it
        return None
    return halves[0], halves[1]
