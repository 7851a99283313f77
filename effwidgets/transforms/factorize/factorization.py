"""What the factorizations share: a layer becomes a `torch.nn.Sequential` of smaller ones whose product it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.records import Cost, Edit, Knob, LayerProfile, Profile, Shape, Site, Skip, Step
from effwidgets.transforms.asked import anyway
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.factorize.break_even import fewer, largest, nothing_saved, saves_both
from effwidgets.transforms.factorize.chains import chained, graded_as, regroup
from effwidgets.transforms.factorize.parts import Part
from effwidgets.transforms.factorize.weights import Values, groups_of, of_groups, weight_of, weight_shape
from effwidgets.transforms.foresee import Foreseen, change_between
from effwidgets.transforms.obstacles import Obstacles, bare_kind, raw_obstacle
from effwidgets.transforms.surgery import (
    blank_parameter,
    find_layer,
    pieces,
    plain_obstacle,
    replace_layer,
    tied_places,
)

__all__ = ["Factorization", "Values", "groups_of", "weight_of", "weight_shape"]

_SMALL = 4  # a full rank of three leaves nothing to choose from


class Factorization(ABC):
    """Base of the techniques that replace one weight by a product of smaller ones.

    A subclass says for which layers it is meant, what its factors look like (`parts`, or `layers`), how they are
    computed and multiplied, all for a layer of one group: a convolution in groups becomes one chain for each group,
    side by side. The bias stands once, on the last factor. Frozen weights give frozen factors.

    A rank that leaves as many parameters as there were is refused, unless the setting ``anyway`` is True.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    phase: ClassVar[Literal["structure", "format", "schedule"]] = "structure"
    exact: ClassVar[frozenset[str]] = frozenset({"params", "param_bytes", "macs", "backward_macs", "saved_bytes"})
    reads: ClassVar[frozenset[str]] = frozenset()
    repairs: ClassVar[frozenset[str]] = frozenset({"least_squares", "bias", "batch_norm"})
    classes: ClassVar[tuple[type[nn.Module], ...]]
    ranks: ClassVar[tuple[str, ...]]
    options: ClassVar[tuple[str, ...]] = ()
    reports_raw: ClassVar[bool] = False
    grouped: ClassVar[bool] = True
    title: ClassVar[str]

    @abstractmethod
    def fits(self, layer: LayerProfile) -> bool:
        """Say whether a layer is of the kind that this technique is meant for; others are not even skipped."""

    @abstractmethod
    def limits(self, weight: Shape) -> tuple[int, ...]:
        """Return the full rank for each of `ranks`."""

    @abstractmethod
    def factors(self, weight: Tensor, ranks: Sequence[int]) -> tuple[Tensor, ...]:
        """Return the weights of the factors."""

    @abstractmethod
    def product(self, *weights: Tensor) -> Tensor:
        """Return the weight that applies all factors at once."""

    def product_for(self, whole: Part, *weights: Tensor) -> Tensor:
        """Return `product` where ``whole`` must be known to find it: the layer as it was, of one group."""
        del whole
        return self.product(*weights)

    def parts(self, whole: Part, ranks: Sequence[int]) -> tuple[Part, ...]:
        """Return the factors that would stand for ``whole``, in the order in which they are applied.

        Only the last one may have a bias. A subclass writes this method, or `layers`.
        """
        return tuple(Part.of_module(layer) for layer in self.layers(whole.build(), ranks))

    def layers(self, module: nn.Module, ranks: Sequence[int]) -> tuple[nn.Module, ...]:
        """Return the factors as layers on the meta device."""
        return tuple(part.build() for part in self.parts(Part.of_module(module), ranks))

    def unsuited(self, layer: LayerProfile) -> str | None:
        """Say why this technique leaves a layer alone that is of its kind; None where it does not."""
        del layer
        return None

    def warns(self, layer: LayerProfile) -> tuple[str, ...]:
        """Return bad news for a layer; with any, the site is an expert choice, which `suggest` does not try."""
        del layer
        return ()

    def values(self, old: nn.Module, edit: Edit, original: nn.Module, calibration: Calibration | None) -> Values:
        """Return the values of the factors for the layer ``old`` of ``original``: from its weight alone, unless given.

        A subclass may fit them to the calibration data.
        """
        del original, calibration
        ranks = self.ranks_of(edit.step, Part.of_module(old))
        return Values(weights=self.grouped_factors(weight_of(old), ranks, groups=groups_of(old)))

    def grouped_factors(self, weight: Tensor, ranks: Sequence[int], *, groups: int) -> tuple[Tensor, ...]:
        """Return `factors` of each group of a convolution, side by side."""
        if groups == 1:
            return self.factors(weight, ranks)
        each = [self.factors(part, ranks) for part in weight.chunk(groups)]
        return tuple(torch.cat(side) for side in zip(*each, strict=True))

    def sites(self, profile: Profile) -> Iterator[Site | Skip]:
        """Yield every layer of its kind, with the largest rank that pays, or why it is left alone."""
        obstacles = Obstacles(profile)
        for layer in profile.layers:
            reason = raw_obstacle(layer) if self.reports_raw else None
            if reason is None and not self._of_kind(layer):
                continue
            reason = reason or obstacles.of(layer) or self._too_little(layer) or self.unsuited(layer)
            if reason:
                yield Skip(transform=self.name, layers=(layer.name,), reason=reason)
            else:
                yield self._site(layer)

    def foresee(self, profile: Profile, step: Step) -> Foreseen:
        """Return the factors as they will stand in the profile, and the channels between them."""
        layer = profile.layer(self.target(step))
        weight_shape(layer)
        whole = Part.of_layer(layer)
        made = chained(layer, self.chain(whole, self.ranks_of(step, whole)), graded=graded_as(profile))
        return Foreseen(layers={layer.name: made}, groups=regroup(profile, layer, made))

    def estimate(self, profile: Profile, step: Step) -> Cost:
        """Return the change: each factor's size, the places where it is applied, and what is kept between them."""
        return change_between(profile, self.foresee(profile, step))

    def chain(self, whole: Part, ranks: Sequence[int]) -> tuple[Part, ...]:
        """Return `parts` for all groups of ``whole``; the last one has its bias."""
        made = self.parts(replace(whole.of_one_group(), bias=whole.bias), ranks)
        *others, last = (part.times(whole.groups) for part in made) if whole.groups > 1 else made
        return *others, replace(last, bias=whole.bias)

    def rewrite(self, model: nn.Module, step: Step, profile: Profile) -> Edit:
        """Put factors of zeros where the layer stands."""
        del profile
        name = self.target(step)
        module = find_layer(model, name)
        reason = self._misfit(model, module)
        if reason:
            raise TransformError(f"{step}: {reason}.")
        weight, bias = weight_of(module), getattr(module, "bias", None)
        whole = Part.of_module(module)
        layers = [part.build() for part in self.chain(whole, self.ranks_of(step, whole))]
        for layer in layers:
            layer.weight = blank_parameter(weight, weight_of(layer).shape)
        if bias is not None:
            layers[-1].bias = blank_parameter(bias, bias.shape)
        new = nn.Sequential(*layers)
        replace_layer(model, name, new)
        return Edit(step=step, before=pieces(name, module), after=pieces(name, new))

    def fit(self, model: nn.Module, original: nn.Module, edit: Edit, calibration: Calibration | None) -> Edit:
        """Fill the factors, see `values`."""
        name = self.target(edit.step)
        old, new = find_layer(original, name), find_layer(model, name)
        if not bool(torch.isfinite(weight_of(old)).all()):
            raise TransformError(f"{edit.step}: the weight has entries that are infinite or not a number.")
        found = self.values(old, edit, original, calibration)
        layers = list(new.children())
        with torch.no_grad():
            for layer, factor in zip(layers, found.weights, strict=True):
                weight_of(layer).copy_(factor)
            bias = found.bias if found.bias is not None else getattr(old, "bias", None)
            if isinstance(bias, Tensor):
                layers[-1].bias.copy_(bias)  # type: ignore[operator]
        return replace(edit, notes=(*edit.notes, *found.notes))

    def witness(self, original: nn.Module, edit: Edit, model: nn.Module) -> None:
        """Give the original layer the product of the factors as its weight, and their bias."""
        name = self.target(edit.step)
        old = find_layer(original, name)
        layers = list(find_layer(model, name).children())
        groups = groups_of(old)
        sides = zip(*(weight_of(layer).detach().chunk(groups) for layer in layers), strict=True)
        one = Part.of_module(old).of_one_group()
        whole = torch.cat([self.product_for(one, *weights) for weights in sides])
        old.weight = nn.Parameter(whole, requires_grad=weight_of(old).requires_grad)
        bias = getattr(old, "bias", None)
        if isinstance(bias, Tensor):
            new = cast("Tensor", layers[-1].bias).detach()
            old.bias = nn.Parameter(new, requires_grad=bias.requires_grad)

    def regular(self, layer: LayerProfile) -> bool:
        """Say whether every call had the shapes of the first, so that the costs of the factors follow from them."""
        return layer.self_cost.macs == Part.of_layer(layer).macs(layer.outputs[0]) * layer.calls

    def ranks_of(self, step: Step, whole: Part) -> tuple[int, ...]:
        """Return the ranks that a step asks for.

        Raises:
            TransformError: one out of range, or ranks that save nothing, unless ``anyway`` is set.
            UnknownNameError: a setting that there is not.
        """
        step.check_settings((*self.ranks, *self.options, "anyway"))
        found = []
        for name, high in zip(self.ranks, self.limits(whole.of_one_group().weight), strict=True):
            value = step.setting(name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= high:
                raise TransformError(f"{step}: {name} is {value!r}; a whole number from 1 to {high} was expected.")
            found.append(value)
        if not anyway(step) and not fewer(whole, self.chain(whole, found)):
            limits = self.limits(whole.of_one_group().weight)
            even = largest(limits, lambda ranks: fewer(whole, self.chain(whole, ranks)))
            raise TransformError(f"{step}: {nothing_saved(whole, self.ranks, found, even)}")
        return tuple(found)

    def _of_kind(self, layer: LayerProfile) -> bool:
        return bare_kind(layer) in {kind.__name__ for kind in self.classes} and self.fits(layer)

    def target(self, step: Step) -> str:
        """Return the one layer that a step names; raise a `TransformError` where it names several."""
        if len(step.layers) != 1:
            raise TransformError(f"{step}: {self.name} takes one layer, {len(step.layers)} came.")
        return step.layers[0]

    def _misfit(self, model: nn.Module, module: nn.Module) -> str | None:
        if type(module) not in self.classes:
            wanted = " or ".join(kind.__name__ for kind in self.classes)
            return f"the layer is a {type(module).__name__}; {wanted} of torch.nn was expected"
        part, tied = Part.of_module(module), tied_places(model, module)
        if part.groups > 1 and (part.groups == part.into or not self.grouped):
            return of_groups(part.groups, part.into)
        return plain_obstacle(module) or (f"its weight is tied to {tied[0]}" if tied else None)

    def _too_little(self, layer: LayerProfile) -> str | None:
        part = Part.of_layer(layer)
        if part.groups > 1 and not self.grouped:
            return of_groups(part.groups, part.into)
        each = part.of_one_group()
        out, into = each.out, each.into
        if (full := min(self.limits(each.weight))) < _SMALL:
            return f"it is too small to factor: {into} in, {out} out, full rank {full}; {_SMALL} or more was expected"
        if not self.regular(layer):
            if not layer.self_cost.macs:
                return "it did no work in this forward: its input was empty"
            differ = f"its {layer.calls} calls differ in shape, or " if layer.calls > 1 else ""
            return f"{differ}its MACs are not those of its shapes"
        if self.break_even(layer) is None:
            return "no rank saves anything: even rank 1 costs as much as the layer"
        return None

    def break_even(self, layer: LayerProfile) -> tuple[int, ...] | None:
        """Return the largest ranks, all at the same fraction of full, at which there are fewer parameters and MACs."""
        return _even(self, Part.of_layer(layer), layer.inputs[0])

    def _site(self, layer: LayerProfile) -> Site:
        limits = self.limits(Part.of_layer(layer).of_one_group().weight)
        even = self.break_even(layer) or limits
        knobs = tuple(
            Knob(name=name, kind="int", low=1, high=high, break_even=rank)
            for name, high, rank in zip(self.ranks, limits, even, strict=True)
        )
        ranks = ", ".join(f"{knob.name} {knob.break_even:.0f} of {knob.high:.0f}" for knob in knobs)
        groups = dict(layer.config).get("groups", 1)
        beside = f" in each of its {groups} groups" if groups != 1 else ""
        shared = f"; the factors run in all {layer.calls} calls" if layer.calls > 1 else ""
        warnings = self.warns(layer)
        return Site(
            transform=self.name,
            layers=(layer.name,),
            knobs=knobs,
            reason=f"{self.title} saves up to {ranks}{beside}{shared}",
            warnings=warnings,
            advised=not warnings,
        )


@lru_cache(maxsize=4096)  # plans ask for the same few shapes thousands of times
def _even(technique: Factorization, whole: Part, given: Shape) -> tuple[int, ...] | None:
    limits = technique.limits(whole.of_one_group().weight)
    return largest(limits, lambda ranks: saves_both(whole, technique.chain(whole, ranks), given))
