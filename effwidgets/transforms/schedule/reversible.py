"""A run of residual blocks as a reversible coupling: training memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import ClassVar, Final, Literal

from torch import nn

from effwidgets.errors import TransformError
from effwidgets.profiling.layers import config_of
from effwidgets.records import Cost, Edit, LayerProfile, Piece, Profile, Site, Skip, Step
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.dtypes import bytes_each
from effwidgets.transforms.foresee import Foreseen, change_between
from effwidgets.transforms.schedule.coupling import ReversibleBlocks
from effwidgets.transforms.surgery import find_layer, replace_layer

__all__ = ["REVERSIBLE", "Reversible"]

_WARNINGS: Final = (
    "It CHANGES THE FUNCTION: a trained model answers otherwise until it is trained again; meant for new models.",
    "It helps in training alone, and costs a second forward of the blocks in each backward.",
    "For fewer than four blocks checkpoint saves as much, and changes nothing.",
    "The class that it puts in is effwidgets' own: the model runs only where effwidgets is installed.",
)
_PAIR: Final = 2


class Reversible:
    """Blocks that hand one tensor of one shape from each to the next, coupled by twos.

    A step names them in order, an even number: ``Step(transform="reversible", layers=("h.0", "h.1"))``. No settings.
    The first one's place takes a `ReversibleBlocks` with all of them, the other places an identity.
    """

    name: ClassVar[str] = "reversible"
    family: ClassVar[str] = "recompute"
    phase: ClassVar[Literal["structure", "format", "schedule"]] = "schedule"
    exact: ClassVar[frozenset[str]] = frozenset({"params", "param_bytes", "macs"})
    reads: ClassVar[frozenset[str]] = frozenset()
    repairs: ClassVar[frozenset[str]] = frozenset()
    inserts: ClassVar[frozenset[type[nn.Module]]] = frozenset({ReversibleBlocks})

    def sites(self, profile: Profile) -> Iterator[Site | Skip]:
        """Yield every run of blocks of one shape, or why a block that keeps its shape is left alone."""
        for run in _runs(profile):
            even = run[: len(run) // _PAIR * _PAIR]
            reason = _obstacle(profile, even) if even else "no second block of the same shape takes what it returns"
            if reason:
                yield Skip(transform=self.name, layers=tuple(run), reason=reason)
                continue
            yield Site(
                transform=self.name,
                layers=tuple(even),
                knobs=(),
                reason=f"{len(even)} blocks {even[0]} to {even[-1]} coupled by twos keep two tensors for the backward, "
                "however many they are; each block runs once more there",
                warnings=_WARNINGS,
                advised=False,
            )

    def estimate(self, profile: Profile, step: Step) -> Cost:
        """Return the change: the blocks' work is in the backward once more, and they keep two tensors.

        Parameters and MACs are exact; what is kept and the backward are the arithmetic of the coupling alone.
        """
        return change_between(profile, self.foresee(profile, step))

    def foresee(self, profile: Profile, step: Step) -> Foreseen:
        """Tell what stands there afterwards: the coupling with all blocks below it, and identities."""
        names = self._targets(step)
        reason = _obstacle(profile, names)
        if reason:
            raise TransformError(f"{step}: {reason}.")
        first = profile.layer(names[0])
        below = {name: [layer for layer in profile.layers if layer.name.startswith(f"{name}.")] for name in names}
        whole = sum(layer.self_cost.output_bytes for layer in (first, *below[names[0]]))
        ends = _PAIR * (prod(first.outputs[0]) * bytes_each(profile.dtype)) if whole else 0
        made = [replace(_plain(first), kind=ReversibleBlocks.__name__, self_cost=Cost(saved_bytes=ends))]
        made.append(LayerProfile(name=f"{names[0]}.blocks", kind="ModuleList"))
        for place, name in enumerate(names):
            made.extend(
                _again(layer, name, f"{names[0]}.blocks.{place}") for layer in (profile.layer(name), *below[name])
            )
        others = {
            name: (replace(_plain(profile.layer(name)), kind="Identity", config=config_of(nn.Identity())),)
            for name in names[1:]
        }
        gone = frozenset(layer.name for name in names[1:] for layer in below[name])
        return Foreseen(layers={names[0]: tuple(made), **others}, gone=gone, groups=())

    def rewrite(self, model: nn.Module, step: Step, profile: Profile) -> Edit:
        """Put the coupling where the first block stands, identities where the others do."""
        del profile
        names = self._targets(step)
        blocks = [find_layer(model, name) for name in names]
        if any(block is model for block in blocks) or len({id(block) for block in blocks}) < len(blocks):
            raise TransformError(f"{step}: different blocks inside of the model were expected.")
        before = tuple(
            Piece(layer=f"{name}.{path}" if path else name, text=type(module).__name__)
            for name, block in zip(names, blocks, strict=True)
            for path, module in block.named_modules()
        )
        coupled = ReversibleBlocks(blocks)
        training = blocks[0].training
        for name in reversed(names):  # the first one last: from then on the others stand in the coupling too
            replace_layer(model, name, coupled if name == names[0] else nn.Identity())
        coupled.training = training
        after = tuple(Piece(layer=name, text=type(find_layer(model, name)).__name__) for name in names)
        return Edit(step=step, before=before, after=after, notes=_WARNINGS)

    def fit(self, model: nn.Module, original: nn.Module, edit: Edit, calibration: Calibration | None) -> Edit:
        """Leave all values as they are."""
        del model, original, calibration
        return edit

    def witness(self, original: nn.Module, edit: Edit, model: nn.Module) -> None:
        """Couple the original's blocks too, with autograd keeping everything."""
        del model
        names = self._targets(edit.step)
        coupled = ReversibleBlocks([find_layer(original, name) for name in names], saving=False)
        for name in reversed(names):  # the first one last: from then on the others stand in the coupling too
            replace_layer(original, name, coupled if name == names[0] else nn.Identity())

    def _targets(self, step: Step) -> tuple[str, ...]:
        step.check_settings(())
        if not step.layers or len(step.layers) % _PAIR:
            raise TransformError(
                f"{step}: reversible takes an even number of blocks, in the order in which they run; "
                f"{len(step.layers)} came."
            )
        return step.layers


