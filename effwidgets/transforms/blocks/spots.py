"""Which modules another could take the place of, one picture in and one out, and what stands in the way of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from effwidgets.errors import TransformError
from effwidgets.records import Cost, LayerProfile, Profile, Seam, Shape, Step, TensorInfo
from effwidgets.transforms.dtypes import bytes_each
from effwidgets.transforms.obstacles import FLOATS

__all__ = ["Spot", "Spots"]

_PICTURE = 4  # dimensions
_LISTS = frozenset({"ModuleList", "ModuleDict"})  # they are never called
_FEWEST = 2  # layers that multiply; a single one has techniques of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A module with others inside that another may take the place of.

    Attributes:
        layer: the module.
        below: all modules inside, parents first.
        seam: what autograd keeps in and around it.
        cost: of the module and all inside.
        like: one of its parameters: its dtype is that of all.
        learns: whether any of its parameters asks for a gradient; the new ones do then.
        moved: whether its input has a gradient.
        reached: whether a backward was seen to reach it.
        train: whether the profile is that of a forward in training mode.
    """

    layer: LayerProfile
    below: tuple[LayerProfile, ...]
    seam: Seam
    cost: Cost
    like: TensorInfo
    learns: bool
    moved: bool
    reached: bool
    train: bool

    @property
    def before(self) -> Shape:
        """The shape of what goes in."""
        return self.layer.inputs[0]

    @property
    def after(self) -> Shape:
        """The shape of what comes out."""
        return self.layer.outputs[0]

    @property
    def each(self) -> int:
        """The bytes of a number."""
        return bytes_each(self.like.dtype)

    @property
    def keeps(self) -> bool:
        """Whether autograd keeps anything for it."""
        seam = self.seam
        alone = seam.keeps_input and not self.below  # a single layer
        return (self.learns or self.moved) and bool(seam.inside_bytes or seam.whole_bytes or seam.keeps_output or alone)

    @property
    def stride(self) -> int:
        """1 where a picture comes out as large as it went in, else 2."""
        return 1 if self.before[2:] == self.after[2:] else 2

    @property
    def rectified(self) -> bool:
        """Whether it seems to end in a ReLU: its own operations keep what it returns."""
        return self.seam.keeps_output


