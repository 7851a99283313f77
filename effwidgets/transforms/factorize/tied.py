"""An embedding and the head that shares its matrix, as one pair of factors that both share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from effwidgets.errors import TransformError
from effwidgets.records import Cost, Edit, Group, Knob, LayerProfile, Profile, Site, Step, TensorInfo
from effwidgets.transforms.dtypes import bytes_each
from effwidgets.transforms.factorize.chains import chained, graded_as, regroup
from effwidgets.transforms.factorize.factors import matrix_factors, matrix_product
from effwidgets.transforms.factorize.parts import Part
from effwidgets.transforms.foresee import Foreseen
from effwidgets.transforms.graphs import graph_of
from effwidgets.transforms.surgery import (
    blank_parameter,
    find_layer,
    pieces,
    plain_obstacle,
    replace_layer,
    tied_places,
)

__all__ = ["embedding_obstacle", "fit_pair", "foresee_pair", "pair_sites", "rewrite_pair", "witness_pair"]

_PAIR = 2
_SMALL = 4


def embedding_obstacle(module: nn.Embedding) -> str | None:
    """Say what an embedding does beside looking rows up; None where it does nothing else."""
    if module.padding_idx is not None:
        return f"its row {module.padding_idx} is padding, which must not learn: a second factor would change it"
    if module.max_norm is not None:
        return "max_norm rescales its rows in the forward"
    if module.sparse or module.scale_grad_by_freq:
        return "its gradients are sparse or scaled by how often a row is used"
    return None


class _Turned(nn.Module):
    # Multiplies by the transpose of a matrix that another layer holds too.

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight.t())


def pairs_of(profile: Profile) -> Iterator[tuple[LayerProfile, LayerProfile]]:
    """Yield each embedding with the one Linear that is tied to it, and to nothing else."""
    layers = {layer.name: layer for layer in profile.layers}
    ties: dict[str, list[str]] = {}
    for layer in profile.layers:
        for tensor in layer.tensors:
            if tensor.tied_to is not None:
                ties.setdefault(tensor.tied_to, []).append(f"{layer.name}.{tensor.name}")
    for owner, others in ties.items():
        names = [path.rpartition(".")[0] for path in (owner, *others) if path.endswith(".weight")]
        found = sorted((layers[name] for name in names if name in layers), key=lambda layer: layer.kind)
        if len(names) == _PAIR == 1 + len(others) and [layer.kind for layer in found] == ["Embedding", "Linear"]:
            yield found[0], found[1]


def pair_sites(profile: Profile, transform: str) -> Iterator[Site]:
    """Yield a site for each pair that runs: the embedding first."""
    for embedding, head in pairs_of(profile):
        weight = embedding.tensor("weight")
        assert weight is not None  # noqa: S101  it is what they share
        entries, width = weight.shape
        even = (entries * width - 1) // (entries + width)
        plain = dict(embedding.config).get("padding_idx") is None
        if not (embedding.calls and head.calls and head.self_cost.macs and plain) or min(even, width) < _SMALL:
            continue
        knob = Knob(name="rank", kind="int", low=1, high=min(entries, width), break_even=even)
        yield Site(
            transform=transform,
            layers=(embedding.name, head.name),
            knobs=(knob,),
            reason=f"Embedding and head share their matrix, and so do the factors: saves up to rank {even} of {width}",
            warnings=("what an embedding keeps of rare entries is lost first; looking a row up then costs a product",),
            advised=False,
        )


def foresee_pair(profile: Profile, step: Step, rank: int) -> Foreseen:
    """Return what stands where the two layers stood: the parameters with the one that comes first."""
    embedding, head = (profile.layer(name) for name in step.layers)
    parts = _parts(Part.of_layer(embedding), rank)
    graded = graded_as(profile)
    first = chained(embedding, parts, graded=graded)
    stages = Part.point("Linear", rank, parts[1].out), replace(_up(parts[0]), bias=_biased(head))
    second = chained(head, stages, graded=graded)
    second = (second[0], replace(second[1], kind="Turned", config=()), second[2])
    order = {layer.name: place for place, layer in enumerate(profile.layers)}
    if order[embedding.name] < order[head.name]:
        second = second[0], _owned(second[1], first[2]), _owned(second[2], first[1])
    else:
        first = first[0], _owned(first[1], second[2]), _owned(first[2], second[1])
    turned = replace(second[1], tensors=tuple(replace(t, shape=parts[1].weight) for t in second[1].tensors))
    second = second[0], turned, second[2]
    layers = {embedding.name: first, head.name: second}
    plain = (second[0], replace(turned, kind="Linear", tensors=_linear(turned)), second[2])
    groups = regroup(replace(profile, groups=regroup(profile, embedding, first)), head, plain)
    return Foreseen(layers=layers, groups=tuple(_barred(groups, profile, step)))


def _barred(groups: tuple[Group, ...], profile: Profile, step: Step) -> Iterator[Group]:
    # Nothing of the two may be pruned: the ties say so, and what multiplies by a transpose is no layer of torch's.
    embed, head = step.layers
    ties = {
        f"{embed}.0": (f"{embed}.0", f"{head}.1"),
        f"{embed}.1": (f"{embed}.1", f"{head}.0"),
        f"{head}.1": (f"{head}.1", f"{embed}.0"),
    }
    owner = embed if profile.layer(embed).tensor("weight") in _untied(profile.layer(embed)) else head
    shared = f"{embed}.1.weight" if owner == embed else f"{head}.0.weight"
    for group in groups:
        if group.name == f"{head}.0":
            why = f"'{head}.0' is a Turned, whose weight may lie another way than that of a layer of torch"
            alone = tuple(member for member in group.members if member.side == "out")
            yield replace(group, members=alone, obstacle=why, saved_bytes_each=0, saved_at=())
            continue
        members = tuple(member for member in group.members if member.layer != f"{head}.0")
        if len(members) < len(group.members):
            yield replace(
                group, members=members, obstacle=f"it meets the parameter '{shared}', which no known layer reads"
            )
        elif group.name in ties:
            one, other = ties[group.name]
            yield replace(group, obstacle=f"the weight of '{one}' is tied to that of '{other}'")
        else:
            yield group


def _untied(layer: LayerProfile) -> list[TensorInfo]:
    return [tensor for tensor in layer.tensors if tensor.tied_to is None]


def _linear(turned: LayerProfile) -> tuple[TensorInfo, ...]:
    return tuple(replace(tensor, shape=tensor.shape[::-1]) for tensor in turned.tensors)


def _parts(whole: Part, rank: int) -> tuple[Part, Part]:
    entries, width = whole.weight
    return Part(kind="Embedding", weight=(entries, rank)), Part.point("Linear", width, rank)


def _up(embedding: Part) -> Part:
    return Part.point("Linear", embedding.weight[0], embedding.weight[1])


def _biased(layer: LayerProfile) -> bool:
    return layer.tensor("bias") is not None


def _owned(layer: LayerProfile, owner: LayerProfile) -> LayerProfile:
    # Its weight is counted at ``owner``.
    weight = layer.tensor("weight")
    assert weight is not None  # noqa: S101  a factor has one
    numbers = 1
    for size in weight.shape:
        numbers *= size
    less = Cost(params=numbers, param_bytes=numbers * bytes_each(weight.dtype))
    tensors = tuple(
        replace(tensor, tied_to=f"{owner.name}.weight") if tensor.name == "weight" else tensor
        for tensor in layer.tensors
    )
    return replace(layer, tensors=tensors, cost=layer.cost - less, self_cost=layer.self_cost - less)


def _both(model: nn.Module, step: Step) -> tuple[nn.Embedding, nn.Linear]:
    embedding, head = (find_layer(model, name) for name in step.layers)
    if type(embedding) is not nn.Embedding or type(head) is not nn.Linear or embedding.weight is not head.weight:
        kinds = f"{type(embedding).__name__} and {type(head).__name__}"
        raise TransformError(f"{step}: the layers are {kinds}; an Embedding and a Linear of one weight were expected.")
    return embedding, head


def rewrite_pair(model: nn.Module, step: Step, rank: int) -> Edit:
    """Put factors of zeros where the two stand: each of the two matrices once, held by both."""
    embedding, head = _both(model, step)
    places = set(tied_places(model, embedding)) - {f"{step.layers[1]}.weight"}
    reason = embedding_obstacle(embedding) or plain_obstacle(embedding) or plain_obstacle(head)
    if reason or places:
        raise TransformError(f"{step}: {reason or f'the weight is tied to {min(places)} too'}.")
    entries, width = embedding.weight.shape
    rows, columns = blank_parameter(embedding.weight, (entries, rank)), blank_parameter(head.weight, (width, rank))
    one = nn.Sequential(nn.Embedding(entries, rank, device="meta"), nn.Linear(rank, width, bias=False, device="meta"))
    last = nn.Linear(rank, entries, bias=head.bias is not None, device="meta")
    one[0].weight, one[1].weight, last.weight = rows, columns, rows
    if head.bias is not None:
        last.bias = blank_parameter(head.bias, head.bias.shape)
    two = nn.Sequential(graph_of(_Turned(columns), "Turned"), last)
    before = (*pieces(step.layers[0], embedding), *pieces(step.layers[1], head))
    replace_layer(model, step.layers[0], one)
    replace_layer(model, step.layers[1], two)
    return Edit(step=step, before=before, after=(*pieces(step.layers[0], one), *pieces(step.layers[1], two)))


def fit_pair(model: nn.Module, original: nn.Module, edit: Edit, rank: int) -> Edit:
    """Fill the two matrices with the nearest of this rank."""
    embedding, head = _both(original, edit.step)
    new, last = (find_layer(model, name) for name in edit.step.layers)
    first, second = matrix_factors(embedding.weight.T, rank)
    with torch.no_grad():
        rows, columns = (cast("Tensor", part.weight) for part in new.children())
        rows.copy_(first.T)
        columns.copy_(second)
        if head.bias is not None:
            cast("Tensor", list(last.children())[1].bias).copy_(head.bias)
    return edit


def witness_pair(original: nn.Module, edit: Edit, model: nn.Module) -> None:
    """Give both layers the product of the factors as their one weight."""
    embedding, head = _both(original, edit.step)
    rows, columns = (cast("Tensor", part.weight).detach() for part in find_layer(model, edit.step.layers[0]).children())
    whole = matrix_product(rows.T, columns).T.contiguous()
    embedding.weight = head.weight = nn.Parameter(whole, requires_grad=embedding.weight.requires_grad)
