"""Where zeros go: one share of the whole model, spread over its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor, nn

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.profiling.calls import Inputs
from effwidgets.profiling.profile import ProfileOptions, profile
from effwidgets.records import Plan, Site, Skip, Step, settings
from effwidgets.transforms.formats.format import weight_of
from effwidgets.transforms.formats.kmeans import in_order
from effwidgets.transforms.formats.masks import CRITERIA
from effwidgets.transforms.formats.unstructured import UNSTRUCTURED
from effwidgets.transforms.rows import is_rowed
from effwidgets.transforms.surgery import find_layer

__all__ = ["ALLOCATIONS", "Allocation", "erk_zeros", "lamp_zeros", "sparsity_plan", "uniform_zeros"]

Allocation: TypeAlias = Literal["uniform", "lamp", "erk"]
ALLOCATIONS: Final = ("uniform", "lamp", "erk")


def sparsity_plan(  # noqa: PLR0913  two that every verb has, one that it is about, three with a default
    model: nn.Module,
    inputs: Inputs,
    share: float,
    *,
    allocation: Allocation = "lamp",
    criterion: Literal["magnitude", "wanda"] = "magnitude",
    layers: Sequence[str] | None = None,
) -> Plan:
    """Return a plan that makes ``share`` of the weights of ``model`` zero: an `unstructured` step for each layer.

    Args:
        model: not changed.
        inputs: what it is called with.
        share: zeros over entries of all weights together, between 0 and 1.
        allocation: "uniform": the same share everywhere. "lamp": whatever is least in one ranking of all layers, by
            size over what is left when it goes (Lee et al. 2021, arXiv:2010.07611). "erk": wide layers get more (Evci
            et al. 2020, arXiv:1911.11134). LAMP hits the share to the number, the others to one number in each layer.
        criterion: which numbers of a layer go; LAMP's own ranking is by size all the same, and so is the choice in an
            Embedding, which has no input to weigh by.
        layers: the layers to choose from; all where the technique applies when None.

    Raises:
        InputError: a share out of range, a model where the technique does not apply, or one of ``layers`` where it
            does not; the message says why.
        UnknownNameError: no such allocation, criterion or layer.

    >>> model = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    >>> plan = sparsity_plan(model, torch.ones(1, 8), 0.5, allocation="uniform")
    >>> [step.setting("share") for step in plan]
    [0.5, 0.5]
    """
    if allocation not in ALLOCATIONS:
        raise UnknownNameError("allocation of zeros", allocation, ALLOCATIONS)
    if criterion not in CRITERIA:
        raise UnknownNameError("criterion of unstructured", criterion, CRITERIA)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise InputError(f"share is {share!r}; a number between 0 and 1 was expected, such as 0.8.")
    weights = _weights(model, inputs, layers)
    zeros = _ZEROS[allocation](weights, share)
    how = {name: criterion if is_rowed(find_layer(model, name)) else "magnitude" for name in weights}
    chosen = {name: count / weights[name].numel() for name, count in zeros.items() if count}
    return Plan(
        steps=tuple(
            Step(transform=UNSTRUCTURED.name, layers=(name,), settings=settings(share=each, criterion=how[name]))
            for name, each in chosen.items()
        )
    )


def uniform_zeros(weights: Mapping[str, Tensor], share: float) -> dict[str, int]:
    """Return the zeros of each layer: ``share`` of each, rounded."""
    return {name: _within(round(share * weight.numel()), weight) for name, weight in weights.items()}


def erk_zeros(weights: Mapping[str, Tensor], share: float) -> dict[str, int]:
    """Return the zeros of each layer under the Erdos-Renyi-Kernel rule of Evci et al. 2020, arXiv:1911.11134.

    The *density* of a layer is in proportion to ``sum(sizes) / prod(sizes)`` of its weight, as in the authors' code;
    layers that would be denser than dense stay whole, and the others share what is left.
    """
    whole: set[str] = set()
    kept = (1 - share) * sum(weight.numel() for weight in weights.values())
    while True:
        open_names = [name for name in weights if name not in whole]
        left = kept - sum(weights[name].numel() for name in whole)
        scale = left / sum(sum(weights[name].shape) for name in open_names) if open_names else 0.0
        full = {name for name in open_names if scale * sum(weights[name].shape) > weights[name].numel()}
        if not full:
            break
        whole |= full
    return {
        name: 0 if name in whole else _within(round(weight.numel() - scale * sum(weight.shape)), weight)
        for name, weight in weights.items()
    }


def lamp_zeros(weights: Mapping[str, Tensor], share: float) -> dict[str, int]:
    """Return the zeros of each layer under LAMP (Lee et al. 2021, arXiv:2010.07611, equation 4).

    The score of a weight is its square over the squares of all in its layer that are no smaller; the lowest scores of
    the whole model go. The largest of a layer has score 1, so no layer dies. Ties fall to the layer that comes first.
    """
    ranked = {name: _lamp(weight) for name, weight in weights.items()}
    wanted = round(share * sum(weight.numel() for weight in weights.values()))
    low, high = 0.0, 1.0  # as many scores as wanted, or fewer, are below `low`; more than wanted are up to `high`

    def below(border: float) -> int:
        return sum(int(torch.searchsorted(found, border)) for found in ranked.values())

    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if below(middle) <= wanted else (low, middle)
    zeros = {name: int(torch.searchsorted(found, low)) for name, found in ranked.items()}
    missing = wanted - sum(zeros.values())
    for name, found in ranked.items():
        ties = min(
            missing, int(torch.searchsorted(found, low, right=True)) - zeros[name], found.numel() - 1 - zeros[name]
        )
        zeros[name] += max(0, ties)
        missing -= max(0, ties)
    return zeros


def _lamp(weight: Tensor) -> Tensor:
    squares = in_order(weight.detach().abs()).double().square_()
    left = squares.flip(0).cumsum(0).flip(0)
    return torch.where(left > 0, squares / left, 0.0)


def _within(count: int, weight: Tensor) -> int:
    return max(0, min(count, weight.numel() - 1))


def _weights(model: nn.Module, inputs: Inputs, layers: Sequence[str] | None) -> dict[str, Tensor]:
    known = profile(model, inputs, options=ProfileOptions(groups=False, backward=False))
    for name in layers or ():
        find_layer(model, name)
    offers = list(UNSTRUCTURED.sites(known))
    found = [site.layers[0] for site in offers if isinstance(site, Site)]
    reasons = {skip.layers[0]: skip.reason for skip in offers if isinstance(skip, Skip)}
    for name in layers or ():
        if name not in found:
            reason = reasons.get(name, f"it is a {type(find_layer(model, name)).__name__}, which holds no matrix")
            raise InputError(f"{name or 'The model itself'} cannot be made sparse: {reason}. Leave it out of layers.")
    chosen = [name for name in found if layers is None or name in layers]
    if not chosen:
        raise InputError(f"There is no layer of {known.model} that could be made sparse; see UNSTRUCTURED.sites.")
    return {name: weight_of(find_layer(model, name)).detach() for name in chosen}


_ZEROS = {"uniform": uniform_zeros, "lamp": lamp_zeros, "erk": erk_zeros}
