"""A block left out: what it was given goes on as it is. Depth rather than width."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from torch import nn

from effwidgets.errors import TransformError
from effwidgets.records import Cost, Edit, Profile, Site, Skip, Step
from effwidgets.transforms.blocks.replacement import check_plain
from effwidgets.transforms.blocks.stream import Blocks, without
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.foresee import Foreseen, change_between
from effwidgets.transforms.surgery import find_layer, pieces, replace_layer
from effwidgets.units import count_text

__all__ = ["DROP_BLOCK", "DropBlock"]

_PLAIN = (
    "Nothing in it adds its input to what it returns: what comes behind is given something that it never read. "
    "Fine-tune after it."
)
_ROW = "Blocks inside of it can be left out one by one."


class DropBlock:
    """A module that returns the shape that it takes becomes ``torch.nn.Identity``.

    Meant for residual blocks: what is added on the way is left out, and the stream goes on. A deep residual network
    bears the loss of single blocks (Veit et al. 2016, arXiv:1605.06431, section 4.1), a language model that of whole
    layers (Men et al. 2024, arXiv:2403.03853). Where a model is so narrow that most of its time is that of calling
    kernels, fewer of them is what makes it faster. There are no settings.
    """

    name: ClassVar[str] = "drop_block"
    family: ClassVar[str] = "drop"
    phase: ClassVar[Literal["structure", "format", "schedule"]] = "structure"
    exact: ClassVar[frozenset[str]] = frozenset({"params", "param_bytes", "macs", "backward_macs"})
    reads: ClassVar[frozenset[str]] = frozenset({"layers", "groups"})
    repairs: ClassVar[frozenset[str]] = frozenset({"least_squares", "batch_norm"})
    lossless: ClassVar[bool] = False

    def sites(self, profile: Profile) -> Iterator[Site | Skip]:
        """Yield each module that holds layers which multiply: as a block to leave out, or why it must stay."""
        blocks = Blocks(profile)
        for layer in blocks.candidates():
            found = blocks.at(layer)
            if isinstance(found, str):
                yield Skip(transform=self.name, layers=(layer.name,), reason=found)
                continue
            goes_on = "Its input goes on into its output" if found.residual else "It returns the shape that it takes"
            yield Site(
                transform=self.name,
                layers=(layer.name,),
                knobs=(),
                reason=f"{goes_on}: without it {count_text(found.cost.macs)} MACs less",
                warnings=() if found.residual else (_ROW if found.row else _PLAIN,),
                advised=found.residual,
            )

    def estimate(self, profile: Profile, step: Step) -> Cost:
        """Return the change: all that the block costs. Saved bytes are not promised."""
        return change_between(profile, self.foresee(profile, step))

    def foresee(self, profile: Profile, step: Step) -> Foreseen:
        """Return the profile without the block; a stream keeps its channels, of which the block held some."""
        return without(profile, Blocks(profile).asked(step))

    def rewrite(self, model: nn.Module, step: Step, profile: Profile) -> Edit:
        """Put an Identity where the block stands."""
        block = Blocks(profile).asked(step)
        name = block.layer.name
        old = find_layer(model, name)
        check_plain(step, model, old)
        before = pieces(name, old)
        replace_layer(model, name, nn.Identity())
        stream = next(iter(block.streams), None)
        return Edit(step=step, before=before, after=pieces(name, find_layer(model, name)), group=stream)

    def fit(self, model: nn.Module, original: nn.Module, edit: Edit, calibration: Calibration | None) -> Edit:
        """Leave all as it is: there is nothing to fill."""
        del model, original, calibration
        return edit

    def witness(self, original: nn.Module, edit: Edit, model: nn.Module) -> None:
        """Let the original's block run and hand on what it was given, where it returned a tensor of the same kind."""
        del model

        def hand_on(_module: nn.Module, args: tuple[object, ...], output: object) -> torch.Tensor:
            given = args[0] if len(args) == 1 else None
            if not isinstance(given, torch.Tensor) or not isinstance(output, torch.Tensor):
                kind = type(output).__name__
                raise TransformError(f"{edit.step}: it returns a {kind}; one tensor in, one out was expected.")
            if given.shape != output.shape or given.dtype != output.dtype:
                raise TransformError(f"{edit.step}: it makes {output.dtype} of {given.dtype}; the same was expected.")
            return given.clone()

        find_layer(original, edit.step.layers[0]).register_forward_hook(hand_on)

    def measured_at(self, edit: Edit) -> frozenset[str]:
        """Return where its error is measured: at the block itself."""
        return frozenset(edit.step.layers)


DROP_BLOCK = DropBlock()