def _runs(profile: Profile) -> Iterator[list[str]]:
    # Blocks of which each hands what it returns to the next, all of one shape, in the order in which they run.
    parents = {layer.name.rpartition(".")[0] for layer in profile.layers if layer.name}
    after = {handed.maker: handed.taker for handed in profile.handed if handed.maker in parents}
    able = [layer.name for layer in profile.layers if layer.name in parents and layer.name and _keeps_shape(layer)]
    taken: set[str] = set()
    for name in able:
        if name in taken or any(after.get(other) == name for other in able):
            continue
        run = [name]
        while (following := after.get(run[-1])) in able and following is not None:
            run.append(following)
        taken.update(run)
        yield run


def _keeps_shape(layer: LayerProfile) -> bool:
    return layer.calls == 1 and len(layer.inputs) == 1 and layer.inputs == layer.outputs


def _obstacle(profile: Profile, names: tuple[str, ...] | list[str]) -> str | None:
    found = [profile.layer(name) for name in names]
    odd = next((layer.name for layer in found if not _keeps_shape(layer)), None)
    if odd is not None:
        return f"{odd} does not run once from one tensor to one of the same shape"
    if any(layer.inputs != found[0].inputs for layer in found):
        return "the blocks have different shapes"
    return _unlinked(profile, names) or _held_elsewhere(profile, names)


def _unlinked(profile: Profile, names: tuple[str, ...] | list[str]) -> str | None:
    links = {(handed.maker, handed.taker): handed.shared for handed in profile.handed}
    for one, two in pairwise(names):
        if links.get((one, two)):
            return f"what {one} returns is read elsewhere too, not by {two} alone"
        if (one, two) not in links:
            return f"{two} does not take what {one} returns, and nothing else"
    return None


def _held_elsewhere(profile: Profile, names: tuple[str, ...] | list[str]) -> str | None:
    held = {layer.name for layer in profile.layers if layer.name.startswith(tuple(f"{name}." for name in names))}
    inside = {*held, *names}
    for layer in profile.layers:
        if len({name in inside for name in (layer.name, *layer.aliases)}) > 1 or (
            layer.name in inside and layer.aliases
        ):
            return f"{layer.name} stands in several places"
        for tensor in layer.tensors:
            if tensor.tied_to is not None and (layer.name in inside or tensor.tied_to.rpartition(".")[0] in inside):
                return f"the {tensor.name} of {layer.name} is tied to {tensor.tied_to}"
    return None


def _plain(layer: LayerProfile) -> LayerProfile:
    return replace(layer, tensors=(), config=(), self_cost=Cost(), cost=Cost())


def _again(layer: LayerProfile, before: str, now: str) -> LayerProfile:
    own = layer.self_cost
    cost = replace(own, saved_bytes=0, backward_macs=own.backward_macs + own.macs)
    return replace(layer, name=f"{now}{layer.name[len(before) :]}", self_cost=cost)


REVERSIBLE: Final = Reversible()
"""The one instance that is registered."""
