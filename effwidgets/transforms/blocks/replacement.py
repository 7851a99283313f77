"""What the block replacements share: a module of one picture in and one out becomes a block of a known design."""

from __future__ import annotations

import bisect
import copy
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Literal

from torch import nn

from effwidgets.errors import TransformError, UnknownNameError
from effwidgets.records import Cost, Edit, Knob, Profile, Site, Skip, Step, settings
from effwidgets.transforms.asked import anyway
from effwidgets.transforms.blocks.design import Design, built
from effwidgets.transforms.blocks.fitting import BY_DEFAULT, Budget, fitted
from effwidgets.transforms.blocks.observed import observed
from effwidgets.transforms.blocks.sheet import Counted, counted
from effwidgets.transforms.blocks.solving import Ends
from effwidgets.transforms.blocks.spots import Spot, Spots
from effwidgets.transforms.blocks.surroundings import groups_after, handed_after, seams_after
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.foresee import Foreseen, change_between
from effwidgets.transforms.surgery import find_layer, pieces, replace_layer

__all__ = ["ENDINGS", "BlockReplacement", "check_plain"]

ENDINGS = ("relu", "linear")
"""How a new block may end; unless the step says, as the old one seems to."""

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_COMMON = ("ending", "steps", "seconds", "anyway")
_NOTICE = (
    "It stands for the block as well as a fit to calibration data makes it, without preserving the function: give "
    "calibration data, and fine-tune after it."
)


class BlockReplacement(ABC):
    """Base of the techniques that put a small block of their own in the place of a module.

    The new block is fitted to what the old one took and returned on the calibration data: no labels, no training of
    the model. A subclass says what the block is made of, and which setting makes it wide.

    Settings beside that of the width, all optional: ``ending`` ("relu" or "linear"; as the old block seems to end),
    ``steps`` of the fit (300, and at most 60 rounds over the data), ``seconds`` after which it stops (60), ``anyway``
    (True: also where nothing is saved).
    """

    name: ClassVar[str]
    family: ClassVar[str]
    phase: ClassVar[Literal["structure", "format", "schedule"]] = "structure"
    exact: ClassVar[frozenset[str]] = frozenset({"params", "param_bytes", "macs", "backward_macs", "saved_bytes"})
    reads: ClassVar[frozenset[str]] = frozenset({"layers"})
    lossless: ClassVar[bool] = False
    needs_calibration: ClassVar[bool] = True
    title: ClassVar[str]
    """What it is called in a sentence ("A fire module")."""
    width: ClassVar[str]
    """The setting that makes it wide; a whole number."""
    more: ClassVar[tuple[str, ...]] = ()
    """Settings of its own beside that."""
    last: ClassVar[tuple[str, ...]]
    """The layers that the output is linear in, in the order of its channels: solved in closed form."""
    norm: ClassVar[str | None] = None
    """The batch norm behind the last layer, where there is one."""

    @abstractmethod
    def high(self, spot: Spot) -> int:
        """Return the largest sensible value of `width` at ``spot``."""

    @abstractmethod
    def design(self, spot: Spot, step: Step, wide: int, ending: str) -> Design:
        """Say what the block is made of.

        Raises:
            TransformError: a setting of its own that cannot be.
        """

    def sites(self, profile: Profile) -> Iterator[Site | Skip]:
        """Yield each module that holds convolutions: as a place for the block, or why it is none."""
        spots = Spots(profile)
        for layer in spots.blocks():
            reason = spots.obstacle(layer)
            if reason is None:
                yield self._site(spots.spot(layer))
            else:
                yield Skip(transform=self.name, layers=(layer.name,), reason=reason)

    def estimate(self, profile: Profile, step: Step) -> Cost:
        """Return the change: what the new block costs less what the old one did."""
        return change_between(profile, self.foresee(profile, step))

    def foresee(self, profile: Profile, step: Step) -> Foreseen:
        """Return the block, layer by layer, in the place of all that stood there."""
        spot = Spots(profile).block(step)
        _, made = self._designed(spot, step)
        return Foreseen(
            layers={spot.layer.name: made.layers},
            groups=groups_after(profile, spot, made),
            seams=seams_after(profile, spot, made),
            handed=handed_after(profile, spot, made),
        )

    def rewrite(self, model: nn.Module, step: Step, profile: Profile) -> Edit:
        """Put the block where the old one stands, with parameters of zeros."""
        spot = Spots(profile).block(step, exact=False)
        design, _ = self._designed(spot, step)
        old = find_layer(model, spot.layer.name)
        check_plain(step, model, old)
        parameters = list(old.parameters())
        like = next((one for one in parameters if one.requires_grad), parameters[0])
        new = built(design, like)
        before = pieces(spot.layer.name, old)
        replace_layer(model, spot.layer.name, new)
        return Edit(step=step, before=before, after=pieces(spot.layer.name, new))

    def fit(self, model: nn.Module, original: nn.Module, edit: Edit, calibration: Calibration | None) -> Edit:
        """Fit the block to what the old one takes and returns on the calibration data.

        Raises:
            TransformError: there are no calibration data; or the fitted block is no better than the mean output.
        """
        step = edit.step
        if calibration is None:
            raise TransformError(
                f"{step}: the block is fitted to what the old one takes and returns, and there are no calibration "
                "data; with random weights it would be no better than guessing. Hand in a few batches of real inputs: "
                "apply(model, plan, inputs, calibration=batches)."
            )
        name = step.layers[0]
        new = find_layer(model, name)
        pictures = observed(original, name, calibration, step)
        found = fitted(new, Ends(last=self.last, norm=self.norm), pictures, _budget(step))
        if not found.error < found.error_of_mean:
            raise TransformError(
                f"{step}: {self.title.lower()} cannot stand for this block: its relative output error is "
                f"{found.error:.2f}, and {found.error_of_mean:.2f} is that of the mean output alone. Make it wider, "
                "give more calibration data, or leave the block."
            )
        measured = settings({"fit_error": found.error, "fit_error_of_mean": found.error_of_mean})
        return dataclasses.replace(edit, measured=measured, notes=(*edit.notes, f"{name}: {found.sentence}"))

    def witness(self, original: nn.Module, edit: Edit, model: nn.Module) -> None:
        """Put the new block into the original too: all around it must be as it was."""
        name = edit.step.layers[0]
        replace_layer(original, name, copy.deepcopy(find_layer(model, name)))

    def _designed(self, spot: Spot, step: Step) -> tuple[Design, Counted]:
        step.check_settings((self.width, *self.more, *_COMMON))
        _budget(step)
        wide, high = step.setting(self.width), self.high(spot)
        if not isinstance(wide, int) or isinstance(wide, bool) or not 1 <= wide <= high:
            raise TransformError(f"{step}: {self.width} is {wide!r}; a whole number from 1 to {high} was expected.")
        ending = dict(step.settings).get("ending", self._ending(spot))
        if ending not in ENDINGS:
            raise UnknownNameError(f"ending of {self.name}", ending, ENDINGS)
        design = self.design(spot, step, wide, str(ending))
        made = counted(spot, design)
        if not anyway(step) and not _saves(spot, made):
            even = self._break_even(spot, step)
            hint = f"it breaks even at {even}" if even else f"even {self.width} 1 saves nothing"
            raise TransformError(
                f"{step}: {self.width} {wide} saves nothing: {hint}. With anyway=True it is done all the same."
            )
        return design, made

    @staticmethod
    def _ending(spot: Spot) -> str:
        return ENDINGS[0] if spot.rectified else ENDINGS[1]

    def _break_even(self, spot: Spot, step: Step) -> int:
        # The largest width at which parameters and MACs are both fewer; 0 where none is.
        ending = str(dict(step.settings).get("ending", self._ending(spot)))

        def dear(wide: int) -> bool:
            return not _saves(spot, counted(spot, self.design(spot, step, wide, ending)))

        return bisect.bisect_left(range(1, self.high(spot) + 1), True, key=dear)  # noqa: FBT003  the value looked for

    def _site(self, spot: Spot) -> Site | Skip:
        step = Step(transform=self.name, layers=(spot.layer.name,))
        even = self._break_even(spot, step)
        if not even:
            reason = f"{self.title.lower()} saves nothing here, even with {self.width} 1"
            return Skip(transform=self.name, layers=step.layers, reason=reason)
        knob = Knob(name=self.width, kind="int", low=1, high=self.high(spot), break_even=even)
        reason = f"{self.title} in the place of {len(spot.below)} modules saves up to {self.width} {even}"
        return Site(
            transform=self.name,
            layers=step.layers,
            knobs=(knob,),
            reason=reason,
            warnings=(_NOTICE,),
            advised=False,
        )


