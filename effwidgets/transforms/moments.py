"""What the inputs of layers look like: their second moments on real data, in one forward for each batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.profiling.calls import tensors_in
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.rows import choose_places, groups_of, is_rowed, rows_in
from effwidgets.transforms.surgery import find_layer
from effwidgets.transforms.trial import answer, stand_in

__all__ = ["Moments", "Seen", "input_moments", "watched"]

_LEAST = 4096  # rows: what a layer is looked at, however narrow it is
_CHUNK = 2**24  # numbers in a block of rows: 128 MB in double precision


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Sums over what a layer was given. Holds tensors, so it is no record and never saved.

    Attributes:
        gram: ``X^T X`` of the rows ``X``, not centred, ``(d, d)`` in double precision, where ``d`` runs like
            ``weight.flatten(1)``: ``in`` of a Linear, ``in * kh * kw`` of a convolution. In a convolution of several
            groups the first of two further sizes: ``(groups, d, d)``. A transposed convolution is looked at as the
            plain one that it equals (see `rows.weight_matrix`).
        mean: of the rows, ``(d,)`` or ``(groups, d)``.
        rows: how many rows were added up; ``gram / rows`` is the mean. Rows with infinite entries or NaN are left out.
    """

    gram: Tensor
    mean: Tensor
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """One call of a layer: the tensor that it was given and the one that it returned."""

    layer: str
    module: nn.Module
    value: Tensor
    output: Tensor


def input_moments(
    model: nn.Module, layers: Iterable[str], calibration: Calibration, *, limit: int | None = None
) -> dict[str, Moments]:
    """Return the second moments of what linear layers are given: one forward of each batch for all of them.

    In evaluation mode, on a stand-in. A layer that runs several times is looked at in all its calls; one that never
    runs is not in what is returned.

    Args:
        model: not changed.
        layers: paths of Linears and convolutions, transposed ones too.
        calibration: the batches.
        limit: rows taken of a layer at most, for each of its calls in the forward, always the same ones; twice its
            width and at least 4,096 unless given.

    Raises:
        TransformError: a layer of another kind.
        UnknownNameError: no such layer.

    >>> from effwidgets.transforms.calibration import calibration_of
    >>> found = input_moments(nn.Sequential(nn.Linear(2, 3)), ["0"], calibration_of(torch.tensor([[1.0, 2.0]])))
    >>> found["0"].gram.tolist(), found["0"].mean.tolist(), found["0"].rows
    ([[1.0, 2.0], [2.0, 4.0]], [1.0, 2.0], 1)
    """
    asked = tuple(dict.fromkeys(layers))
    for name in asked:
        module = find_layer(model, name)
        if not is_rowed(module):
            kind = type(module).__name__
            raise TransformError(f"{name} is a {kind}; a Linear or a convolution of torch.nn was expected.")
    sums: dict[str, _Sums] = {}

    def add(seen: Seen) -> None:
        sums.setdefault(seen.layer, _Sums(seen, limit, len(calibration.batches))).add(seen)

    with watched(stand_in(model), asked, add) as twin:
        for batch in calibration.batches:
            answer(twin, batch)
    return {name: sums[name].moments() for name in asked if name in sums}


@contextmanager
def watched(twin: nn.Module, layers: Iterable[str], look: Callable[[Seen], None]) -> Iterator[nn.Module]:
    """Call ``look`` with what each of ``layers`` of ``twin``, a stand-in, is given and returns, as long as this lasts.

    ``look`` must not write into the tensors nor keep them: the forward may write into them later.
    """
    names = set(layers)
    handles = []

    def hook(name: str) -> Callable[[nn.Module, tuple[object, ...], Mapping[str, object], object], None]:
        def seen(module: nn.Module, args: tuple[object, ...], kwargs: Mapping[str, object], output: object) -> None:
            value = next(tensors_in((args, kwargs)), None)
            made = next(tensors_in(output), None)
            if value is not None and made is not None and made.numel():
                with torch.no_grad(), torch.autocast(made.device.type, enabled=False):
                    look(Seen(layer=name, module=module, value=value.detach(), output=made.detach()))

        return seen

    try:
        for name, module in twin.named_modules(remove_duplicate=False):
            if name in names:
                handles.append(module.register_forward_hook(hook(name), with_kwargs=True, prepend=True))
        yield twin
    finally:
        for handle in handles:
            handle.remove()


class _Sums:
    # The moments of one layer, while its calls come in.

    def __init__(self, seen: Seen, limit: int | None, batches: int) -> None:
        groups, first = groups_of(seen.module), _first(seen)
        self._limit = -(-(limit or max(_LEAST, 2 * first.shape[-1])) // batches)
        self._gram = first.new_zeros((groups, first.shape[-1], first.shape[-1]))
        self._sum = first.new_zeros((groups, first.shape[-1]))
        self._rows = 0

    def add(self, seen: Seen) -> None:
        places = choose_places(seen.module, seen.output, self._limit, seed=self._rows)
        for part in places.split(max(1, _CHUNK // self._sum.numel())):
            found = rows_in(seen.module, seen.value, part)
            good = found.isfinite().flatten(1).all(1)
            rows = (found if bool(good.all()) else found[good]).transpose(0, 1)
            self._gram.baddbmm_(rows.transpose(1, 2), rows)
            self._sum += rows.sum(1)
            self._rows += rows.shape[1]

    def moments(self) -> Moments:
        plain = self._gram.shape[0] == 1
        mean = self._sum / max(1, self._rows)
        return Moments(gram=self._gram[0] if plain else self._gram, mean=mean[0] if plain else mean, rows=self._rows)


def _first(seen: Seen) -> Tensor:
    return rows_in(seen.module, seen.value, choose_places(seen.module, seen.output, 1))