class Spots:
    """Every module of ``profile`` that holds others; what is shared between modules is looked up once."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._seams = {seam.layer: seam for seam in profile.seams}
        self._ties = {
            tensor.tied_to: f"{layer.name}.{tensor.name}"
            for layer in profile.layers
            for tensor in layer.tensors
            if tensor.tied_to
        }

    def blocks(self) -> Iterator[LayerProfile]:
        """Yield the modules that hold convolutions, the model itself among them."""
        holding = {
            parent
            for layer in self._profile.layers
            if layer.kind.startswith(("Conv", "ParametrizedConv"))
            for parent in _parents(layer.name)
        }
        for layer in self._profile.layers:
            if layer.name in holding and layer.kind not in _LISTS:
                yield layer

    def block(self, step: Step, *, exact: bool = True) -> Spot:
        """Return the block that ``step`` is about.

        With ``exact``, what autograd keeps around it must be known; to put another there, shapes alone do.

        Raises:
            TransformError: none that another can take the place of.
            UnknownNameError: no such layer.
        """
        if len(step.layers) != 1:
            raise TransformError(f"{step}: {step.transform} takes one block, {len(step.layers)} came.")
        layer = self._profile.layer(step.layers[0])
        reason = _shapes(layer) or self._works(layer) or self.held(layer, exact=exact)
        if reason:
            raise TransformError(f"{step}: {reason}.")
        return self.spot(layer)

    def spot(self, layer: LayerProfile) -> Spot:
        """Return what is known of a module without an obstacle."""
        below = self.below(layer)
        tensors = [tensor for one in (layer, *below) for tensor in one.tensors if tensor.kind == "parameter"]
        working = [one for one in (layer, *below) if one.self_cost.macs and one.tensor("weight")]
        return Spot(
            layer=layer,
            below=below,
            seam=self._seams[layer.name],
            cost=self.cost(layer, below),
            like=tensors[0],
            learns=any(tensor.trainable for tensor in tensors),
            moved=bool(working) and all(_moves(one) for one in working),
            reached=any(one.self_cost.backward_macs for one in (layer, *below)),
            train=bool(self._profile.train),
        )

    def below(self, layer: LayerProfile) -> tuple[LayerProfile, ...]:
        """Return all modules inside of one."""
        start = f"{layer.name}." if layer.name else ""
        return tuple(one for one in self._profile.layers if one.name != layer.name and one.name.startswith(start))

    @staticmethod
    def cost(layer: LayerProfile, below: tuple[LayerProfile, ...]) -> Cost:
        """Return the cost of a module and all inside."""
        total = layer.self_cost
        for one in below:
            total += one.self_cost
        return total

    def obstacle(self, layer: LayerProfile) -> str | None:
        """Say why no other block can take the place of a module; None where one can."""
        return _shapes(layer) or self._works(layer) or self.held(layer)

    def held(self, layer: LayerProfile, *, exact: bool = True) -> str | None:
        """Say what of a module others hold too, or hold in another form; None where it is all its own."""
        return self.owned(layer) or self._seamless(layer, exact=exact)

    def owned(self, layer: LayerProfile) -> str | None:
        """The same, of its parameters and modules alone."""
        below = self.below(layer)
        names = {layer.name, *(one.name for one in below)}
        again = next((one.name for one in below if _runs_again(one)), None)
        if again is not None:
            return f"{again} in it is run again for the backward (a checkpoint), so what is kept cannot be told"
        dtypes = set()
        for one in (layer, *below):
            outside = [path for path in (one.name, *one.aliases) if not _inside(path, (layer.name, *layer.aliases))]
            if outside:
                return f"{one.name} in it also stands at {outside[0]}"
            for tensor in one.tensors:
                path = f"{one.name}.{tensor.name}"
                tied = tensor.tied_to or self._ties.get(path)
                if tied is not None and tied.rpartition(".")[0] not in names:
                    return f"its {path.removeprefix(layer.name + '.')} is tied to {tied}"
                if tensor.kind == "parameter":
                    dtypes.add(tensor.dtype)
        if not dtypes:
            return "it holds no parameters"
        if len(dtypes) > 1 or not dtypes <= FLOATS:
            return f"its parameters are {', '.join(sorted(dtypes))}; one kind of floating point was expected"
        return self._rounded(layer, dtypes.pop())

    def _rounded(self, layer: LayerProfile, dtype: str) -> str | None:
        for one in self.below(layer):
            numbers = sum(prod(shape) for shape in one.outputs) * one.calls
            if one.kind in ("Conv2d", "Linear") and one.self_cost.output_bytes not in (0, numbers * bytes_each(dtype)):
                return f"{one.name} does not return {dtype} as its weight is: the model runs under autocast"
        return None

    def _seamless(self, layer: LayerProfile, *, exact: bool) -> str | None:
        seam = self._seams.get(layer.name)
        if seam is None:
            return (
                "what autograd keeps around it is not known: it takes or returns something else than one plain tensor, "
                "writes into its input, or the model was run with real numbers"
            )
        if exact and seam.whole_bytes != self.cost(layer, self.below(layer)).saved_bytes:
            return (
                "an earlier step of this plan changed what autograd keeps in or around it, so its cost cannot be "
                "foreseen. Put this step before that one (what was done inside of a block goes with it); or apply that "
                "one alone, and plan this one on a profile of the edited model"
            )
        return None

    def _works(self, layer: LayerProfile) -> str | None:
        working = [one for one in self.below(layer) if one.self_cost.macs]
        if len(working) < _FEWEST:
            return f"only {len(working)} layer in it multiplies; replace that one by itself (spatial_svd, bottleneck)"
        return None


def _parents(name: str) -> Iterator[str]:
    while name:
        name = name.rpartition(".")[0]
        yield name


def _inside(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(f"{root}.") for root in roots)


def _moves(layer: LayerProfile) -> bool:
    # A layer that learns has one gradient for its weight, and another where its input has one.
    weight = layer.tensor("weight")
    own = 1 if weight is not None and weight.trainable else 0
    return layer.self_cost.backward_macs > own * layer.self_cost.macs


def _runs_again(layer: LayerProfile) -> bool:
    weight, own = layer.tensor("weight"), layer.self_cost
    if weight is None or not own.macs:
        return False
    return own.backward_macs not in (0, own.macs, (1 + int(weight.trainable)) * own.macs)


def _shapes(layer: LayerProfile) -> str | None:  # noqa: PLR0911  one sentence for each reason
    if not layer.name:
        return "it is the model itself; put it into a torch.nn.Sequential"
    if not layer.calls:
        return "it did not run in this forward"
    if layer.calls > 1:
        return f"it runs {layer.calls} times in one forward"
    odd = _no_picture(layer.inputs, "takes") or _no_picture(layer.outputs, "returns")
    if odd:
        return odd
    before, after = layer.inputs[0], layer.outputs[0]
    if before[0] != after[0]:
        return f"it takes {before[0]} pictures and returns {after[0]}"
    if not all(before) or not all(after):
        return "its picture is empty"
    for stride in (1, 2):
        if all(-(-size // stride) == made for size, made in zip(before[2:], after[2:], strict=True)):
            return None
    return (
        f"it makes {after[2]} x {after[3]} of {before[2]} x {before[3]}; the same size, or half of it (rounded up), "
        "was expected"
    )


def _no_picture(shapes: tuple[Shape, ...], word: str) -> str | None:
    if len(shapes) != 1:
        return f"it {word} {len(shapes)} tensors; one picture was expected"
    if len(shapes[0]) != _PICTURE:
        text = " x ".join(map(str, shapes[0]))
        return f"it {word} no picture (batch, channels, height, width) but {text}"
    return None
