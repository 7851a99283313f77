"""What a backward keeps and does around a batch norm and the layer behind it, with the norm and without it.

The norm keeps its input and the layer the norm's output. Without the norm the layer keeps the norm's input instead. If
the norm is all that learns up to there, no gradient of that input is computed any more.
"""

from __future__ import annotations

from math import prod

from effwidgets.records import Group, LayerProfile, Profile
from effwidgets.transforms.dtypes import bytes_each

__all__ = ["backward_macs", "keeps_input", "kept_obstacle"]


def kept_obstacle(profile: Profile, norm: LayerProfile, layer: LayerProfile) -> str | None:
    """Say why it cannot be told what will be kept and computed for a backward; None where it can.

    Args:
        profile: that has both.
        norm: a batch norm.
        layer: that takes what it returns, and is all that does.
    """
    weight, numbers = layer.tensor("weight"), prod(layer.outputs[0])
    if weight is not None and layer.self_cost.output_bytes != numbers * bytes_each(weight.dtype):
        return f"{layer.name} computes in another dtype than its weight's (autocast), and would round before it centres"
    if not _trains(norm, layer):
        return None
    if _learns(norm) and _graded(profile, norm) is None:
        return "it cannot be told whether anything before it learns, and so what the backward does without it"
    if _counted(profile, norm) and not _kept_after(profile, norm, layer) and not _alone(profile, norm):
        return f"{layer.name} is frozen, and it cannot be told whether something else keeps the norm's input"
    return None


def keeps_input(profile: Profile, norm: LayerProfile, layer: LayerProfile) -> bool:
    """Say whether what the layer keeps counts for it afterwards: it keeps the norm's input, and nobody did before."""
    return _counted(profile, norm) and _kept_after(profile, norm, layer)


def backward_macs(profile: Profile, norm: LayerProfile, layer: LayerProfile) -> int:
    """Return the multiplications of the layer's backward without the norm."""
    own, weight = layer.self_cost, layer.tensor("weight")
    least = own.macs if weight is not None and weight.trainable else 0
    if _learns(norm) and own.backward_macs > least and _graded(profile, norm) is False:
        return own.backward_macs - own.macs
    return own.backward_macs


def _trains(norm: LayerProfile, layer: LayerProfile) -> bool:
    return any(one.self_cost.saved_bytes or one.self_cost.backward_macs for one in (norm, layer))


def _learns(layer: LayerProfile) -> bool:
    return any(tensor.trainable for tensor in layer.tensors)


def _kept_after(profile: Profile, norm: LayerProfile, layer: LayerProfile) -> bool:
    # A frozen convolution keeps its input only for a gradient of it; a linear layer that is frozen keeps nothing.
    graded = _learns(layer) or not _learns(norm) or _graded(profile, norm) is True
    return layer.self_cost.saved_bytes > 0 and graded


def _counted(profile: Profile, norm: LayerProfile) -> bool:
    # Whether the norm is the first to keep its input, which is not one of the model. In training it keeps the mean and
    # the deviation of each channel too.
    kept, numbers = norm.self_cost.saved_bytes, prod(norm.inputs[0])
    each = norm.self_cost.output_bytes // max(1, numbers)
    return kept > (2 * norm.inputs[0][1] * each if profile.train else 0)


def _alone(profile: Profile, norm: LayerProfile) -> bool:
    makers = [handed.maker for handed in profile.handed if handed.taker == norm.name]
    return any(
        not handed.shared and [other.taker for other in profile.handed if other.maker == handed.maker] == [norm.name]
        for handed in profile.handed
        if handed.maker in makers
    )


def _graded(profile: Profile, layer: LayerProfile) -> bool | None:
    # Whether a gradient of what a layer takes is asked for: whether anything before it learns. None: it cannot be told.
    maker = next((profile.layer(handed.maker) for handed in profile.handed if handed.taker == layer.name), None)
    if maker is not None and (_learns(maker) or maker.self_cost.macs):
        return _learns(maker) or maker.self_cost.backward_macs > 0
    group = next((group for group in profile.groups if _passes(group, layer.name)), None)
    made = set() if group is None else {_makes_graded(profile, name) for name in _producers(profile, group)}
    if made:
        return made.pop() if len(made) == 1 else None
    if maker is not None:
        return _graded(profile, maker)
    given = prod(layer.inputs[0]) in map(prod, profile.inputs) and not _counted(profile, layer)  # one of the model's
    return False if given else None


def _passes(group: Group, name: str) -> bool:
    return any(member.layer == name and member.side == "out" for member in group.members)


def _producers(profile: Profile, group: Group) -> list[str]:
    # Those that make the group's channels; norms pass them on, and hold a vector.
    names = (member.layer for member in group.members if member.side == "out")
    return [name for name in names if any(len(tensor.shape) > 1 for tensor in profile.layer(name).tensors)]


def _makes_graded(profile: Profile, name: str) -> bool:
    layer = profile.layer(name)
    return _learns(layer) or layer.self_cost.backward_macs > 0
