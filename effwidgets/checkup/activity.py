"""Dead and saturated units: activation functions as they run, in modules and in plain code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from effwidgets.errors import EffError
from effwidgets.records import Activity

__all__ = ["ActivityWatch"]

NEAR: Final = 1e-3
"""How near to a limit counts as at it.

Of the steepest slope of a sigmoid 0.4% is left there, of a tanh's 0.2%: what such a layer hands back is a few hundred
times smaller. The bounds below are the inputs where the output is that near, or, for functions that pass through zero
on one side (GELU, SiLU), where the slope has sunk to that.
"""

_SIGMOID: Final = 6.906755  # ln(0.999 / 0.001)
_TANH: Final = 3.800201  # artanh(0.999)
_GELU: Final = 4.0  # slope -5e-4
_SILU: Final = 9.0  # slope -1e-3; Mish has the same tail

Bounds = tuple[str, float | None, float | None, bool]
"""Name of the function, lower and upper input from which on it is flat, whether its lower side passes on nothing."""


def _fixed(name: str, low: float | None, high: float | None = None, *, dead: bool = True) -> Callable[..., Bounds]:
    def bounds(_x: Any, *_args: Any, **_kwargs: Any) -> Bounds:
        return name, low, high, dead

    return bounds


def _hardtanh(_x: Any, low: float = -1.0, high: float = 1.0) -> Bounds:
    return ("relu6" if (low, high) == (0, 6) else "hardtanh"), low, high, low == 0


def _clamp(_x: Any, low: Any = None, high: Any = None, **more: Any) -> Bounds | None:
    low, high = more.get("min", low), more.get("max", high)
    # Clamping from zero on is a ReLU by another name; any other bound guards a number.
    # The bound may be a tensor.
    return ("clamp", 0.0, None, True) if isinstance(low, int | float) and low == 0 and high is None else None


def _threshold(_x: Any, limit: float, _value: float) -> Bounds:
    return "threshold", limit, None, True


def _softplus(_x: Any, beta: float = 1.0, _threshold: float = 20.0) -> Bounds:
    return "softplus", -_SIGMOID / beta, None, True


def _elu(_x: Any, _alpha: float = 1.0, _scale: float = 1.0, input_scale: float = 1.0) -> Bounds:
    return "elu", -_SIGMOID / input_scale, None, False


def _celu(_x: Any, alpha: float = 1.0) -> Bounds | None:
    # max(0, x) + min(0, alpha (exp(x / alpha) - 1)): Barron, "Continuously Differentiable Exponential Linear Units",
    # 2017, equation 2. Its slope below zero is exp(x / alpha); with a negative alpha it is flat nowhere.
    return ("celu", -_SIGMOID * alpha, None, False) if alpha > 0 else None


_FUNCTIONS: Final[dict[str, Callable[..., Bounds | None]]] = {
    "relu": _fixed("relu", 0.0),
    "relu6": _fixed("relu6", 0.0, 6.0),
    "hardtanh": _hardtanh,
    "clamp": _clamp,
    "clamp_min": _clamp,
    "threshold": _threshold,
    "sigmoid": _fixed("sigmoid", -_SIGMOID, _SIGMOID, dead=False),
    "tanh": _fixed("tanh", -_TANH, _TANH, dead=False),
    "hardsigmoid": _fixed("hardsigmoid", -3.0, 3.0, dead=False),
    "hardswish": _fixed("hardswish", -3.0),
    "gelu": _fixed("gelu", -_GELU),
    "silu": _fixed("silu", -_SILU),
    "mish": _fixed("mish", -_SILU),
    "softplus": _softplus,
    "elu": _elu,
    "celu": _celu,
}
"""Name of the operation, a trailing underscore left out -> where it is flat."""

# Which operations have weights, and where their channels stand in what they return.
_CHANNELS: Final = {
    **dict.fromkeys(("convolution", "native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm"), 1),
    **dict.fromkeys(("_native_batch_norm_legit_no_training", "_batch_norm_with_update", "native_group_norm"), 1),
    **dict.fromkeys(("addmm", "mm", "bmm", "linear", "native_layer_norm", "embedding", "_fused_rms_norm"), -1),
}


@dataclass(slots=True)
class ActivityWatch:
    """Looks at every activation function of one forward.

    Attributes:
        stack: names of the modules that are running, the innermost last; whoever hooks them keeps it.
        found: what was seen, in order.
        notes: what could not be looked at, and why; each once.
    """

    stack: list[str]
    found: list[Activity] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    _places: dict[str, int] = field(default_factory=dict)
    _last: tuple[str, int, int] = ("", -1, 0)  # the layer with weights that ran last, its channels' place and number

    def mode(self) -> TorchDispatchMode:
        """Return the mode under which the forward runs."""
        return _Mode(self)

    @contextmanager
    def guard(self, what: str, layer: str) -> Iterator[None]:
        """Make a note of what goes wrong in looking: the forward goes on, and the model is not blamed."""
        try:
            yield
        except EffError:
            raise
        except Exception as error:  # noqa: BLE001  tensors of anybody's class pass here
            reason = str(error).partition("\n")[0][:160]
            where = f"layer {layer!r}" if layer else "the model itself"
            note = f"{where[0].upper()}{where[1:]}: {what} could not be looked at ({type(error).__name__}: {reason})."
            self.notes[note] = None

    def before(self, name: str, args: Any, kwargs: Any) -> None:
        """Look at the inputs of one operation; it may write over them."""
        function = _FUNCTIONS.get(name)
        bounds = None if function is None else function(*args, **kwargs)
        if bounds is None or not isinstance(args[0], torch.Tensor) or not args[0].is_floating_point():
            return
        title, low, high, dies = bounds
        values = self._by_unit(args[0].detach())
        if values is None:
            return
        off = None if low is None else values <= low
        full = None if high is None else values >= high
        dead = int(off.all(1).sum()) if off is not None and dies else 0
        limits = [side for side in (None if dies else off, full) if side is not None]
        saturated = int(torch.stack(limits).any(0).all(1).sum()) if limits else 0
        flat = sum(int(side.sum()) for side in (off, full) if side is not None) / values.numel()
        self._note(title, values.shape, (dead, saturated), flat)

    def after(self, name: str, args: Any, out: Any) -> None:
        """Look at what one operation returned."""
        first = out[0] if isinstance(out, tuple | list) and out else out
        if not isinstance(first, torch.Tensor) or not first.dim():
            return
        if name in _CHANNELS:
            place = _CHANNELS[name]
            self._last = (self.stack[-1], place, first.shape[place] if first.dim() > max(place, 0) else 0)
        elif name == "_softmax" and first.dim() > 1 and first.numel():
            # A row is flat where one entry has taken all.
            rows = (first.detach().amax(args[1]) >= 1 - NEAR).flatten(1) if first.dim() > 2 else None
            if rows is None:
                rows = (first.detach().amax(args[1]) >= 1 - NEAR)[:, None]
            self._note("softmax", rows.T.shape, (0, int(rows.all(0).sum())), float(rows.double().mean()))

    def _by_unit(self, x: torch.Tensor) -> torch.Tensor | None:
        """Return the values as (units, values of each)."""
        if not x.numel() or not x.dim():
            return None
        _, place, width = self._last
        natural = place if x.dim() > 2 or place < 0 else -1
        # A permutation may stand between: the place that has as many entries as the last layer made channels.
        places = [natural % x.dim(), *range(x.dim() - 1, 0, -1), 0]
        unit = next((one for one in places if x.shape[one] == width), natural % x.dim())
        return x.movedim(unit, 0).flatten(1) if x.dim() > 1 else x[:, None]

    def _note(self, function: str, shape: torch.Size, counts: tuple[int, int], flat: float) -> None:
        layer = self.stack[-1]
        self._places[layer] = self._places.get(layer, 0) + 1
        self.found.append(
            Activity(
                layer=layer,
                function=function,
                place=self._places[layer],
                after=self._last[0],
                units=shape[0],
                dead=counts[0],
                saturated=counts[1],
                flat=flat,
                seen=shape[1],
            )
        )


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's __init_subclass__ has no types
    """Hands every operation to a watch."""

    def __init__(self, watch: ActivityWatch) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._watch = watch

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__.removesuffix("_")
        layer = self._watch.stack[-1]
        with self._watch.guard(f"the inputs of {name}", layer):
            self._watch.before(name, args, kwargs)
        out = func(*args, **kwargs)
        with self._watch.guard(f"what {name} returned", layer):
            self._watch.after(name, args, out)
        return out
