"""Which layers stand next to a batch norm and why one of them cannot take it over, as far as a profile tells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from effwidgets.records import LayerProfile, Profile
from effwidgets.transforms.obstacles import FLOATS, bare_kind
from effwidgets.transforms.schedule.fold_kept import kept_obstacle
from effwidgets.transforms.schedule.fold_values import NORMS, PLAIN, TRANSPOSED, pads_zeros

__all__ = ["NORM_NAMES", "after", "before", "norm_obstacle", "obstacle_ahead", "obstacle_back"]

NORM_NAMES: Final = frozenset({*(kind.__name__ for kind in NORMS), "SyncBatchNorm"})
"""Kinds of layers that are batch norms."""

_RANKS: Final = {kind.__name__: 2 if kind is PLAIN[0] else 2 + int(kind.__name__[-2]) for kind in (*PLAIN, *TRANSPOSED)}
_TURNED: Final = frozenset(kind.__name__ for kind in TRANSPOSED)


def before(profile: Profile, norm: LayerProfile) -> LayerProfile | None:
    """Return the layer that hands a norm its input; None where that is not one that ran once."""
    maker = next((handed.maker for handed in profile.handed if handed.taker == norm.name), None)
    return None if maker is None else _standing(profile, maker, -1)


def after(profile: Profile, norm: LayerProfile) -> LayerProfile | None:
    """Return a layer that takes what a norm returns; None where that is not one that ran once."""
    taker = next((handed.taker for handed in profile.handed if handed.maker == norm.name), None)
    return None if taker is None else _standing(profile, taker, 0)


def norm_obstacle(norm: LayerProfile) -> str | None:
    """Say why a norm can go nowhere; None where it can."""
    if norm.kind == "SyncBatchNorm":
        return "it is a SyncBatchNorm, of several machines; torch.nn.BatchNorm2d was expected"
    if norm.calls != 1:
        return f"it ran {norm.calls} times in this forward; once was expected" if norm.calls else "it did not run"
    if norm.tensor("running_mean") is None or norm.tensor("running_var") is None:
        return "it keeps no statistics: it norms each batch by itself, also in use, which no layer next to it can do"
    names = {tensor.name for tensor in norm.tensors}
    odd = names - {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    if odd:
        return f"it holds {', '.join(sorted(odd))} beside a norm's own tensors: parametrized or masked"
    tied = next((tensor for tensor in norm.tensors if tensor.tied_to is not None), None)
    return None if tied is None else f"its {tied.name} is tied to {tied.tied_to}"


def obstacle_back(profile: Profile, norm: LayerProfile, layer: LayerProfile | None) -> str | None:
    """Say why a norm does not go into the layer before it; None where it does."""
    if layer is None:
        return (
            "its input is not what one layer returned that ran once: something stands between, the layer is shared, or "
            "it is the model's input"
        )
    kind = bare_kind(layer)
    if kind not in _RANKS:
        return f"what is before it is {layer.kind} {layer.name}; a convolution or a linear layer was expected"
    if reason := _weight_obstacle(layer, kind):
        return reason
    if layer.calls != 1:
        return f"{layer.name}, before it, ran {layer.calls} times in this forward; once was expected"
    if len(norm.inputs[0]) != _RANKS[kind]:
        return f"{layer.name} returns {len(norm.inputs[0])} dimensions, of which the norm takes the second as channels"
    return _frozen(norm, layer) or _tie(profile, layer) or _read_beside(profile, norm)


def obstacle_ahead(profile: Profile, norm: LayerProfile, layer: LayerProfile | None) -> str | None:
    """Say why a norm does not go into the layer behind it; None where it does.

    A view between the two is seen where it changes the shape. One that swaps dimensions of the same size is not: then
    `verify` finds other answers and takes the step back.
    """
    taken = [handed for handed in profile.handed if handed.maker == norm.name]
    if layer is None:
        return (
            "what it returns is not all that one layer takes that ran once: something stands between, the layer is "
            "shared, or it is the model's output"
        )
    if len(taken) > 1 or any(handed.shared for handed in taken):
        return "what it returns is read elsewhere too, and would not be normed there"
    kind = bare_kind(layer)
    if kind not in _RANKS:
        return f"what is behind it is {layer.kind} {layer.name}; a convolution or a linear layer was expected"
    return (
        _weight_obstacle(layer, kind)
        or _place_obstacle(norm, layer, kind)
        or _frozen(norm, layer)
        or _tie(profile, layer)
        or kept_obstacle(profile, norm, layer)
    )


def _standing(profile: Profile, name: str, link: int) -> LayerProfile:
    # A layer that an earlier step made a chain of: what is handed to it its first link takes, its last one hands on.
    layer = profile.layer(name)
    while layer.kind == "Sequential" and (links := list(profile.children(layer.name))):
        layer = links[link]
    return layer


def _read_beside(profile: Profile, norm: LayerProfile) -> str | None:
    maker = next((handed.maker for handed in profile.handed if handed.taker == norm.name), None)
    taken = [handed for handed in profile.handed if handed.maker == maker]
    if any(handed.shared or handed.taker != norm.name for handed in taken):
        return f"what {maker} returns is read elsewhere too, and would be normed there as well"
    return None


def _weight_obstacle(layer: LayerProfile, kind: str) -> str | None:
    weight = layer.tensor("weight")
    named = {tensor.name for tensor in layer.tensors}
    if layer.kind != kind or weight is None or weight.kind != "parameter" or named - {"weight", "bias"}:
        return f"the weight of {layer.name} is not a plain parameter: parametrized, masked or normalised"
    if weight.dtype not in FLOATS:
        return f"the weight of {layer.name} is {weight.dtype}; floating point was expected"
    return None


def _place_obstacle(norm: LayerProfile, layer: LayerProfile, kind: str) -> str | None:
    # What the layer behind a norm does with what it is given.
    dims = len(norm.outputs[0])
    if layer.calls != 1:
        return f"{layer.name}, behind it, ran {layer.calls} times in this forward; once was expected"
    if kind in _TURNED:
        return f"{layer.name}, behind it, is transposed: its outputs read unequally many inputs, each of them shifted"
    if layer.inputs[0] != norm.outputs[0]:
        return f"what it returns is looked at in another shape before {layer.name} takes it"
    if dims != _RANKS[kind]:
        axis = "the last" if kind == "Linear" else "the first"
        return f"it norms along the second of {dims} dimensions, and {layer.name} reads along {axis}"
    return None if kind == "Linear" else _border_obstacle(layer)


def _border_obstacle(layer: LayerProfile) -> str | None:
    config = dict(layer.config)
    if "padding" not in config:
        return f"the class of {layer.name} is not torch.nn's own: what its forward does with its weight is not known"
    if pads_zeros(config["padding"], config.get("padding_mode", "zeros"), config.get("kernel_size", 0)):
        return f"{layer.name}, behind it, pads with zeros, which are not normed; folded, they would be"
    return None


def _frozen(norm: LayerProfile, layer: LayerProfile) -> str | None:
    affine, weight = norm.tensor("weight"), layer.tensor("weight")
    if affine is not None and affine.trainable and not (weight and weight.trainable):
        return f"it learns and {layer.name} is frozen: folded, it would be frozen too"
    return None


def _tie(profile: Profile, layer: LayerProfile) -> str | None:
    ties = dict(_ties(profile))
    for tensor in layer.tensors:
        tied = tensor.tied_to or ties.get(f"{layer.name}.{tensor.name}")
        if tied is not None:
            return f"the {tensor.name} of {layer.name} is tied to {tied}"
    return None


def _ties(profile: Profile) -> Iterator[tuple[str, str]]:
    for other in profile.layers:
        for tensor in other.tensors:
            if tensor.tied_to:
                yield tensor.tied_to, other.name
