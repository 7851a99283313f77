"""What makes a channel worth keeping."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias
from zlib import crc32

import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError, UnknownNameError
from effwidgets.transforms.prune.channels import makes, sides
from effwidgets.transforms.prune.responses import activation, taylor
from effwidgets.transforms.prune.scenes import Scene
from effwidgets.transforms.prune.silent import silent_channels

__all__ = ["CRITERIA", "OF_DATA", "OF_NORMS", "criterion_of", "strength", "strongest"]

Criterion: TypeAlias = Callable[[Scene], Tensor]

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
_CHUNK: Final = 2**24  # numbers of a block of distances in double precision: 128 MB


def _l1(scene: Scene) -> Tensor:
    return _summed(scene, lambda rows, bias: _norms(rows, 1) + bias.abs().sum(1))


def _l2(scene: Scene) -> Tensor:
    return _summed(scene, lambda rows, bias: (_norms(rows, 2).square() + bias.square().sum(1)).sqrt())


def _fpgm(scene: Scene) -> Tensor:
    return _summed(scene, lambda rows, bias: _distances(torch.cat([rows.double().cpu(), bias], 1)))


def _norms(rows: Tensor, order: int) -> Tensor:
    # Added up in double precision without a copy in it: a layer may be most of the model.
    found: Tensor = torch.linalg.vector_norm(rows, ord=order, dim=1, dtype=torch.float64)
    return found.cpu()


def _bn(scene: Scene) -> Tensor:
    total = torch.zeros(scene.group.channels, dtype=torch.float64)
    found = False
    for (layer, _), members in sides(scene.group, scene.axes).items():
        module = scene.modules[layer]
        weight = getattr(module, "weight", None)
        if not isinstance(module, _NORMS) or not isinstance(weight, Tensor):
            continue
        scale = weight.detach().double().cpu().abs()
        for member in members:
            total += _normalised(scene.span(scale, member).sum(1))
            found = True
    if not found:
        raise TransformError(f"{scene.step}: the criterion 'bn' needs a batch norm with a scale; the group has none.")
    return total


def _random(scene: Scene) -> Tensor:
    seed = dict(scene.step.settings).get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise TransformError(f"{scene.step}: seed is {seed!r}; a whole number was expected.")
    # The name in it: otherwise every group would lose the same places.
    drawn = torch.Generator().manual_seed(crc32(f"{seed} {scene.group.name}".encode()))
    return torch.rand(scene.group.channels, generator=drawn, dtype=torch.float64)


_BY_NAME: Final[dict[str, Criterion]] = {
    "l2": _l2,
    "l1": _l1,
    "bn": _bn,
    "fpgm": _fpgm,
    "random": _random,
    "activation": activation,
    "taylor": taylor,
}

CRITERIA: Final = tuple(_BY_NAME)
"""What `strength` can go by; the first one is taken where none is named.

- ``l2``, ``l1``: the norm of the weights and the bias that make a channel (Li et al. 2017, arXiv:1608.08710).
- ``bn``: the scale of its batch norms (Liu et al. 2017, arXiv:1708.06519).
- ``fpgm``: how far the weights that make it are from those of all others together: the ones near their geometric median
  can be stood for by the rest (He et al. 2019, arXiv:1811.00250, equation 6).
- ``random``: by lot, from the setting ``seed``; what any other has to beat.
- ``activation``: how much it adds, in the mean square over the calibration data, to what the layers that read it sum
  up: its own size times that of the weights that read it (Sun et al. 2024, arXiv:2306.11695, for whole channels).
- ``taylor``: how far, to first order, the outputs move on the calibration data when it goes (see `taylor`).
"""

OF_DATA: Final = frozenset({"activation", "taylor"})
"""Those that need calibration data."""

OF_NORMS: Final = frozenset({"bn"})
"""Those that need a batch norm."""


def criterion_of(scene_settings: dict[str, object]) -> str:
    """Return the name of the criterion among the settings of a step.

    Raises:
        UnknownNameError: one that there is not.

    >>> criterion_of({"channels": 3})
    'l2'
    """
    name = scene_settings.get("criterion", CRITERIA[0])
    if name not in _BY_NAME:
        raise UnknownNameError("criterion of channel_prune", name, CRITERIA)
    return str(name)


def strength(scene: Scene) -> Tensor:
    """Return one number for each channel: on the CPU, in double precision, so that ties fall alike.

    Layers differ in scale, so what each of them says is divided by its mean before it is added up: none rules. A
    channel that is zero for every input gets -1, below all others (but by lot): it can go without any loss, whatever
    its weights are (see `silent_channels`). One that is a constant is not zero.

    Raises:
        UnknownNameError: a criterion that there is not.
        TransformError: the group has no layer that the criterion reads, its weights are not finite, or the criterion
            needs calibration data and there are none.
    """
    name = criterion_of(dict(scene.step.settings))
    total = _BY_NAME[name](scene)
    if not bool(torch.isfinite(total).all()):
        raise TransformError(f"{scene.step}: weights in the group are infinite or not a number.")
    return total if name == "random" else total.masked_fill(silent_channels(scene), -1.0)


def strongest(scores: Tensor, wanted: int, blocks: int = 1) -> list[int]:
    """Return the places of the ``wanted`` highest scores, ascending; the same number from each of ``blocks`` runs.

    >>> strongest(torch.tensor([4.0, 3.0, 1.0, 2.0]), 2)
    [0, 1]
    >>> strongest(torch.tensor([4.0, 3.0, 1.0, 2.0]), 2, blocks=2)
    [0, 3]
    """
    runs = scores.view(blocks, -1)
    order = runs.argsort(dim=1, descending=True, stable=True)[:, : wanted // blocks]
    first = torch.arange(blocks)[:, None] * runs.shape[1]
    return sorted((order + first).flatten().tolist())


def _rows(scene: Scene) -> Iterator[tuple[Tensor, Tensor]]:
    # For each run of each layer that makes the channels: the weights that make one of them in a row, and its biases.
    for (layer, side), members in sides(scene.group, scene.axes).items():
        axes, module = scene.axes[layer], scene.modules[layer]
        if side != "out" or not makes(side, axes):
            continue
        weight, bias = scene.by_entry(layer, "out", scene.weight(layer)), getattr(module, "bias", None)
        added = bias.detach() if isinstance(bias, Tensor) else weight.new_zeros(len(weight))
        for member in members:
            yield scene.span(weight, member), scene.span(added.double().cpu(), member)


def _summed(scene: Scene, measure: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    total = torch.zeros(scene.group.channels, dtype=torch.float64)
    found = False
    for rows, bias in _rows(scene):
        total += _normalised(measure(rows, bias))
        found = True
    if not found:
        raise TransformError(f"{scene.step}: no layer of the group has a weight that makes the channels.")
    return total


def _normalised(scores: Tensor) -> Tensor:
    mean = scores.mean()
    return scores / mean if bool(mean > 0) else scores


def _distances(rows: Tensor) -> Tensor:
    # The sum of the distances of each row to all.
    own = rows.square().sum(1)
    each = max(1, _CHUNK // len(rows))
    found = []
    for first in range(0, len(rows), each):
        part = slice(first, first + each)
        found.append((own[part, None] + own - 2 * (rows[part] @ rows.T)).clamp_(min=0).sqrt_().sum(1))
    return torch.cat(found)
