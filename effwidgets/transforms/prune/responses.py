"""How strong channels are on real inputs, seen where they are read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.profiling.calls import Call, tensors_in
from effwidgets.transforms.prune.scenes import Scene
from effwidgets.transforms.surgery import find_layer
from effwidgets.transforms.trial import answer, stand_in

__all__ = ["activation", "taylor"]

_ENOUGH: Final = 1024  # squares that an expectation is taken over: a relative error of sqrt(2 / 1024), some 4%
_MOST: Final = 16  # directions for each batch
_SEED: Final = 0

Look = Callable[[str, Tensor, int], "Tensor | None"]
"""Called with the layer, what it reads, and the dimension of its channels; returns what it shall read in its place."""


def activation(scene: Scene) -> Tensor:
    """Return how much each channel adds, in the mean square, to what the layers that read it sum up.

    For one reader ``sqrt(sum over the entries e of the channel of mean(x_e^2) * |w_e|^2)``, with the inputs ``x`` of
    the calibration data and the weights ``w_e`` that read the entry; divided by its mean over the channels and added up
    over the readers.

    Raises:
        TransformError: no calibration data, or no reader runs with them.
    """
    squares: dict[str, Tensor] = {}
    rows: dict[str, int] = {}

    def look(layer: str, given: Tensor, axis: int) -> None:
        entries = given.detach().movedim(axis, 0).flatten(1).double()
        found = entries.square().sum(1).cpu()
        squares[layer] = squares[layer] + found if layer in squares else found
        rows[layer] = rows.get(layer, 0) + entries.shape[1]

    twin = stand_in(scene.model)
    with _looking(scene, twin, look):
        for batch in scene.data("activation").batches:
            answer(twin, batch)
    total = torch.zeros(scene.group.channels, dtype=torch.float64)
    for layer, members in scene.readers():
        if rows.get(layer, 0):
            read = torch.linalg.vector_norm(
                scene.by_entry(layer, "in", scene.weight(layer)), dim=1, dtype=torch.float64
            )
            means = squares[layer] / rows[layer] * read.cpu().square()
            own = sum((scene.span(means, member).sum(1) for member in members), torch.zeros_like(total)).sqrt()
            total += own / own.mean() if bool(own.mean() > 0) else own
    return _checked(scene, total, bool(squares))


def taylor(scene: Scene) -> Tensor:
    """Return how far the outputs move, to first order, when each channel is silenced where it is read.

    The criterion of Molchanov et al. 2017 (arXiv:1611.06440, equation 8; 2019, arXiv:1906.10771, with gates) is the
    square of the gradient times the activation, summed over the places of a sample: the first-order change when the
    activation goes. It is meant for a loss, and here are no labels; of the squared distance to the model's own outputs
    the gradient is zero. So the gradient is taken of the outputs themselves, along random directions of plus and minus
    one: the mean of its square is the squared length of ``J a``, where ``J`` is the Jacobian of the outputs (Hutchinson
    1989, doi:10.1080/03610918908812806), which is also the Gauss-Newton estimate of that squared distance. Each output
    tensor counts in proportion to its norm.

    Raises:
        TransformError: no calibration data, or no gradient reaches the readers.
    """
    batches = scene.data("taylor").batches
    drawn = torch.Generator().manual_seed(_SEED)
    total = torch.zeros(scene.group.channels, dtype=torch.float64)
    found = 0
    for batch in batches:
        gates: list[tuple[str, Tensor]] = []
        for gradients in _gradients(scene, batch, drawn, gates, probes=len(batches)):
            moved = _moved(scene, gates, gradients)
            total += sum((part.square().sum(0) for part in moved), torch.zeros_like(total))
            found += sum(len(part) for part in moved)
    return _checked(scene, (total / max(found, 1)).sqrt(), found > 0)


def _gradients(
    scene: Scene, batch: Call, drawn: torch.Generator, gates: list[tuple[str, Tensor]], *, probes: int
) -> list[tuple[Tensor | None, ...]]:
    # Of a random sum of the outputs, by gates of one that stand at every reader; several for each batch.
    def look(layer: str, given: Tensor, axis: int) -> Tensor:
        shape = [1] * given.dim()
        shape[0] = given.shape[0]
        shape[axis] = given.shape[axis]
        gate = torch.ones(shape, dtype=given.dtype, device=given.device, requires_grad=True)
        gates.append((layer, gate))
        return given * gate

    twin = stand_in(scene.model)
    with _looking(scene, twin, look):
        outputs = answer(twin, batch, gradients=True)
    ends = [tensor for tensor in tensors_in(outputs) if tensor.requires_grad and tensor.is_floating_point()]
    if not ends or not gates:
        return []
    each = max(1, min(_MOST, math.ceil(_ENOUGH / (probes * max(1, ends[0].shape[0] if ends[0].dim() else 1)))))
    with torch.inference_mode(mode=False), torch.enable_grad():
        return [_gradient(ends, gates, drawn, last=number == each - 1) for number in range(each)]


def _gradient(
    ends: list[Tensor], gates: list[tuple[str, Tensor]], drawn: torch.Generator, *, last: bool
) -> tuple[Tensor | None, ...]:
    aim = torch.stack([_along(tensor, drawn).cpu() for tensor in ends]).sum()
    return torch.autograd.grad(aim, [gate for _, gate in gates], allow_unused=True, retain_graph=not last)


def _along(tensor: Tensor, drawn: torch.Generator) -> Tensor:
    signs = torch.randint(0, 2, tuple(tensor.shape), generator=drawn).to(tensor.device) * 2 - 1
    known = torch.where(torch.isfinite(tensor), tensor, torch.zeros_like(tensor))
    length = known.detach().double().norm().clamp(min=torch.finfo(torch.float32).tiny)
    along: Tensor = (known.double() * signs).sum() / length
    return along


def _moved(scene: Scene, gates: list[tuple[str, Tensor]], gradients: tuple[Tensor | None, ...]) -> list[Tensor]:
    # For each sample and channel how far the sum moves; over all readers, where they see the samples in one order.
    members = dict(scene.readers())
    found: dict[int, Tensor] = {}
    for (layer, gate), gradient in zip(gates, gradients, strict=True):
        if gradient is None:
            continue
        axis = _axis(scene.modules[layer], gate)
        entries = gradient.double().cpu().movedim(axis, -1).reshape(-1 if axis else 1, gate.shape[axis])
        for member in members[layer]:
            own = scene.span(entries.T, member).view(scene.group.channels, member.repeat, -1).sum(1).T
            found[len(own)] = found[len(own)] + own if len(own) in found else own
    return list(found.values())


@contextmanager
def _looking(scene: Scene, twin: nn.Module, look: Look) -> Iterator[None]:
    handles = []
    for layer, _ in scene.readers():
        handles.append(find_layer(twin, layer).register_forward_pre_hook(_hook(layer, look), with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(layer: str, look: Look) -> Callable[..., Any]:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = args[0] if args else kwargs.get("input")
        if not isinstance(given, Tensor):
            return None
        shown = look(layer, given, _axis(module, given))
        if shown is None:
            return None
        return ((shown, *args[1:]), kwargs) if args else (args, {**kwargs, "input": shown})

    return hook


def _axis(module: nn.Module, given: Tensor) -> int:
    # The dimension of the channels: the last one of a Linear, the one before the places of a convolution.
    weight = module.weight
    assert isinstance(weight, Tensor)  # noqa: S101  a reader has one
    return given.dim() - weight.dim() + 1 if weight.dim() > 2 else given.dim() - 1


def _checked(scene: Scene, scores: Tensor, seen: bool) -> Tensor:  # noqa: FBT001
    if not seen:
        layers = ", ".join(layer for layer, _ in scene.readers()) or "nothing"
        raise TransformError(f"{scene.step}: {layers} did not run on the calibration data, or no gradient reached it.")
    if not bool(torch.isfinite(scores).all()):
        raise TransformError(f"{scene.step}: the calibration data give infinities or NaN at the channels.")
    return scores
