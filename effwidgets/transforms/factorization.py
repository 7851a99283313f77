"""What the factorizations share: a layer becomes a `torch.nn.Sequential` of smaller ones whose product it is."""

from __future__ import annotations

import bisect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.records import Cost, Edit, Knob, LayerProfile, Profile, Shape, Site, Skip, Step
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.obstacles import Obstacles, bare_kind, raw_obstacle
from effwidgets.transforms.surgery import (
    blank_parameter,
    find_layer,
    pieces,
    plain_obstacle,
    replace_layer,
    tied_places,
)

__all__ = ["Factorization", "Stage", "bytes_each", "positions", "weight_shape"]

_MATRIX = 2
_BOTH = 2  # gradients: of the weight and of the inputs
_SMALL = 4  # a full rank of three leaves nothing to choose from


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One factor: the shape of its weight and at how many places it is applied in one forward."""

    weight: Shape
    positions: int


def positions(shape: Shape, spatial: int) -> int:
    """Return at how many places a weight is applied for an output (or input) of ``shape``."""
    return prod(shape) // shape[-1 - spatial]


def bytes_each(dtype: str) -> int:
    """Return the bytes of one element of a dtype that is written without ``torch.``."""
    found: torch.dtype = getattr(torch, dtype)
    return found.itemsize


def weight_shape(layer: LayerProfile) -> Shape:
    """Return the sizes of a layer's weight.

    Raises:
        TransformError: it has no plain weight, or did not run in the profiled forward.
    """
    weight = layer.tensor("weight")
    if weight is None or not layer.calls:
        raise TransformError(f"{layer.name or 'the model itself'} has no plain weight or did not run in this forward.")
    return weight.shape


class Factorization(ABC):
    """Base of the techniques that replace one weight by a product of smaller ones.

    A subclass says for which layers it is meant, what its factors look like, how they are computed and multiplied.
    The bias stands once, on the last factor. Frozen weights give frozen factors.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    phase: ClassVar[Literal["structure", "format", "schedule"]] = "structure"
    exact: ClassVar[frozenset[str]] = frozenset({"params", "param_bytes", "macs", "backward_macs"})
    reads: ClassVar[frozenset[str]] = frozenset()
    classes: ClassVar[tuple[type[nn.Module], ...]]
    ranks: ClassVar[tuple[str, ...]]
    reports_raw: ClassVar[bool] = False
    title: ClassVar[str]

    @abstractmethod
    def fits(self, layer: LayerProfile) -> bool:
        """Say whether a layer is of the kind that this technique is meant for; others are not even skipped."""

    @abstractmethod
    def limits(self, weight: Shape) -> tuple[int, ...]:
        """Return the full rank for each of `ranks`."""

    @abstractmethod
    def stages(self, layer: LayerProfile, ranks: Sequence[int]) -> tuple[Stage, ...]:
        """Return the factors that would stand for ``layer``, in the order in which they are applied."""

    @abstractmethod
    def layers(self, module: nn.Module, ranks: Sequence[int]) -> tuple[nn.Module, ...]:
        """Return the factors as layers on the meta device; only the last one may have a bias."""

    @abstractmethod
    def factors(self, weight: Tensor, ranks: Sequence[int]) -> tuple[Tensor, ...]:
        """Return the weights of the factors."""

    @abstractmethod
    def product(self, *weights: Tensor) -> Tensor:
        """Return the weight that applies all factors at once."""

    def sites(self, profile: Profile) -> Iterator[Site | Skip]:
        """Yield every layer of its kind, with the largest rank that pays, or why it is left alone."""
        obstacles = Obstacles(profile)
        for layer in profile.layers:
            reason = raw_obstacle(layer) if self.reports_raw else None
            if reason is None and not self._of_kind(layer):
                continue
            reason = reason or obstacles.of(layer) or self._too_little(layer)
            if reason:
                yield Skip(transform=self.name, layers=(layer.name,), reason=reason)
            else:
                yield self._site(layer)

    def estimate(self, profile: Profile, step: Step) -> Cost:
        """Return the change: each factor's size and the places where it is applied."""
        layer = profile.layer(self._target(step))
        return self._change(layer, self._ranks(step, weight_shape(layer)))

    def rewrite(self, model: nn.Module, step: Step, profile: Profile) -> Edit:
        """Put factors of zeros where the layer stands."""
        del profile
        name = self._target(step)
        module = find_layer(model, name)
        reason = self._misfit(model, module)
        if reason:
            raise TransformError(f"{step}: {reason}.")
        weight, bias = _weight(module), getattr(module, "bias", None)
        ranks = self._ranks(step, tuple(weight.shape))
        layers = self.layers(module, ranks)
        for layer in layers:
            layer.weight = blank_parameter(weight, _weight(layer).shape)
        if bias is not None:
            layers[-1].bias = blank_parameter(bias, bias.shape)
        new = nn.Sequential(*layers)
        replace_layer(model, name, new)
        return Edit(step=step, before=pieces(name, module), after=pieces(name, new))

    def fit(self, model: nn.Module, original: nn.Module, edit: Edit, calibration: Calibration | None) -> Edit:
        """Fill the factors from the original weight. Calibration data is not used."""
        del calibration
        name = self._target(edit.step)
        old, new = find_layer(original, name), find_layer(model, name)
        weight = _weight(old)
        if not bool(torch.isfinite(weight).all()):
            raise TransformError(f"{edit.step}: the weight has entries that are infinite or not a number.")
        factors = self.factors(weight, self._ranks(edit.step, tuple(weight.shape)))
        with torch.no_grad():
            for layer, factor in zip(new.children(), factors, strict=True):
                _weight(layer).copy_(factor)
            if isinstance(old.bias, Tensor):
                list(new.children())[-1].bias.copy_(old.bias)  # type: ignore[operator]
        return edit

    def witness(self, original: nn.Module, edit: Edit, model: nn.Module) -> None:
        """Give the original layer the product of the factors as its weight."""
        name = self._target(edit.step)
        old = find_layer(original, name)
        weights = [_weight(layer).detach() for layer in find_layer(model, name).children()]
        old.weight = nn.Parameter(self.product(*weights), requires_grad=_weight(old).requires_grad)

    def regular(self, layer: LayerProfile) -> bool:
        """Say whether every call had the shapes of the first, so that `stages` may count on them."""
        weight = weight_shape(layer)
        return layer.self_cost.macs == prod(weight) * positions(layer.outputs[0], len(weight) - 2) * layer.calls

    def _of_kind(self, layer: LayerProfile) -> bool:
        return bare_kind(layer) in {kind.__name__ for kind in self.classes} and self.fits(layer)

    def _target(self, step: Step) -> str:
        if len(step.layers) != 1:
            raise TransformError(f"{step}: {self.name} takes one layer, {len(step.layers)} came.")
        return step.layers[0]

    def _ranks(self, step: Step, weight: Shape) -> tuple[int, ...]:
        step.check_settings(self.ranks)
        found = []
        for name, high in zip(self.ranks, self.limits(weight), strict=True):
            value = step.setting(name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= high:
                raise TransformError(f"{step}: {name} is {value!r}; a whole number from 1 to {high} was expected.")
            found.append(value)
        return tuple(found)

    def _misfit(self, model: nn.Module, module: nn.Module) -> str | None:
        if type(module) not in self.classes:
            wanted = " or ".join(kind.__name__ for kind in self.classes)
            return f"the layer is a {type(module).__name__}; {wanted} of torch.nn was expected"
        if getattr(module, "groups", 1) != 1:
            return f"the layer has {module.groups} groups; 1 was expected"
        tied = tied_places(model, module)
        return plain_obstacle(module) or (f"its weight is tied to {tied[0]}" if tied else None)

    def _change(self, layer: LayerProfile, ranks: Sequence[int]) -> Cost:
        weight = next(tensor for tensor in layer.tensors if tensor.name == "weight")
        stages, each, own = self.stages(layer, ranks), bytes_each(weight.dtype), layer.self_cost
        params = sum(prod(stage.weight) for stage in stages) - prod(weight.shape)
        first, *others = (prod(stage.weight) * stage.positions for stage in stages)
        # A backward costs as much again for each gradient: of the weight, and of the inputs where they have one. What
        # the layer had the first factor has; the inputs of the others have one whenever the weights before them do.
        ratio = own.backward_macs // own.macs
        learns = weight.trainable and ratio > 0
        # Between the factors an activation is kept for the gradient of the weight behind it; convolutions keep it
        # also where that weight is frozen. Not promised: under autocast the copies of the weights are kept too.
        keeps = ratio > 0 if len(weight.shape) > _MATRIX else learns
        numbers = weight.shape[0] * (own.macs // prod(weight.shape))  # that the layer returns in all its calls
        between = sum(stage.weight[0] * stage.positions for stage in stages[:-1])
        return Cost(
            params=params,
            param_bytes=params * each,
            macs=first + sum(others) - own.macs,
            backward_macs=ratio * first + (_BOTH if learns else ratio) * sum(others) - own.backward_macs,
            saved_bytes=between * (own.output_bytes // numbers) if keeps else 0,
        )

    def _too_little(self, layer: LayerProfile) -> str | None:
        out, into, *_ = weight_shape(layer)
        if min(self.limits(weight_shape(layer))) < _SMALL:
            return f"it is too small to factor: {into} in, {out} out"
        if not self.regular(layer):
            if not layer.self_cost.macs:
                return "it did no work in this forward: its input was empty"
            differ = f"its {layer.calls} calls differ in shape, or " if layer.calls > 1 else ""
            return f"{differ}its MACs are not those of its shapes"
        if self._break_even(layer) is None:
            return "no rank saves anything: even rank 1 costs as much as the layer"
        return None

    def _break_even(self, layer: LayerProfile) -> tuple[int, ...] | None:
        # The largest ranks, all at the same fraction of full, at which parameters and MACs are both fewer than before.
        limits = self.limits(weight_shape(layer))

        def ranks(first: int) -> tuple[int, ...]:
            return first, *(max(1, first * high // limits[0]) for high in limits[1:])

        def dear(first: int) -> bool:
            change = self._change(layer, ranks(first))
            return change.params >= 0 or change.macs >= 0

        saving = bisect.bisect_left(range(1, limits[0] + 1), True, key=dear)  # noqa: FBT003  the value looked for
        return ranks(saving) if saving else None

    def _site(self, layer: LayerProfile) -> Site:
        limits = self.limits(weight_shape(layer))
        even = self._break_even(layer) or limits
        knobs = tuple(
            Knob(name=name, kind="int", low=1, high=high, break_even=rank)
            for name, high, rank in zip(self.ranks, limits, even, strict=True)
        )
        ranks = ", ".join(f"{knob.name} {knob.break_even:.0f} of {knob.high:.0f}" for knob in knobs)
        shared = f"; the factors run in all {layer.calls} calls" if layer.calls > 1 else ""
        reason = f"{self.title} saves up to {ranks}{shared}"
        return Site(transform=self.name, layers=(layer.name,), knobs=knobs, reason=reason)


def _weight(module: nn.Module) -> Tensor:
    return cast("Tensor", module.weight)
