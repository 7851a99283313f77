"""A weight as indices into a few values: small to store, smaller still to send."""

from __future__ import annotations

import math
from math import prod
from typing import ClassVar, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from effwidgets.errors import TransformError
from effwidgets.records import Knob, LayerProfile, Profile, Settings, Shape, Step, settings
from effwidgets.transforms.formats.format import CONVOLUTIONS, Filling, Format, weight_of
from effwidgets.transforms.formats.kmeans import cluster, nearest
from effwidgets.transforms.formats.operations import operation_of
from effwidgets.transforms.formats.sizes import coded_bytes
from effwidgets.transforms.formats.tables import reformatted, refuse_embedding, tensor_info, weight_info
from effwidgets.transforms.graphs import graph_of
from effwidgets.transforms.trial import relative_error

__all__ = ["CODEBOOK", "Codebook", "indices_of"]

_MOST: Final = 8
_NIBBLE: Final = 4
_SLOW: Final = (
    "The weight is looked up in each forward: fewer bytes are stored and sent, and it is slower (a Linear on a CPU: 3 "
    "to 50 times the time). The values train on; the indices do not, and count as buffers."
)


class _LookedUp(nn.Module):
    # Template. A byte holds as many indices as fit, and is looked up in the table of all their combinations.

    indices: Tensor
    free: Tensor

    def __init__(self, like: nn.Module, bits: int) -> None:
        super().__init__()
        weight = weight_of(like).detach()
        self._operation = operation_of(like)
        self._shape, self._width = tuple(weight.shape), prod(weight.shape[1:])
        self._each = _MOST // bits
        self.codebook = nn.Parameter(weight.new_zeros(2**bits), requires_grad=weight_of(like).requires_grad)
        self.bias = getattr(like, "bias", None)
        self.register_buffer("indices", weight.new_zeros(_stored_shape(self._shape, bits), dtype=torch.uint8))
        self.register_buffer("free", weight.new_zeros(2**bits))

    def forward(self, x: Tensor) -> Tensor:
        values = self.codebook * self.free  # where that is zero, the value stays zero in training too
        # As whole numbers that an index may be. What is added comes from a parameter: what is made of buffers alone,
        # torch computes when it reads a pickle.
        places = self.indices + values.new_zeros(1, dtype=torch.int32)
        return self._operation(x, self._rows(places, values).view(self._shape), self.bias)

    def _rows(self, places: Tensor, values: Tensor) -> Tensor:
        if self._each == 1:
            return values.index_select(0, places.flatten())
        found = functional.embedding(places, torch.cartesian_prod(*[values] * self._each)).flatten(-2)
        return found.narrow(-1, 0, self._width).contiguous() if self._width % self._each else found


class _LookedUpRows(_LookedUp):
    # Template: of an Embedding only the rows that are asked for.

    def forward(self, x: Tensor) -> Tensor:
        values = self.codebook * self.free
        places = functional.embedding(x, self.indices).int()
        table = values.unsqueeze(1) if self._each == 1 else torch.cartesian_prod(*[values] * self._each)
        return functional.embedding(places, table).flatten(-2).narrow(-1, 0, self._width)


