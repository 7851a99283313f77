"""Why a layer keeps the numbers that it has, in words: what stands in the way of another format."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from torch import nn

from effwidgets.records import LayerProfile, Profile
from effwidgets.transforms.obstacles import FLOATS, RECURRENT_KINDS, bare_kind, unplain
from effwidgets.transforms.surgery import plain_obstacle, tied_places

__all__ = ["Standing", "misfit"]

# Parents of torch that read the weight of a child themselves: it may have other numbers, but must stay what it is.
_READERS: Final = {
    "MultiheadAttention": frozenset({"out_proj"}),
    "TransformerEncoderLayer": frozenset({"linear1", "linear2"}),
}
_MADE: Final = ("Int8", "DynamicInt8", "Bf16", "Codebook")
_MATRIX: Final = 2


class Standing:
    """What stands in the way of another format for the layers of ``profile``.

    Args:
        profile: of the model.
        kinds: classes of torch.nn that the technique is for.
        replaces: whether it puts another module in the layer's place, or only other numbers into it.
    """

    def __init__(self, profile: Profile, kinds: Collection[str], *, replaces: bool) -> None:
        self._wanted = frozenset(kinds)
        self._replaces = replaces
        self._kinds = {path: layer.kind for layer in profile.layers for path in (layer.name, *layer.aliases)}
        self._packs = frozenset(
            layer.name.rpartition(".")[0] for layer in profile.layers if layer.kind == "LinearPackedParams"
        )
        self._ties = {
            tensor.tied_to: layer.name for layer in profile.layers for tensor in layer.tensors if tensor.tied_to
        }

    def concerns(self, layer: LayerProfile) -> bool:
        """Say whether a layer is one that this technique takes or has to say why not: those that hold a matrix."""
        matrix = any(len(tensor.shape) >= _MATRIX and tensor.kind == "parameter" for tensor in layer.tensors)
        return matrix or layer.name in self._packs or (bare_kind(layer) in self._wanted and bool(layer.tensors))

    def of(self, layer: LayerProfile) -> str | None:
        """Say why ``layer`` keeps its format; None where it need not."""
        return self._class(layer) or self._place(layer) or self._held(layer) or self._idle(layer)

    def _class(self, layer: LayerProfile) -> str | None:  # noqa: PLR0911  one return for each reason
        kind = bare_kind(layer)
        if layer.kind.startswith(_MADE) or layer.kind == "LinearPackedParams" or layer.name in self._packs:
            return "it has another format already"
        if layer.kind in RECURRENT_KINDS:
            return f"{layer.kind} is recurrent: one fused operation reads its raw weights"
        if layer.kind == "MultiheadAttention":
            return "its query, key and value projections are one raw parameter that a fused operation reads"
        if layer.kind.startswith("Parametrized"):
            return "its weight is parametrized; remove the parametrization first"
        if kind == "ParametrizationList":
            return "the weight of its layer is computed from it; remove the parametrization first"
        if kind in self._wanted:
            return None
        if hasattr(nn, kind):
            return f"{kind} is not among those that it is written for: {', '.join(sorted(self._wanted))}"
        return f"its class, {layer.kind}, is not one of torch.nn's: what its forward does with its weight is not known"

    def _place(self, layer: LayerProfile) -> str | None:
        if not self._replaces:
            return None
        if not layer.name:
            return "it is the model itself; put it into a torch.nn.Sequential"
        reader = self._reader(layer)
        return f"its parent {reader} reads its weight directly" if reader else None

    def _reader(self, layer: LayerProfile) -> str | None:
        # The class of a parent that reads the weight of `layer` itself.
        for path in (layer.name, *layer.aliases):
            parent, _, child = path.rpartition(".")
            if child in _READERS.get(self._kinds.get(parent, ""), ()):
                return self._kinds[parent]
        return None

    def _idle(self, layer: LayerProfile) -> str | None:
        if (layer.calls and layer.inputs and layer.outputs) or self._reader(layer):
            return None
        return "it did not run in this forward, so that nothing could be checked"

    def _held(self, layer: LayerProfile) -> str | None:  # noqa: PLR0911  one return for each reason
        names = {tensor.name for tensor in layer.tensors}
        if "weight" not in names:
            return unplain(names)
        if names - {"weight", "bias"}:
            return f"it holds {', '.join(sorted(names - {'weight', 'bias'}))} beside weight and bias"
        for tensor in layer.tensors:
            tied = tensor.tied_to or self._ties.get(f"{layer.name}.{tensor.name}" if layer.name else tensor.name)
            if tied is not None:
                return f"its {tensor.name} is tied to {tied or 'the model itself'}"
            if tensor.kind != "parameter":
                return f"its {tensor.name} is a buffer, not a parameter"
            if tensor.dtype not in FLOATS:
                return f"its {tensor.name} is {tensor.dtype}; floating point was expected"
            if 0 in tensor.shape:
                return f"its {tensor.name} is empty"
        return None


def misfit(model: nn.Module, module: nn.Module, kinds: Collection[str], *, replaces: bool) -> str | None:
    """Say why ``module`` of ``model`` cannot be given another format; None where it can."""
    kind = type(module).__name__
    bare = "Linear" if kind == "NonDynamicallyQuantizableLinear" else kind
    if bare not in kinds or not type(module).__module__.startswith("torch.nn."):
        return f"the layer is a {kind}; {' or '.join(sorted(kinds))} of torch.nn was expected"
    if not isinstance(module._parameters.get("weight"), nn.Parameter):  # noqa: SLF001  masked ones have a plain tensor
        return "its weight is not a plain parameter"
    tied = tied_places(model, module)
    if tied:
        return f"its weight is tied to {tied[0]}"
    if not replaces and not nn.utils.parametrize.is_parametrized(module):
        return None
    return plain_obstacle(module)
