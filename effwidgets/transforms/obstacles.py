"""Why a layer cannot be factored, in words, as far as a profile tells. What it cannot tell, `verify` catches."""

from __future__ import annotations

from collections.abc import Collection

from torch import nn

from effwidgets.records import LayerProfile, Profile

__all__ = ["FLOATS", "RECURRENT_KINDS", "Obstacles", "bare_kind", "raw_obstacle", "unplain"]

FLOATS = frozenset({"float64", "float32", "float16", "bfloat16"})
RECURRENT_KINDS = frozenset({"RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"})

# Parents of torch that read the weight of a child themselves, so that the child must stay what it is.
_READERS = {
    "MultiheadAttention": frozenset({"out_proj"}),
    "TransformerEncoderLayer": frozenset({"linear1", "linear2"}),
}

# Layers of torch.nn that hold a matrix and do something else with it than a Linear, a convolution or an Embedding.
_OTHERWISE = {
    "Bilinear": "it is bilinear: its weight multiplies two inputs at once",
    "EmbeddingBag": "it adds its rows up itself, before a second factor could meet them one by one",
    "ConvTranspose1d": "it is transposed: factors would have to be applied in the other order",
    "ConvTranspose2d": "it is transposed: factors would have to be applied in the other order",
    "ConvTranspose3d": "it is transposed: factors would have to be applied in the other order",
}


def bare_kind(layer: LayerProfile) -> str:
    """Return the class that a layer was before torch renamed it: ``ParametrizedLinear`` is a ``Linear``."""
    kind = layer.kind.removeprefix("Parametrized")
    return "Linear" if kind == "NonDynamicallyQuantizableLinear" else kind


def unplain(names: Collection[str]) -> str:
    """Say what was made of a layer's weight, and how it becomes plain, where it holds ``names`` and no weight.

    >>> unplain(["bias", "weight_mask", "weight_orig"])
    'its weight is masked; make it plain first (torch.nn.utils.prune.remove)'
    """
    if "weight_orig" in names and "weight_mask" in names:
        return "its weight is masked; make it plain first (torch.nn.utils.prune.remove)"
    if "weight_g" in names and "weight_v" in names:
        return "its weight is normalised; make it plain first (torch.nn.utils.remove_weight_norm)"
    held = ", ".join(sorted(names)) or "no tensor"
    return f"its weight is not a plain parameter: it holds {held}"


def raw_obstacle(layer: LayerProfile) -> str | None:
    """Say why a layer that holds matrices but no plain weight is left alone; None for every other layer."""
    if layer.kind in RECURRENT_KINDS:
        return f"{layer.kind} is recurrent: one fused operation reads its raw weights"
    if layer.kind == "MultiheadAttention" and layer.tensor("in_proj_weight"):
        return "its query, key and value projections are one raw parameter, not a Linear"
    if layer.kind in _OTHERWISE:
        return _OTHERWISE[layer.kind]
    matrix = any(tensor.kind == "parameter" and len(tensor.shape) > 1 for tensor in layer.tensors)
    if matrix and layer.self_cost.macs and not hasattr(nn, bare_kind(layer)):
        return f"its class, {layer.kind}, is not one of torch.nn's: what its forward does with its weight is not known"
    return None


class Obstacles:
    """What stands in the way of replacing layers of ``profile``; ties and parents are looked up once."""

    def __init__(self, profile: Profile) -> None:
        self._kinds = {path: layer.kind for layer in profile.layers for path in (layer.name, *layer.aliases)}
        self._ties = {
            tensor.tied_to: layer.name for layer in profile.layers for tensor in layer.tensors if tensor.tied_to
        }
        self._again = {_parent(layer.name) for layer in profile.layers if _runs_again(layer)}

    def of(self, layer: LayerProfile) -> str | None:
        """Say why ``layer`` cannot be replaced by a product of smaller ones; None where it can."""
        if not layer.name:
            return "it is the model itself; put it into a torch.nn.Sequential"
        if layer.kind.startswith("Parametrized"):
            return "its weight is parametrized; remove the parametrization first"
        for path in (layer.name, *layer.aliases):
            parent, _, child = path.rpartition(".")
            if child in _READERS.get(self._kinds.get(parent, ""), ()):
                return f"its parent {self._kinds[parent]} reads its weight directly"
        if _parent(layer.name) in self._again and not _runs_again(layer) and layer.self_cost.macs:
            return "it stands at the end of a checkpoint, where what is run again for the backward cannot be told"
        return self._held(layer) or _run(layer)

    def _held(self, layer: LayerProfile) -> str | None:
        names = {tensor.name for tensor in layer.tensors}
        if "weight" not in names:
            return unplain(names)
        if names - {"weight", "bias"}:
            return f"it holds {', '.join(sorted(names - {'weight', 'bias'}))} beside weight and bias"
        for tensor in layer.tensors:
            tied = tensor.tied_to or self._ties.get(f"{layer.name}.{tensor.name}")
            if tied is not None:
                return f"its {tensor.name} is tied to {tied or 'the model itself'}"
            if tensor.kind != "parameter":
                return f"its {tensor.name} is a buffer, not a parameter"
            if tensor.dtype not in FLOATS:
                return f"its {tensor.name} is {tensor.dtype}; floating point was expected"
        return None


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _runs_again(layer: LayerProfile) -> bool:
    # A backward has the products for two gradients; a third run of them is the forward's, inside of a checkpoint.
    weight = layer.tensor("weight")
    return weight is not None and layer.self_cost.backward_macs > (1 + weight.trainable) * layer.self_cost.macs


def _run(layer: LayerProfile) -> str | None:
    if not layer.calls or not layer.inputs or not layer.outputs:
        return "it did not run in this forward"
    config = dict(layer.config)
    if layer.kind.startswith("Conv") and "stride" not in config:
        return f"its class {layer.kind} is not torch.nn's own: what its forward does with its weight is not known"
    if config.get("groups", 1) != 1 and config.get("groups") == config.get("in_channels"):
        return "it is depthwise: one channel each"
    return None