class Codebook(Format):
    """The numbers of a weight become the nearest of ``2 ** bits`` values, found by k-means for this layer.

    Han et al. 2016, arXiv:1510.00149 (Deep Compression), sections 3 and 4. Setting ``bits``: 1 to 8; up to 4, two
    indices share a byte. Zeros stay exactly zero, also in training, so that it goes with `unstructured`: what both
    make is measured as a download with run lengths and Huffman codes.
    """

    name: ClassVar[str] = "codebook"
    family: ClassVar[str] = "quantize"
    exact: ClassVar[frozenset[str]] = frozenset({"params", "param_bytes", "macs", "backward_macs"})
    repairs: ClassVar[frozenset[str]] = frozenset({"bias", "batch_norm"})
    kinds: ClassVar[frozenset[str]] = CONVOLUTIONS | {"Linear", "Embedding"}
    known: ClassVar[frozenset[str]] = frozenset({"bits"})

    def offer(self, layer: LayerProfile, profile: Profile) -> str | tuple[tuple[Knob, ...], str]:
        """A weight with more numbers than the largest codebook has."""
        del profile
        entries = prod(weight_info(layer).shape)
        if entries <= 2**_MOST:
            return f"its weight has {entries} numbers, no more than a codebook"
        knob = Knob(name="bits", kind="int", low=1, high=_MOST)
        return (knob,), f"{entries:,} numbers as indices of 1 to {_MOST} bits into a codebook of the layer"

    def warnings(self, layer: LayerProfile) -> tuple[str, ...]:
        """What it costs in time."""
        del layer
        return (_SLOW,)

    def check(self, step: Step) -> None:
        """Bits from 1 to 8."""
        super().check(step)
        _bits(step)

    def standing(self, layer: LayerProfile, step: Step) -> tuple[LayerProfile, ...]:
        """Codebook, bias, indices, and which values may move."""
        weight, bits = weight_info(layer), _bits(step)
        tensors = [
            tensor_info("codebook", (2**bits,), weight.dtype, trainable=weight.trainable),
            *(tensor for tensor in layer.tensors if tensor.name == "bias"),
            tensor_info("free", (2**bits,), weight.dtype, parameter=False),
            tensor_info("indices", _stored_shape(weight.shape, bits), "uint8", parameter=False),
        ]
        return (reformatted(layer, f"Codebook{layer.kind}", tensors),)

    def build(self, module: nn.Module, step: Step) -> nn.Module:
        """Return the graph, with zeros."""
        refuse_embedding(module, step)
        kind = _LookedUpRows if isinstance(module, nn.Embedding) else _LookedUp
        return graph_of(kind(module, _bits(step)), f"Codebook{type(module).__name__}")

    def fill(self, filling: Filling) -> tuple[Settings, tuple[str, ...]]:
        """Find the values, and the nearest of them for each number."""
        weight, bits = weight_of(filling.old).detach(), _bits(filling.step)
        codebook, free = filling.new.get_parameter("codebook"), filling.new.get_buffer("free")
        wide = weight if weight.dtype is torch.float64 else weight.float()
        zero = weight == 0
        some = int(bool(zero.any()))  # zeros have the first index and keep it
        values = cluster(wide[~zero], 2**bits - some)
        indices = nearest(wide, values) + some if values.numel() else torch.zeros_like(weight, dtype=torch.uint8)
        codebook[some : some + values.numel()] = values.to(codebook)
        free.fill_(1)[:some] = 0
        indices.masked_fill_(zero, 0)
        filling.new.get_buffer("indices").copy_(_packed(indices, bits))
        error = relative_error([wide], [(codebook * free)[indices.long()]])
        coded, least = coded_bytes(indices, 2**bits)
        table = codebook.numel() * codebook.element_size()
        found = {"entries": weight.numel(), "zeros": int(zero.count_nonzero()), "weight_error": error or 0.0}
        return settings({**found, "download_bytes": coded + table, "entropy_bytes": math.ceil(least)}), (_SLOW,)

    def dense(self, new: nn.Module, old: nn.Module) -> Tensor:
        """Each index replaced by its value."""
        values = new.get_parameter("codebook") * new.get_buffer("free")
        return values[indices_of(new, tuple(weight_of(old).shape)).long()]


def indices_of(module: nn.Module, shape: Shape) -> Tensor:
    """Return the indices that a layer made by `codebook` holds, one in a byte.

    Args:
        module: the layer.
        shape: of the weight that they stand for.
    """
    count = module.get_parameter("codebook").numel()
    rows = module.get_buffer("indices").int()  # 256 is no number of eight bits
    each = _MOST // (count.bit_length() - 1)
    digits = [rows // count**place % count for place in reversed(range(each))]
    return torch.stack(digits, -1).flatten(1)[:, : prod(shape[1:])].reshape(shape)


def _stored_shape(shape: Shape, bits: int) -> Shape:
    return shape[0], -(-prod(shape[1:]) // (_MOST // bits))


def _packed(indices: Tensor, bits: int) -> Tensor:
    # The first of those in a byte counts most, as in torch.cartesian_prod.
    each, rows = _MOST // bits, indices.flatten(1)
    if each == 1:
        return rows
    rows = functional.pad(rows, (0, -rows.shape[1] % each)).reshape(rows.shape[0], -1, each)
    found = torch.zeros_like(rows[..., 0])
    for place in range(each):
        found = found * 2**bits + rows[..., place]
    return found


def _bits(step: Step) -> int:
    bits = step.setting("bits")
    if not isinstance(bits, int) or isinstance(bits, bool) or not 1 <= bits <= _MOST:
        raise TransformError(f"{step}: bits is {bits!r}; a whole number from 1 to {_MOST} was expected.")
    return bits


CODEBOOK = Codebook()
