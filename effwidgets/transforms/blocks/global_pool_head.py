"""A head over a flattened picture as the mean over its places and one Linear, solved by least squares."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.records import Cost, Edit, Profile, Site, Skip, Step, settings
from effwidgets.transforms.asked import anyway
from effwidgets.transforms.blocks.observed import Observed, observed
from effwidgets.transforms.blocks.pooled import PooledPlaces, pooled_layers, pooled_profiles, saves
from effwidgets.transforms.blocks.replacement import check_plain
from effwidgets.transforms.blocks.solving import least_squares
from effwidgets.transforms.blocks.surroundings import barred_groups, forgotten
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.foresee import Foreseen, change_between
from effwidgets.transforms.surgery import blank_parameter, find_layer, pieces, replace_layer
from effwidgets.transforms.trial import relative_error

__all__ = ["GLOBAL_POOL_HEAD", "GlobalPoolHead"]

_RIDGES = (1e-6, 1e-4, 1e-2, 1e-1, 1.0)
_BETTER = 0.98  # of the error of the mean output; nearer to it is chance, on a few hundred pictures
_NOTICE = (
    "It sees how much of each channel there is and not where: it does not preserve the function. Give calibration "
    "data, and fine-tune after it."
)


class GlobalPoolHead:
    """Mean over the places of each channel, then one Linear (Lin et al. 2013, arXiv:1312.4400, section 3.2).

    At a Linear behind a flattened picture, or at a module that begins with one and ends in rows of outputs (a whole
    classifier). The new Linear is solved by least squares on what the old head returned for the calibration data.
    Without these, at a single Linear, it starts from the sum of its weights over the places, which is right for inputs
    that are the same everywhere. There are no settings but ``anyway``.
    """

    name: ClassVar[str] = "global_pool_head"
    family: ClassVar[str] = "replace"
    phase: ClassVar[Literal["structure", "format", "schedule"]] = "structure"
    exact: ClassVar[frozenset[str]] = frozenset({"params", "param_bytes", "macs", "backward_macs", "saved_bytes"})
    reads: ClassVar[frozenset[str]] = frozenset({"layers", "groups"})
    lossless: ClassVar[bool] = False
    needs_calibration: ClassVar[bool] = True

    def sites(self, profile: Profile) -> Iterator[Site | Skip]:
        """Yield each Linear and each module that begins with one over a picture, or why it cannot be replaced."""
        places = PooledPlaces(profile)
        for layer in places.candidates():
            found = places.at(layer)
            if isinstance(found, str):
                yield Skip(transform=self.name, layers=(layer.name,), reason=found)
                continue
            spot, picture = found
            made = pooled_profiles(spot, picture)
            reason = f"{picture[0]} channels of {picture[1]} x {picture[2]}: their means in place of all their entries"
            if not saves(spot, made):
                yield Skip(transform=self.name, layers=(layer.name,), reason="one Linear over all channels is as large")
                continue
            yield Site(
                transform=self.name,
                layers=(layer.name,),
                knobs=(),
                reason=reason,
                warnings=(_NOTICE,),
                advised=False,
            )

    def estimate(self, profile: Profile, step: Step) -> Cost:
        """Return the change: what the pooled head costs less what the old one did."""
        return change_between(profile, self.foresee(profile, step))

    def foresee(self, profile: Profile, step: Step) -> Foreseen:
        """Return the pooled head in the place of all that stood there."""
        spot, picture = PooledPlaces(profile).asked(step)
        made = pooled_profiles(spot, picture)
        if not anyway(step) and not saves(spot, made):
            raise _dear(step)
        names = {layer.name for layer in (spot.layer, *spot.below)}
        groups = barred_groups(profile, names)
        seams = tuple(forgotten(seam) for seam in profile.seams if seam.layer not in names)
        return Foreseen(layers={spot.layer.name: made}, groups=groups, seams=seams)

    def rewrite(self, model: nn.Module, step: Step, profile: Profile) -> Edit:
        """Put the pooled head there, with parameters of zeros."""
        spot, picture = PooledPlaces(profile).asked(step, exact=False)
        if not anyway(step) and not saves(spot, pooled_profiles(spot, picture)):
            raise _dear(step)
        name = spot.layer.name
        old = find_layer(model, name)
        check_plain(step, model, old)
        like = next((one for one in old.parameters() if one.requires_grad), next(old.parameters()))
        bias = not isinstance(old, nn.Linear) or old.bias is not None
        new = pooled_layers(spot, picture, bias=bias)
        linear = cast("nn.Linear", new[-1])
        linear.weight = blank_parameter(like, linear.weight.shape)
        if bias:
            linear.bias = blank_parameter(like, linear.bias.shape)
        before = pieces(name, old)
        replace_layer(model, name, new)
        return Edit(step=step, before=before, after=pieces(name, new))

    def fit(self, model: nn.Module, original: nn.Module, edit: Edit, calibration: Calibration | None) -> Edit:
        """Solve the Linear.

        Raises:
            TransformError: there are no calibration data at a head of several layers; or it is no better than the mean
                output.
        """
        name = edit.step.layers[0]
        old, new = find_layer(original, name), cast("nn.Sequential", find_layer(model, name))
        linear = cast("nn.Linear", new[-1])
        if calibration is None:
            return _started(edit, old, linear)
        seen = observed(original, name, calibration, edit.step)
        with torch.no_grad():
            pooled = torch.cat([new[:-1](part) for part in torch.split(seen.before, 256)])
        weight, bias, note, errors = _solved(Observed(pooled, seen.after), biased=linear.bias is not None)
        if not errors[0] < _BETTER * errors[1]:
            raise TransformError(
                f"{edit.step}: the means of the channels cannot stand for this head: relative output error "
                f"{errors[0]:.2f}, and {errors[1]:.2f} for the mean output alone. What it reads lies in the places."
            )
        with torch.no_grad():
            linear.weight.copy_(weight)
            if linear.bias is not None:
                linear.bias.copy_(bias)
        measured = settings({"fit_error": errors[0], "fit_error_of_mean": errors[1]})
        return dataclasses.replace(edit, measured=measured, notes=(*edit.notes, f"{name}: {note}"))

    def witness(self, original: nn.Module, edit: Edit, model: nn.Module) -> None:
        """Give the original Linear the weight that pools and multiplies at once; a larger head, the new one itself."""
        name = edit.step.layers[0]
        old, new = find_layer(original, name), cast("nn.Sequential", find_layer(model, name))
        if not isinstance(old, nn.Linear):
            replace_layer(original, name, copy.deepcopy(new))
            return
        linear = cast("nn.Linear", new[-1])
        places = old.in_features // linear.in_features
        weight = linear.weight.detach().repeat_interleave(places, 1) / places
        old.weight = nn.Parameter(weight, requires_grad=old.weight.requires_grad)
        if linear.bias is not None:
            old.bias = nn.Parameter(linear.bias.detach().clone(), requires_grad=old.weight.requires_grad)


def _dear(step: Step) -> TransformError:
    return TransformError(
        f"{step}: one Linear over all channels is as large as what stands there. With anyway=True it is done all the "
        "same."
    )


def _started(edit: Edit, old: nn.Module, linear: nn.Linear) -> Edit:
    if not isinstance(old, nn.Linear):
        raise TransformError(
            f"{edit.step}: a head of several layers is solved on what it returns, and there are no calibration data. "
            "Hand in a few batches of real inputs: apply(model, plan, inputs, calibration=batches)."
        )
    with torch.no_grad():
        linear.weight.copy_(old.weight.reshape(old.out_features, linear.in_features, -1).sum(-1))
        if linear.bias is not None:
            linear.bias.copy_(old.bias)
    note = (
        "without calibration data the head starts from the sum of its weights over the places, which is right only "
        "where a channel is the same everywhere; fine-tune it, or give calibration data."
    )
    return dataclasses.replace(edit, notes=(*edit.notes, f"{edit.step.layers[0]}: {note}"))


def _solved(seen: Observed, *, biased: bool) -> tuple[Tensor, Tensor, str, tuple[float, float]]:
    # The ridge that does best on the rows held out, then all rows with it.
    train, held = seen.split()
    errors = {}
    for ridge in _RIDGES:
        weight, bias = least_squares(train.before, train.after, ridge=ridge, biased=biased)
        made = held.before.double() @ weight.T + bias
        errors[ridge] = relative_error([held.after], [made]) or 0.0
    best = min(_RIDGES, key=lambda ridge: errors[ridge])
    weight, bias = least_squares(seen.before, seen.after, ridge=best, biased=biased)
    of_mean = relative_error([held.after], [train.after.mean(0, keepdim=True).expand_as(held.after)]) or 0.0
    tested = f"tested on {len(held)} that were held out" if held is not train else "too few to hold some out"
    note = (
        f"solved on {len(seen)} pictures, {tested}: relative output error {errors[best]:.3g}, {of_mean:.3g} for the "
        "mean output."
    )
    return weight, bias, note, (errors[best], of_mean)


GLOBAL_POOL_HEAD = GlobalPoolHead()