def _saves(spot: Spot, made: Counted) -> bool:
    params = sum(layer.self_cost.params for layer in made.layers)
    macs = sum(layer.self_cost.macs for layer in made.layers)
    return params < spot.cost.params and macs < spot.cost.macs


def _budget(step: Step) -> Budget:
    values = dict(step.settings)
    steps, seconds = values.get("steps", BY_DEFAULT.steps), values.get("seconds", BY_DEFAULT.seconds)
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 0:
        raise TransformError(f"{step}: steps is {steps!r}; a whole number from 0 was expected.")
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds > 0:
        raise TransformError(f"{step}: seconds is {seconds!r}; a number above 0 was expected.")
    return Budget(steps=steps, seconds=float(seconds))


def check_plain(step: Step, model: nn.Module, block: nn.Module) -> None:
    """Raise a `TransformError` when something in ``block`` has hooks, or something outside holds its parameters."""
    own = {id(tensor) for tensor in block.parameters()}
    inside = {id(module) for module in block.modules()}
    for path, module in block.named_modules():
        if any(getattr(module, hooks, None) for hooks in _HOOKS):
            raise TransformError(f"{step}: {path or 'the block'} has hooks, which would be lost; remove them first.")
    for path, module in model.named_modules():
        shared = id(module) not in inside and any(id(tensor) in own for tensor in module.parameters(recurse=False))
        if shared:
            raise TransformError(f"{step}: {path or 'the model itself'} holds one of its parameters too.")
