"""Which layers of an edited model are fitted again, and which outputs of the original they are to give."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import nn

from effwidgets.records import Edit
from effwidgets.transforms.base import TRANSFORMS, Transform
from effwidgets.transforms.rows import is_rowed
from effwidgets.transforms.surgery import tied_places

__all__ = ["STEPS", "Unit", "asked_of", "units_of"]

STEPS: Final = ("least_squares", "bias", "batch_norm")
"""The kinds of repair, in the order in which they are done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A layer to fit again.

    Attributes:
        place: the layer of the original whose outputs are aimed at.
        layer: the one of the edited model that makes them now: the same, or the last of what stands in its place.
        kept: which of the original's outputs it still makes; None for all.
        steps: what is to be done with it.
    """

    place: str
    layer: str
    kept: tuple[int, ...] | None
    steps: frozenset[str]


def asked_of(edit: Edit, steps: Collection[str] | None) -> frozenset[str]:
    """Return the kinds of repair for an edit: those that were asked for, or those that its transformation names."""
    if steps is not None:
        return frozenset(steps)
    return _repairs(edit)


def _repairs(edit: Edit) -> frozenset[str]:
    found: frozenset[str] = getattr(_transform(edit), "repairs", frozenset({"batch_norm"}))
    return found


def _transform(edit: Edit) -> Transform | None:
    name = edit.step.transform
    return TRANSFORMS[name] if name in TRANSFORMS else None  # noqa: SIM401  the registry has no get


def units_of(
    model: nn.Module, original: nn.Module, edits: Sequence[Edit], steps: Collection[str] | None, *, since: int = 0
) -> tuple[tuple[Unit, ...], tuple[str, ...]]:
    """Return the layers that the edits from ``since`` on ask to fit again, and in sentences which of them cannot be.

    After a pruning these are the layers that read the channels, after a factorization the last factor, and after a
    block was left out those behind it that read its stream or write into it.
    """
    now, before = _paths(model), _paths(original)
    found: dict[int, Unit] = {}
    notes: dict[str, None] = {}
    for edit in edits[since:]:
        wanted = asked_of(edit, steps) & {"least_squares", "bias"}
        for name in _touched(edit, before) if wanted else ():
            place = _standing(name, before)
            layer = _maker(place, now) if place and place in now else None
            if layer is None or place is None or isinstance(before[place], nn.Embedding):
                continue  # rows that are looked up are no inputs of a fit
            module = now[layer]
            reason = _obstacle(model, module, edits, layer)
            if reason:
                notes[f"{layer} was not fitted again: {reason}."] = None
                continue
            held = found.get(id(module))
            found[id(module)] = (
                Unit(place=place, layer=layer, kept=_kept(place, layer, edits), steps=wanted)
                if held is None
                else replace(held, steps=held.steps | wanted)
            )
    return tuple(found.values()), tuple(notes)


def _paths(model: nn.Module) -> dict[str, nn.Module]:
    return dict(model.named_modules(remove_duplicate=False))


def _touched(edit: Edit, before: Collection[str]) -> Iterator[str]:
    if edit.group is not None and not edit.kept:
        # A stream that lost a block: those behind that read it, and those that write into the same sum.
        order = {name: place for place, name in enumerate(before)}
        end = max((order.get(name, 0) for name in edit.step.layers), default=0)
        inside = tuple(f"{name}." for name in edit.step.layers)
        found = dict.fromkeys(member.layer for member in edit.group.members)
        yield from (name for name in found if order.get(name, 0) > end and not name.startswith(inside))
    elif edit.kept:
        yield from dict.fromkeys(kept.layer for kept in edit.kept if kept.side == "in")
    else:
        yield from dict.fromkeys(piece.layer for piece in edit.before)


def _standing(name: str, before: dict[str, nn.Module]) -> str | None:
    # The layer of the original in whose place ``name`` stands; what earlier steps put in has names below it.
    while name and name not in before:
        name = name.rpartition(".")[0]
    return name or None


def _maker(place: str, now: dict[str, nn.Module]) -> str | None:
    # Who makes the outputs at this place: the layer itself, or the last one of a sequence.
    module = now[place]
    while type(module) is nn.Sequential and len(module):
        place = f"{place}.{list(module._modules)[-1]}"  # noqa: SLF001  the name of the last, which need not be a number
        module = now[place]
    return place if is_rowed(module) else None


def _kept(place: str, layer: str, edits: Sequence[Edit]) -> tuple[int, ...] | None:
    found: tuple[int, ...] | None = None
    for edit in edits:
        for kept in edit.kept:
            # The place itself, the layer, or one between: the last of a sequence that was split again later.
            between = f"{layer}.".startswith(f"{kept.layer}.") and f"{kept.layer}.".startswith(f"{place}.")
            if kept.side == "out" and between:
                found = kept.indices if found is None else tuple(found[index] for index in kept.indices)
    return found


def _obstacle(model: nn.Module, module: nn.Module, edits: Sequence[Edit], layer: str) -> str | None:
    weight = module._parameters.get("weight")  # noqa: SLF001  a parametrized weight is computed anew at each look
    if weight is None:
        return "its weight is no plain parameter (parametrized, masked or quantized)"
    if weight.dtype not in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        return f"its weight is {str(weight.dtype).removeprefix('torch.')}"
    tied = tied_places(model, module)
    if tied:
        return f"its weight is tied to {tied[0]}, which would change with it"
    for edit in edits:
        formed = getattr(_transform(edit), "phase", "structure") == "format" and "least_squares" not in _repairs(edit)
        if formed and layer in {piece.layer for piece in edit.after}:
            return f"{edit.step.transform} gave its weight a form that new values would break"
    return None
