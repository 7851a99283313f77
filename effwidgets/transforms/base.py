"""What a transformation is, and where they register."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from effwidgets.records import Cost, Edit, Profile, Site, Skip, Step
from effwidgets.registry import Registry

if TYPE_CHECKING:
    from torch import nn

    from effwidgets.transforms.calibration import Calibration

__all__ = ["TRANSFORMS", "Transform"]


@runtime_checkable
class Transform(Protocol):
    """A technique: finds places, says what it would save, changes shapes, then values.

    Attributes:
        name: what plans call it.
        family: "factorize", "prune", "bottleneck", or a family of one's own; decides colour and shape on screens.
        phase: structure steps come before format steps, those before schedule steps.
        exact: names of the `Cost` fields that `estimate` promises to the integer.

    Further class attributes are read where they stand:

    - ``reads``: what of the profile `rewrite` reads (``frozenset()`` for nothing, ``frozenset({"groups"})``); it spares
      the profile that is otherwise made anew before each of its steps.
    - ``repairs``: which of "least_squares", "bias" and "batch_norm" help after it; ``frozenset({"batch_norm"})``.
    - ``tolerance``: how far, relative to the norm, the outputs of the edited model may be from those of the witness,
      where a kernel rounds what the witness does not, as one of int8 does with activations; that of the dtypes.
    - ``inference_only``: True where no gradient flows through what it puts in; `verify` then says so in a note instead
      of undoing the step.

    One that also has ``foresee`` (see `foresee.Foresees`) tells what the profile will be after a step, so that plans
    are estimated and carried out without profiles in between.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    phase: ClassVar[Literal["structure", "format", "schedule"]]
    exact: ClassVar[frozenset[str]]

    def sites(self, profile: Profile) -> Iterator[Site | Skip]:
        """Yield each place it applies to, and each place of its kind where it does not, with the reason."""
        ...

    def estimate(self, profile: Profile, step: Step) -> Cost:
        """Return the change of cost, after minus before: arithmetic on shapes, without touching a model."""
        ...

    def rewrite(self, model: nn.Module, step: Step, profile: Profile) -> Edit:
        """Change the shapes in ``model``, in place, always by new parameters; runs on a shadow too.

        ``profile`` describes ``model`` as it is before the step, in everything that the transformation reads.
        Raise a `TransformError` for what cannot be done; the step is then left out and the reason is shown.
        """
        ...

    def fit(self, model: nn.Module, original: nn.Module, edit: Edit, calibration: Calibration | None) -> Edit:
        """Fill the values of what `rewrite` put in, from ``original``, the model as it was before the step."""
        ...

    def witness(self, original: nn.Module, edit: Edit, model: nn.Module) -> None:
        """Change ``original`` so that its outputs must equal those of the edited ``model``, for `verify`.

        A pruned channel is silenced where it was read; a factored weight is replaced by the product of its factors.
        ``original`` is a private copy whose parameters may be replaced, not written into.
        """
        ...


TRANSFORMS: Registry[Transform] = Registry("transformation", "effwidgets.transforms")
