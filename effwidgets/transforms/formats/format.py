"""What the techniques share that give the numbers of one layer another format and leave its sizes alone."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.profiling.shadow import share
from effwidgets.records import Cost, Edit, Group, Knob, LayerProfile, Piece, Profile, Settings, Site, Skip, Step
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.foresee import Foreseen, change_between
from effwidgets.transforms.formats.standing import Standing, misfit
from effwidgets.transforms.surgery import find_layer, pieces, replace_layer

__all__ = ["CONVOLUTIONS", "Filling", "Format", "weight_of"]

CONVOLUTIONS: frozenset[str] = frozenset({"Conv1d", "Conv2d", "Conv3d"})


def weight_of(module: nn.Module) -> Tensor:
    """Return the weight of a layer."""
    return cast("Tensor", module.weight)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Filling:
    """What a new layer is filled from. Holds modules, so it is no record.

    Attributes:
        step: what was asked for.
        old: the layer as it was.
        new: what stands there now.
        original: the model before the step, which runs.
        calibration: real inputs, or None.
    """

    step: Step
    old: nn.Module
    new: nn.Module
    original: nn.Module
    calibration: Calibration | None


class Format(ABC):
    """Base of the techniques of one layer: its weight is zeroed, rounded or coded; shapes and MACs stay.

    A subclass says for which layers it is, what stands there afterwards, and how its values come about.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    phase: ClassVar[Literal["structure", "format", "schedule"]] = "format"
    exact: ClassVar[frozenset[str]] = frozenset({"params", "param_bytes", "macs"})
    reads: ClassVar[frozenset[str]] = frozenset()
    repairs: ClassVar[frozenset[str]] = frozenset({"batch_norm"})
    lossless: ClassVar[bool] = False
    kinds: ClassVar[frozenset[str]]
    known: ClassVar[frozenset[str]]
    replaces: ClassVar[bool] = True

    @abstractmethod
    def offer(self, layer: LayerProfile, profile: Profile) -> str | tuple[tuple[Knob, ...], str]:
        """Return why ``layer`` is left alone; else what can be set there and what it would be, in a sentence."""

    @abstractmethod
    def standing(self, layer: LayerProfile, step: Step) -> tuple[LayerProfile, ...]:
        """Return what stands where ``layer`` does after ``step``; the first has its name."""

    @abstractmethod
    def build(self, module: nn.Module, step: Step) -> nn.Module:
        """Return what is to stand in the place of ``module``, without its values; or itself, with a new weight."""

    @abstractmethod
    def fill(self, filling: Filling) -> tuple[Settings, tuple[str, ...]]:
        """Give the new layer its values; return what was measured, and what a reader must know, in sentences."""

    @abstractmethod
    def dense(self, new: nn.Module, old: nn.Module) -> Tensor:
        """Return the weight that ``new`` multiplies by, as a plain tensor of the shape of that of ``old``."""

    def rounds(self, step: Step) -> bool:
        """Say whether more than the weight is rounded, so that no dense layer answers the same."""
        del step
        return False

    def warnings(self, layer: LayerProfile) -> tuple[str, ...]:
        """Return what speaks against it at ``layer``, in sentences."""
        del layer
        return ()

    def sites(self, profile: Profile) -> Iterator[Site | Skip]:
        """Yield every layer that holds a matrix: what can be done there, or why it is left alone."""
        standing = Standing(profile, self.kinds, replaces=self.replaces)
        for layer in profile.layers:
            if not standing.concerns(layer):
                continue
            found = standing.of(layer) or self.offer(layer, profile)
            if isinstance(found, str):
                yield Skip(transform=self.name, layers=(layer.name,), reason=found)
                continue
            knobs, reason = found
            yield Site(
                transform=self.name,
                layers=(layer.name,),
                knobs=knobs,
                reason=reason,
                warnings=self.warnings(layer),
                advised=False,
            )

    def estimate(self, profile: Profile, step: Step) -> Cost:
        """Return the change of what the layer holds; its work stays what it was."""
        return change_between(profile, self.foresee(profile, step))

    def foresee(self, profile: Profile, step: Step) -> Foreseen:
        """Return what stands in the profile afterwards.

        Raises:
            TransformError: a setting out of range, or a layer without a plain weight.
            UnknownNameError: no such layer or setting.
        """
        layer = profile.layer(self.target(step))
        self.check(step)
        if layer.tensor("weight") is None:
            raise TransformError(f"{step}: {layer.name or 'the model itself'} has no plain weight.")
        groups = tuple(self._closed(group, layer) for group in profile.groups) if self.replaces else None
        return Foreseen(layers={layer.name: self.standing(layer, step)}, groups=groups)

    def _closed(self, group: Group, layer: LayerProfile) -> Group:
        # No channel of the layer can be cut out any more.
        held = any(member.layer in (layer.name, *layer.aliases) for member in group.members)
        reason = group.obstacle or f"{layer.name} is in another format after {self.name}: prune before that"
        return dataclasses.replace(group, obstacle=reason) if held else group

    def rewrite(self, model: nn.Module, step: Step, profile: Profile) -> Edit:
        """Put the layer in its new format where the old one stands, without its values."""
        del profile
        name = self.target(step)
        self.check(step)
        module = find_layer(model, name)
        reason = misfit(model, module, self.kinds, replaces=self.replaces)
        if reason:
            raise TransformError(f"{step}: {reason}.")
        before = pieces(name, module)
        new = self.build(module, step)
        if new is not module:
            replace_layer(model, name, new)
        # A graph does not say its sizes; they are those of the layer.
        after = Piece(layer=name, text=f"{type(new).__name__}({module.extra_repr()})")
        return Edit(step=step, before=before, after=(after,))

    def fit(self, model: nn.Module, original: nn.Module, edit: Edit, calibration: Calibration | None) -> Edit:
        """Fill in the values.

        Raises:
            TransformError: the weight is not finite, or calibration data are needed and none came.
        """
        name = self.target(edit.step)
        old, new = find_layer(original, name), find_layer(model, name)
        if not bool(torch.isfinite(weight_of(old)).all()):
            raise TransformError(f"{edit.step}: the weight has entries that are infinite or not a number.")
        filling = Filling(step=edit.step, old=old, new=new, original=original, calibration=calibration)
        with torch.no_grad():
            measured, notes = self.fill(filling)
        return dataclasses.replace(edit, measured=measured, notes=(*edit.notes, *notes))

    def witness(self, original: nn.Module, edit: Edit, model: nn.Module) -> None:
        """Give the original layer the weight that the new one multiplies by.

        Where inputs are rounded too no dense layer answers the same: the new one itself is what it must answer like.
        """
        name = self.target(edit.step)
        if self.rounds(edit.step):
            replace_layer(original, name, share(find_layer(model, name)))
            return
        old = find_layer(original, name)
        weight = self.dense(find_layer(model, name), old).detach()
        old.weight = nn.Parameter(weight, requires_grad=weight_of(old).requires_grad)

    def check(self, step: Step) -> None:
        """Raise where a setting is unknown or out of range."""
        step.check_settings(self.known)

    def target(self, step: Step) -> str:
        """Return the layer of a step.

        Raises:
            TransformError: it names none, or several.
        """
        if len(step.layers) != 1:
            raise TransformError(f"{step}: {self.name} takes one layer, {len(step.layers)} came.")
        return step.layers[0]
