"""Channels that are zero for every input: they can go without moving any output, whatever their weights are.

Weights alone do not tell: a batch norm behind zero weights may add a constant, and one whose scale and shift are zero
kills what the weights before it make. So it is followed along the forward, as `torch.fx` writes it down.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor, fx, nn

from effwidgets.transforms.prune.channels import sides
from effwidgets.transforms.prune.scenes import Scene
from effwidgets.transforms.prune.wide_norms import is_wide_norm
from effwidgets.transforms.trial import stand_in

__all__ = ["silent_channels"]

_BATCH_NORMS = nn.modules.batchnorm._BatchNorm  # noqa: SLF001  torch has no other name for all of them
_NORMS = (_BATCH_NORMS, nn.modules.instancenorm._InstanceNorm)  # noqa: SLF001

# Zero in, zero out, each channel for itself.
_KEEPING: Final = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.RReLU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.ELU, nn.CELU, nn.SELU),
    *(nn.GLU, nn.Hardswish, nn.Softsign, nn.Tanhshrink, nn.Hardshrink, nn.Softshrink, nn.PReLU),
    *(nn.Identity, nn.Flatten, nn.Unflatten, nn.Upsample, nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d),
    *(nn.modules.dropout._DropoutNd, nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd),  # noqa: SLF001
    *(nn.modules.pooling._AdaptiveAvgPoolNd, nn.modules.pooling._AdaptiveMaxPoolNd),  # noqa: SLF001
    *(nn.modules.padding._ReflectionPadNd, nn.modules.padding._ReplicationPadNd),  # noqa: SLF001
)
_KEEPING_NAMES: Final = """
    relu relu_ relu6 leaky_relu leaky_relu_ gelu silu mish tanh elu celu selu hardswish softsign tanhshrink prelu
    dropout dropout1d dropout2d dropout3d alpha_dropout flatten unflatten reshape view permute transpose contiguous
    squeeze unsqueeze expand clone to float half double bfloat16 type_as mean sum neg abs sign square sqrt getitem chunk
    split unbind movedim swapaxes max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d boolean_dispatch interpolate amax glu
"""
_SUMS: Final = frozenset({"add", "iadd", "add_", "sub", "isub", "sub_"})
_PRODUCTS: Final = frozenset({"mul", "imul", "mul_", "matmul", "bmm", "einsum"})
_QUOTIENTS: Final = frozenset({"truediv", "div", "div_", "itruediv"})
_FIRST: Final = frozenset(_KEEPING_NAMES.split()) | _QUOTIENTS
_JOINS: Final = frozenset({"cat", "concat", "concatenate", "stack"})

_TRACING: Final = threading.Lock()  # of two that trace at once, torch.fx leaves what it puts around all modules behind


def silent_channels(scene: Scene) -> Tensor:
    """Return which channels of the group are zero for every input, or are read by nothing but zeros: ``(channels,)``.

    Such a channel is made by weights and biases that are all zero, or killed by a norm whose scale and shift are, and
    nothing behind that adds to it up to the layers that read it. What is not known to leave a zero a zero counts as
    adding to it: a channel that is named here is silent, one that is not may be. Where the forward cannot be written
    down, a channel is silent when every layer that makes it or passes it on says so.
    """
    if any(is_wide_norm(module) for module in scene.modules.values()):
        return torch.zeros(scene.group.channels, dtype=torch.bool)  # a zero, too, has a part in mean and spread
    read = _read_by_zeros(scene)
    unread = torch.stack(list(read.values())).all(0) if read else torch.zeros(scene.group.channels, dtype=torch.bool)
    if any(axes.own for axes in scene.axes.values()):
        return unread  # what a module adds or multiplies of its own is not followed
    made = _Made(scene)
    if not bool((made.candidates() | torch.stack([*read.values(), unread]).any(0)).any()):
        return unread  # as in most trained models: nothing to follow
    try:
        zero_at = _Walk(scene, made).at_readers()
    except Exception:  # noqa: BLE001  anybody's forward: torch.fx cannot write all of them down
        return unread | made.everywhere()
    quiet = [zero_at[layer] | zeros for layer, zeros in read.items() if layer in zero_at]
    return unread | torch.stack(quiet).all(0) if len(quiet) == len(read) else unread | made.everywhere()


def _read_by_zeros(scene: Scene) -> dict[str, Tensor]:
    # By reader, the channels that it multiplies by nothing but zeros.
    found = {}
    for layer, members in scene.readers():
        rows = scene.by_entry(layer, "in", scene.weight(layer) == 0).all(1).cpu()
        found[layer] = torch.stack([scene.span(rows, member).all(1) for member in members]).all(0)
    return found


class _Made:
    """What each member on the "out" side does to a channel, from its own tensors.

    Attributes:
        kills: by layer, the channels that leave it zero whatever comes in.
        keeps: by layer that passes channels on, those that leave it zero when they come in zero.
    """

    def __init__(self, scene: Scene) -> None:
        self.kills: dict[str, Tensor] = {}
        self.keeps: dict[str, Tensor] = {}
        self._channels = scene.group.channels
        for (layer, side), members in sides(scene.group, scene.axes).items():
            if side == "in":
                continue
            spans = [tuple(scene.span(part, m).all(1) for part in _zeros(scene, layer)) for m in members]
            self.kills[layer], kept = (torch.stack(parts).all(0) for parts in zip(*spans, strict=True))
            if "in" not in scene.axes[layer].sides and not isinstance(scene.modules[layer], nn.Embedding):
                self.keeps[layer] = kept

    def candidates(self) -> Tensor:
        """Return the channels that some layer kills."""
        return torch.stack(list(self.kills.values())).any(0)

    def everywhere(self) -> Tensor:
        """Return the channels that are zero as far as all layers of the group say, without knowing their order.

        Made of nothing but zeros and passed on as zeros; or killed by every norm there is, where each layer that makes
        them can have one of its own.
        """
        makers = [zero for layer, zero in self.kills.items() if layer not in self.keeps]
        none = torch.zeros(self._channels, dtype=torch.bool)
        quiet = torch.stack([*makers, *self.keeps.values()]).all(0) if makers else none
        norms = [self.kills[layer] for layer in self.keeps]
        return quiet | torch.stack(norms).all(0) if len(norms) >= len(makers) and norms else quiet


def _zeros(scene: Scene, layer: str) -> tuple[Tensor, Tensor]:
    # By entry of its "out" side: whether it is zero whatever comes in, and whether a zero that comes in leaves as one.
    module = scene.modules[layer]
    if isinstance(module, _NORMS):
        return _norm_zeros(module)
    zero = scene.by_entry(layer, "out", scene.weight(layer) == 0).all(1).cpu()
    bias = getattr(module, "bias", None)
    unmoved = bias.detach().cpu() == 0 if isinstance(bias, Tensor) else torch.ones_like(zero)
    return zero & unmoved, unmoved


def _norm_zeros(module: nn.Module) -> tuple[Tensor, Tensor]:
    parts = {name: getattr(module, name) for name in ("weight", "bias", "running_mean", "running_var")}
    known = {name: part.detach().double().cpu() for name, part in parts.items() if isinstance(part, Tensor)}
    count = int(getattr(module, "num_features", 0))
    scale = known.get("weight", torch.ones(count, dtype=torch.float64))
    shift = known.get("bias", torch.zeros(count, dtype=torch.float64))
    of_zero = shift
    if "running_mean" in known:
        spread = (known["running_var"] + float(getattr(module, "eps", 0.0))).sqrt()
        of_zero = shift - known["running_mean"] * scale / spread
    # A shift that was set to cancel the mean does so up to the rounding of float32.
    return (scale == 0) & (shift == 0), of_zero.abs() <= 1e-6 * shift.abs()


class _Tracer(fx.Tracer):
    """Writes the forward of a private copy down; members and torch's own layers stay whole."""

    def __init__(self, whole: frozenset[str]) -> None:
        super().__init__()
        self._whole = whole
        self._thread = threading.get_ident()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name in self._whole or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        # While this one traces, torch.fx stands around the calls of all modules, of other threads too.
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)


