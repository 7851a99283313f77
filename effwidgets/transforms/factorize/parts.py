"""The layers that a factorization puts in, as plain values: what they are, what they return, what they keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import cast

from torch import nn

from effwidgets.errors import TransformError
from effwidgets.profiling.layers import config_of
from effwidgets.records import LayerProfile, Shape

__all__ = ["CONVOLUTIONS", "Part"]

CONVOLUTIONS: Mapping[str, type[nn.Module]] = {"Conv1d": nn.Conv1d, "Conv2d": nn.Conv2d, "Conv3d": nn.Conv3d}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A Linear, a convolution or an Embedding, without its values.

    Attributes:
        kind: the class of torch.nn.
        weight: sizes of its weight: ``(out, in / groups, *kernel)``; of an Embedding ``(entries, width)``.
        bias: whether it has one.
        stride: one for each direction of the kernel; like ``padding``, ``dilation``, ``groups`` and ``padding_mode``
            empty or plain for what is no convolution.
    """

    kind: str
    weight: Shape
    bias: bool = False
    stride: Shape = ()
    padding: Shape | str = ()
    dilation: Shape = ()
    groups: int = 1
    padding_mode: str = "zeros"

    @classmethod
    def point(cls, kind: str, out: int, into: int, *, groups: int = 1, bias: bool = False) -> Part:
        """Return the layer of this kind that looks at single places: a Linear, or a convolution of 1 x 1."""
        if kind == "Linear":
            return cls(kind=kind, weight=(out, into), bias=bias)
        return cls.conv((out, into // groups, *[1] * int(kind[4])), groups=groups, bias=bias)

    @classmethod
    def conv(cls, weight: Shape, *, groups: int = 1, bias: bool = False) -> Part:
        """Return the convolution with this weight: stride 1, no padding."""
        ones = (1,) * (len(weight) - 2)
        return cls(
            kind=f"Conv{len(ones)}d",
            weight=weight,
            bias=bias,
            stride=ones,
            padding=(0,) * len(ones),
            dilation=ones,
            groups=groups,
        )

    @classmethod
    def of_module(cls, module: nn.Module) -> Part:
        """Describe a module of torch.nn."""
        weight = cast("nn.Parameter", module.weight)
        return cls._of(type(module).__name__, tuple(weight.shape), dict(config_of(module)))

    @classmethod
    def of_layer(cls, layer: LayerProfile) -> Part:
        """Describe a layer of a profile.

        Raises:
            TransformError: it has no plain weight.
        """
        weight = layer.tensor("weight")
        if weight is None:
            raise TransformError(f"{layer.name or 'the model itself'} has no plain weight.")
        config = dict(layer.config)
        kind = "Linear" if layer.kind == "NonDynamicallyQuantizableLinear" else layer.kind
        return cls._of(kind, weight.shape, config | {"bias": layer.tensor("bias") is not None})

    @classmethod
    def _of(cls, kind: str, weight: Shape, config: Mapping[str, object]) -> Part:
        bias = bool(config.get("bias", False))
        if kind not in CONVOLUTIONS or "stride" not in config:
            return cls(kind=kind, weight=weight, bias=bias)
        return cls(
            kind=kind,
            weight=weight,
            bias=bias,
            stride=cast("Shape", config["stride"]),
            padding=cast("Shape | str", config["padding"]),
            dilation=cast("Shape", config["dilation"]),
            groups=cast("int", config["groups"]),
            padding_mode=cast("str", config["padding_mode"]),
        )

    @property
    def into(self) -> int:
        """How many channels it takes."""
        return self.weight[0] if self.kind == "Embedding" else self.weight[1] * self.groups

    @property
    def out(self) -> int:
        """How many channels it makes."""
        return self.weight[1] if self.kind == "Embedding" else self.weight[0]

    @property
    def kernel(self) -> Shape:
        """The sizes of its kernel; empty for what is no convolution."""
        return self.weight[2:]

    @property
    def params(self) -> int:
        """Numbers in its weight."""
        return prod(self.weight)

    def build(self) -> nn.Module:
        """Return it as a module on the meta device."""
        if self.kind == "Embedding":
            return nn.Embedding(self.weight[0], self.weight[1], device="meta")
        if self.kind == "Linear":
            return nn.Linear(self.weight[1], self.weight[0], bias=self.bias, device="meta")
        conv = cast("Callable[..., nn.Module]", CONVOLUTIONS[self.kind])
        return conv(
            self.into,
            self.out,
            self.kernel,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            bias=self.bias,
            padding_mode=self.padding_mode,
            device="meta",
        )

    def of_one_group(self) -> Part:
        """Return what each group of a convolution does by itself."""
        return replace(self, weight=(self.weight[0] // self.groups, *self.weight[1:]), groups=1)

    def times(self, groups: int) -> Part:
        """Return as many of it side by side, each with channels of its own."""
        return replace(self, weight=(self.weight[0] * groups, *self.weight[1:]), groups=self.groups * groups)

    def returns(self, given: Shape) -> Shape:
        """Return the shape that it answers to inputs of shape ``given``."""
        if self.kind == "Embedding":
            return (*given, self.out)
        if not self.kernel:
            return (*given[:-1], self.out)
        before, sizes = given[: -len(self.kernel) - 1], given[-len(self.kernel) :]
        spans = [step * (size - 1) + 1 for step, size in zip(self.dilation, self.kernel, strict=True)]
        around = [size + extra for size, extra in zip(sizes, self._padding(), strict=True)]
        places = [(size - span) // step + 1 for size, span, step in zip(around, spans, self.stride, strict=True)]
        return (*before, self.out, *places)

    def macs(self, returned: Shape) -> int:
        """Return the multiply-accumulates behind an answer of shape ``returned``: each place once, with the weight."""
        if self.kind == "Embedding":
            return 0
        channel = -1 - len(self.kernel)
        return self.params * (prod(returned) // returned[channel] if returned[channel] else 0)

    def _padding(self) -> list[int]:
        # In each direction, before and behind together.
        if self.padding == "same":
            return [step * (size - 1) for step, size in zip(self.dilation, self.kernel, strict=True)]
        if isinstance(self.padding, str):
            return [0] * len(self.kernel)
        return [2 * edge for edge in self.padding]

    def _lopsided(self) -> list[int]:
        # Where "same" has an odd number to share out, torch pads one side of a copy first.
        odd = self.padding == "same" and self.padding_mode == "zeros"
        return [extra % 2 for extra in self._padding()] if odd else [0 for _ in self.kernel]

    def copied(self, given: Shape) -> int:
        """Return the numbers of the padded copy of its input that a convolution makes and keeps; 0 where it does not.

        Zeros on both sides are put around inside of the kernel; everything else is a copy.
        """
        extra = self._padding() if self.padding_mode != "zeros" else self._lopsided()
        if self.padding_mode == "zeros" and not any(extra):
            return 0
        before, sizes = given[: -len(self.kernel)], given[-len(self.kernel) :]
        return prod(before) * prod(size + more for size, more in zip(sizes, extra, strict=True))

    @property
    def keeps_input(self) -> bool:
        """Whether the backward of a convolution needs the input as it came: the padded copy stands for it otherwise.

        The backward of reflecting and replicating asks for the input too, that of wrapping around does not.
        """
        return self.padding_mode in ("reflect", "replicate") or not (self.padding_mode == "circular" or self.lopsided)

    @property
    def lopsided(self) -> bool:
        """Whether padding "same" comes to an odd number in some direction."""
        return any(self._lopsided())
