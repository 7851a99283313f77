"""A Linear or a convolution as two of lower rank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import ClassVar

import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.records import Edit, LayerProfile, Profile, Shape, Site, Skip, Step
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.factorize.factorization import Factorization, Values, groups_of, weight_of
from effwidgets.transforms.factorize.factors import matrix_factors, matrix_product
from effwidgets.transforms.factorize.parts import Part
from effwidgets.transforms.factorize.tied import (
    embedding_obstacle,
    fit_pair,
    foresee_pair,
    pair_sites,
    rewrite_pair,
    witness_pair,
)
from effwidgets.transforms.factorize.whitening import centred, moments_of, usable, whitened_factors
from effwidgets.transforms.foresee import Foreseen
from effwidgets.transforms.moments import Moments
from effwidgets.transforms.surgery import find_layer

__all__ = ["LOW_RANK", "LowRank"]

_PAIR = 2


class LowRank(Factorization):
    """Truncated singular value decomposition: ``(out, in)`` becomes ``(rank, in)``, then ``(out, rank)``.

    Of a convolution the first factor has the kernel, the second is of 1 x 1 (Zhang et al. 2016, arXiv:1505.06798);
    where the kernel is more than a point that is an expert choice: trained layers are low-rank the other way, see
    `spatial_svd`.

    Settings ``rank``: 1 to ``min(in * k * k, out)``, in each group; it saves below ``in k k out / (in k k + out)``.
    ``data``: "whitened", the nearest for the calibration inputs, where there are any that can be used, "plain", the
    nearest weight, otherwise. Whitened, the bias takes up what the mean of the inputs changes.
    """

    name: ClassVar[str] = "low_rank"
    family: ClassVar[str] = "factorize"
    title: ClassVar[str] = "Singular value decomposition"
    classes: ClassVar[tuple[type[nn.Module], ...]] = (
        nn.Linear,
        nn.Conv1d,
        nn.Conv2d,
        nn.Conv3d,
        nn.Embedding,
    )
    ranks: ClassVar[tuple[str, ...]] = ("rank",)
    fits_inputs: ClassVar[bool] = True
    options: ClassVar[tuple[str, ...]] = ("data",)
    reports_raw: ClassVar[bool] = True

    def fits(self, layer: LayerProfile) -> bool:
        """All of them."""
        del layer
        return True

    def limits(self, weight: Shape) -> tuple[int, ...]:
        """The rank of a full matrix."""
        return (min(weight[0], prod(weight[1:])),)

    def sites(self, profile: Profile) -> Iterator[Site | Skip]:
        """Yield every layer with a weight, and every embedding with the head that shares it."""
        pairs = {layer: site for site in pair_sites(profile, self.name) for layer in site.layers}
        for found in super().sites(profile):
            pair = pairs.get(found.layers[0])
            if pair is None:
                yield found
            elif pair.layers[0] == found.layers[0]:
                yield pair

    def foresee(self, profile: Profile, step: Step) -> Foreseen:
        """Return the factors as they will stand in the profile."""
        _data(step)
        if len(step.layers) == _PAIR:
            return foresee_pair(profile, step, self._pair_rank(step, profile.layer(step.layers[0])))
        return super().foresee(profile, step)

    def rewrite(self, model: nn.Module, step: Step, profile: Profile) -> Edit:
        """Put factors of zeros where the layer stands, or the two that share a matrix."""
        _data(step)
        if len(step.layers) == _PAIR:
            return rewrite_pair(model, step, self._pair_rank(step, find_layer(model, step.layers[0])))
        module = find_layer(model, self.target(step))
        reason = embedding_obstacle(module) if isinstance(module, nn.Embedding) else None
        if reason:
            raise TransformError(f"{step}: {reason}.")
        return super().rewrite(model, step, profile)

    def fit(self, model: nn.Module, original: nn.Module, edit: Edit, calibration: Calibration | None) -> Edit:
        """Fill the factors, see `values`; of a pair from the weight alone."""
        if len(edit.step.layers) == _PAIR:
            rank = self._pair_rank(edit.step, find_layer(original, edit.step.layers[0]))
            return fit_pair(model, original, edit, rank)
        return super().fit(model, original, edit, calibration)

    def witness(self, original: nn.Module, edit: Edit, model: nn.Module) -> None:
        """Give the original the product of the factors as its weight."""
        if len(edit.step.layers) == _PAIR:
            witness_pair(original, edit, model)
        else:
            super().witness(original, edit, model)

    def _pair_rank(self, step: Step, embedding: LayerProfile | nn.Module) -> int:
        part = Part.of_module(embedding) if isinstance(embedding, nn.Module) else Part.of_layer(embedding)
        if part.kind != "Embedding":
            raise TransformError(f"{step}: of two layers the first is an Embedding; {part.kind} came.")
        if dict(step.settings).get("data") == "whitened":
            raise TransformError(f"{step}: data is 'whitened'; an Embedding has no inputs to go by.")
        return self.ranks_of(step, part)[0]

    def unsuited(self, layer: LayerProfile) -> str | None:
        """An embedding whose padding must stay."""
        padding = dict(layer.config).get("padding_idx") if layer.kind == "Embedding" else None
        if padding is not None:
            return f"its row {padding} is padding, which must not learn: a second factor would change it"
        return None

    def regular(self, layer: LayerProfile) -> bool:
        """The places of a Linear are counted over all calls, whatever their shapes; so are those of a point."""
        whole, own = Part.of_layer(layer), layer.self_cost
        if whole.kind == "Embedding":
            return own.output_bytes > 0
        return (own.macs > 0 and own.macs % whole.params == 0) if prod(whole.kernel) == 1 else super().regular(layer)

    def warns(self, layer: LayerProfile) -> tuple[str, ...]:
        """A kernel that is more than a point; an embedding."""
        if layer.kind == "Embedding":
            return ("looking a row up costs no MACs, and a product afterwards: it saves parameters only",)
        if prod(Part.of_layer(layer).kernel) == 1:
            return ()
        return ("trained k x k layers need about 0.7 of full rank this way; spatial_svd needs less",)

    def parts(self, whole: Part, ranks: Sequence[int]) -> tuple[Part, ...]:
        """Kernel, stride and padding stand on the first: a point of it sees what a point of the layer saw."""
        if whole.kind == "Embedding":
            entries, width = whole.weight
            return replace(whole, weight=(entries, ranks[0])), Part.point("Linear", width, ranks[0])
        out, *rest = whole.weight
        first = replace(whole, weight=(ranks[0], *rest), bias=False)
        return first, replace(Part.point(whole.kind, out, ranks[0]), bias=whole.bias)

    def values(self, old: nn.Module, edit: Edit, original: nn.Module, calibration: Calibration | None) -> Values:
        """Return the nearest factors for the inputs that the layer is given, or those of the weight."""
        data = _data(edit.step)
        if isinstance(old, nn.Embedding):
            rank = self.ranks_of(edit.step, Part.of_module(old))[0]
            if data == "whitened":
                raise TransformError(f"{edit.step}: data is 'whitened'; an Embedding has no inputs to go by.")
            first, second = matrix_factors(old.weight.T, rank)
            return Values(weights=(first.T, second))
        moments = None
        if calibration is not None and data != "plain":
            moments = moments_of(original, edit.step.layers[0], calibration)
        if moments is not None and usable(moments):
            return self._whitened(old, self.ranks_of(edit.step, Part.of_module(old))[0], moments)
        if data == "whitened":
            why = "they say nothing: there are too few, or they are all zero" if calibration else "none came"
            raise TransformError(f"{edit.step}: data is 'whitened', which needs calibration inputs; {why}.")
        found = super().values(old, edit, original, calibration)
        if calibration is None or data == "plain":
            return found
        return replace(found, notes=(*found.notes, "not whitened: the calibration inputs say nothing here"))

    def _whitened(self, old: nn.Module, rank: int, moments: Moments) -> Values:
        weight, bias = weight_of(old).detach(), getattr(old, "bias", None)
        gram, mean = centred(moments, by_mean=isinstance(bias, Tensor))
        firsts, seconds, shifts = [], [], []
        for number, part in enumerate(weight.flatten(1).double().chunk(groups_of(old))):
            first, second = whitened_factors(part, gram[number].to(part.device), rank)
            firsts.append(first)
            seconds.append(second)
            if mean is not None:
                shifts.append((part - second @ first) @ mean[number].to(part.device))
        ones = [1] * (weight.dim() - 2)
        weights = (
            torch.cat(firsts).reshape(-1, *weight.shape[1:]),
            torch.cat(seconds).reshape(weight.shape[0], rank, *ones),
        )
        moved = bias.detach().double() + torch.cat(shifts) if isinstance(bias, Tensor) else None
        return Values(weights=weights, bias=moved, notes=(f"whitened by {moments.rows:,} rows of calibration inputs",))

    def factors(self, weight: Tensor, ranks: Sequence[int]) -> tuple[Tensor, ...]:
        """Compute the nearest pair of this rank."""
        return matrix_factors(weight, ranks[0])

    def product(self, *weights: Tensor) -> Tensor:
        """Multiply the two."""
        return matrix_product(*weights)

    def product_for(self, whole: Part, *weights: Tensor) -> Tensor:
        """Multiply the two; the first of an embedding is looked up by rows."""
        first, second = weights
        return matrix_product(first.T, second).T if whole.kind == "Embedding" else matrix_product(first, second)


def _data(step: Step) -> str | None:
    data = dict(step.settings).get("data")
    if data not in (None, "plain", "whitened"):
        raise TransformError(f"{step}: data is {data!r}; 'plain' or 'whitened' was expected.")
    return None if data is None else str(data)


LOW_RANK = LowRank()