class _Walk:
    """Follows a zero from where it is made to where it is read."""

    def __init__(self, scene: Scene, made: _Made) -> None:
        self._scene, self._made = scene, made
        self._twin = stand_in(scene.model)
        self._modules: Mapping[str, nn.Module] = dict(self._twin.named_modules(remove_duplicate=False))
        ids = {id(module): name for name, module in self._modules.items()}
        first = {id(self._modules[name]): name for name in scene.modules}
        self._member = {name: first.get(id(module), "") for name, module in self._modules.items()}
        with _TRACING:
            self._graph = _Tracer(frozenset(ids.values()) & frozenset(scene.modules)).trace(self._twin)
        self._none = torch.zeros(scene.group.channels, dtype=torch.bool)
        self._known: dict[fx.Node, Tensor | None] = {}

    def at_readers(self) -> dict[str, Tensor]:
        """Return, by layer that reads the channels, which of them are zero there in all of its calls."""
        readers = {layer for layer, _ in self._scene.readers()}
        found: dict[str, Tensor] = {}
        for node in self._graph.nodes:  # in the order of the forward: what a node takes is known before it
            self._known[node] = self._zero(node)
            layer = self._member.get(str(node.target), "") if node.op == "call_module" else ""
            if layer in readers:
                zero = self._first(node)
                zero = self._none if zero is None else zero
                found[layer] = found[layer] & zero if layer in found else zero
        return found

    def _zero(self, node: fx.Node) -> Tensor | None:
        # Which channels of the group are zero in what a node returns; None where it carries none of them.
        if node.op == "call_module":
            return self._of_module(node)
        if node.op not in ("call_function", "call_method"):
            return None
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        carried = [zero for zero in (self._known[other] for other in node.all_input_nodes) if zero is not None]
        if not carried:
            return None
        if name == "scaled_dot_product_attention":
            value = node.args[2] if len(node.args) > 2 else node.kwargs.get("value")  # query, key, value
            zero = self._known.get(value) if isinstance(value, fx.Node) else None
        elif name in _FIRST:
            zero = self._first(node)
        elif name in _PRODUCTS:
            zero = torch.stack(carried).any(0)
        else:
            sums = name in _SUMS and all(isinstance(part, fx.Node) or part == 0 for part in node.args)
            # What stands beside them in a concatenation are other channels.
            whole = name in _JOINS or (sums and len(carried) == len(node.all_input_nodes))
            zero = torch.stack(carried).all(0) if whole else None
        return self._none if zero is None else zero

    def _of_module(self, node: fx.Node) -> Tensor | None:
        layer, came = self._member.get(str(node.target), ""), self._first(node)
        if layer in self._made.keeps:
            return self._made.kills[layer] | (self._made.keeps[layer] & came) if came is not None else self._none
        if layer in self._made.kills:
            return self._made.kills[layer]
        if came is None or layer:
            return None  # a reader makes channels of its own
        module = self._modules[str(node.target)]
        if isinstance(module, _KEEPING) and not getattr(module, "value", 0):
            return came
        return self._none

    def _first(self, node: fx.Node) -> Tensor | None:
        given = node.args[0] if node.args else node.kwargs.get("input")
        return self._known.get(given) if isinstance(given, fx.Node) else None
