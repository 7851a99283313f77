"""A convolution of k x k as 1 x 1, k x k, 1 x 1 with fewer channels in the middle, fitted to what it stood for."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.records import Edit, LayerProfile, Step
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.factorize.behind import Behind, behind
from effwidgets.transforms.factorize.factorization import Values, groups_of, weight_of
from effwidgets.transforms.factorize.factors import evened
from effwidgets.transforms.factorize.parts import Part
from effwidgets.transforms.factorize.refit import Triple, alternated, composed, refit_behind_relu, refit_last
from effwidgets.transforms.factorize.tucker2 import Tucker2
from effwidgets.transforms.factorize.whitening import centred, moments_of, usable
from effwidgets.transforms.moments import Moments, Seen, watched
from effwidgets.transforms.rows import choose_places, rows_in
from effwidgets.transforms.trial import answer, stand_in

__all__ = ["BOTTLENECK", "Bottleneck"]

_REFITS = ("none", "last", "all")
_ROWS = 4096


class Bottleneck(Tucker2):
    """Channels down to ``rank_in``, the kernel on these to ``rank_out``, channels up again, preserving the function.

    It starts from a Tucker-2 decomposition: the same shape started at random is no better than guessing before it is
    trained. With calibration data the factors are then fitted to the layer's own outputs by least squares.

    Settings ``rank_in``: 1 to ``in``; ``rank_out``: 1 to ``out``, in each group. ``refit``: "last" for the last factor
    (where there are calibration data), "all" for all three in turns, "none". ``relu``: fit to what a ReLU behind the
    layer lets through, by default where the layer, a batch norm or not, and a ReLU follow one another in a
    `torch.nn.Sequential`.
    """

    name: ClassVar[str] = "bottleneck"
    family: ClassVar[str] = "bottleneck"
    title: ClassVar[str] = "A bottleneck around this one layer"
    fits_inputs: ClassVar[bool] = True
    options: ClassVar[tuple[str, ...]] = ("refit", "relu")
    repairs: ClassVar[frozenset[str]] = frozenset({"bias", "batch_norm"})

    def warns(self, layer: LayerProfile) -> tuple[str, ...]:
        """No bad news."""
        del layer
        return ()

    def values(self, old: nn.Module, edit: Edit, original: nn.Module, calibration: Calibration | None) -> Values:
        """Return the factors of the weight, fitted to the calibration data."""
        start = super().values(old, edit, original, calibration)
        refit, relu = _settings(edit.step, calibration)
        if refit == "none" or calibration is None:
            return start
        name = edit.step.layers[0]
        moments = moments_of(original, name, calibration)
        if moments is None or not usable(moments):
            return Values(weights=start.weights, notes=("not refitted: the calibration inputs say nothing here",))
        fitted, bias = _refitted(old, start, moments, every=refit == "all")
        which = "all factors" if refit == "all" else "the last factor"
        notes = f"{which} refitted to {moments.rows:,} rows of calibration inputs"
        after = Behind(norm=None) if relu is True else behind(original, name) if relu is None else None
        if relu is True:
            after = behind(original, name) or after
        if after is not None:
            places = _Places(original, name, calibration)
            fitted, bias = _behind_relu(places, old, (fitted, bias), after)
            notes += ", aware of the ReLU behind it"
        ranks = self.ranks_of(edit.step, Part.of_module(old))
        return Values(weights=_shaped(weight_of(old), fitted, ranks), bias=bias, notes=(notes,))


def _settings(step: Step, calibration: Calibration | None) -> tuple[str, bool | None]:
    found = dict(step.settings)
    refit, relu = found.get("refit"), found.get("relu")
    if refit is not None and refit not in _REFITS:
        raise TransformError(f"{step}: refit is {refit!r}; one of {', '.join(_REFITS)} was expected.")
    if relu is not None and not isinstance(relu, bool):
        raise TransformError(f"{step}: relu is {relu!r}; True or False was expected.")
    if refit in ("last", "all") and calibration is None:
        raise TransformError(f"{step}: refit is {refit!r}, which needs calibration inputs; none came.")
    return str(refit or "last"), relu


def _refitted(old: nn.Module, start: Values, moments: Moments, *, every: bool) -> tuple[list[Triple], Tensor | None]:
    # For each group; the bias takes up what the mean of the inputs changes.
    groups, bias = groups_of(old), getattr(old, "bias", None)
    gram, mean = centred(moments, by_mean=isinstance(bias, Tensor))
    whole = weight_of(old).detach().double().flatten(1).chunk(groups)
    made, shifts = [], []
    for number, factors in enumerate(zip(*(part.double().chunk(groups) for part in start.weights), strict=True)):
        first, core, last = factors
        triple = first.flatten(1), core.flatten(2), last.flatten(1)
        found = (alternated if every else refit_last)(whole[number], triple, gram[number].to(first.device))
        made.append(found)
        if mean is not None:
            left = whole[number] - found[2] @ composed(found[0], found[1])
            shifts.append(left @ mean[number].to(first.device))
    return made, bias.detach().double() + torch.cat(shifts) if isinstance(bias, Tensor) else None


def _shaped(weight: Tensor, triples: list[Triple], ranks: tuple[int, ...]) -> tuple[Tensor, ...]:
    ones, sides = [1] * (weight.dim() - 2), [evened(*triple) for triple in triples]
    first, core, last = (torch.cat([triple[place] for triple in sides]) for place in range(3))
    return (
        first.reshape(-1, weight.shape[1], *ones),
        core.reshape(-1, ranks[0], *weight.shape[2:]),
        last.reshape(weight.shape[0], ranks[1], *ones),
    )


class _Places:
    # What a layer meets at some places of the calibration data: the rows that its weight multiplies.

    def __init__(self, model: nn.Module, name: str, calibration: Calibration) -> None:
        self._model, self._name, self._calibration = model, name, calibration

    def rows(self, seen_by: list[Tensor], weight: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return, for each group, what the matrices ``seen_by`` make of the rows; and what ``weight`` makes of them."""
        limit = -(-_ROWS // len(self._calibration.batches))
        inner: list[list[Tensor]] = [[] for _ in seen_by]
        outer: list[Tensor] = []
        parts = weight.chunk(len(seen_by))

        def look(seen: Seen) -> None:
            places = choose_places(seen.module, seen.output, limit)
            rows = rows_in(seen.module, seen.value, places)
            for number, matrix in enumerate(seen_by):
                inner[number].append(rows[:, number] @ matrix.T)
            outer.append(torch.cat([rows[:, number] @ part.T for number, part in enumerate(parts)], 1))

        with watched(stand_in(self._model), [self._name], look) as twin:
            for batch in self._calibration.batches:
                answer(twin, batch)
        return [torch.cat(found) for found in inner], torch.cat(outer)


def _behind_relu(
    places: _Places, old: nn.Module, fitted: tuple[list[Triple], Tensor | None], after: Behind
) -> tuple[list[Triple], Tensor | None]:
    triples, bias = fitted
    weight = weight_of(old).detach().double().flatten(1)
    inner, wanted = places.rows([composed(first, core) for first, core, _ in triples], weight)
    if isinstance(old.bias, Tensor):
        wanted = wanted + old.bias.detach().double()
    each, made, biases = len(weight) // len(triples), [], []
    for number, (first, core, last) in enumerate(triples):
        part = slice(number * each, (number + 1) * each)
        norm = None if after.norm is None else (after.norm[0][part], after.norm[1][part])
        start = last, None if bias is None else bias[part]
        new, shift = refit_behind_relu(inner[number], wanted[:, part], start, norm)
        made.append((first, core, new))
        biases.append(shift)
    return made, None if bias is None else torch.cat([shift for shift in biases if shift is not None])


BOTTLENECK = Bottleneck()
