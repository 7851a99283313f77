"""Low rank with respect to real inputs: what matters is the error of the outputs, not that of the weight.

The nearest matrix of a rank under inputs with second moments ``G = L L^T`` is the truncated singular value
decomposition of ``W L``, with ``L`` taken off again: DRONE (Chen et al. 2021), SVD-LLM (Wang et al. 2024,
arXiv:2403.07378). The leading left vectors ``U`` of ``W L`` are all that is needed: the answer is ``U U^T W``, so that
``L`` is never inverted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from effwidgets.records import Plan
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.moments import Moments, input_moments

__all__ = ["balanced", "centred", "fitted_layers", "moments_of", "prepared", "usable", "whitened_factors"]

_HELD = 2**28  # bytes of moments held at once, for the layers that come next
_LEAST = 0.01  # of the way towards a sphere, where there are few rows
_NOTHING = 1e-10  # of the mean square: what is left of inputs that are always the same is rounding


@dataclass(slots=True)
class _Prepared:
    # The layers of a plan whose moments are asked for one after the other, and those that are at hand.

    model: nn.Module
    calibration: Calibration
    waiting: list[str]
    found: dict[str, Moments] = field(default_factory=dict)
    last: tuple[str, Moments | None] = ("", None)  # asked for again and again while several ranks are tried


_prepared: ContextVar[_Prepared | None] = ContextVar("effwidgets_prepared_moments", default=None)


@contextmanager
def prepared(model: nn.Module, layers: Iterable[str], calibration: Calibration | None) -> Iterator[None]:
    """While this lasts, in this thread, the moments of ``layers`` come from few forwards of ``model``: one for many.

    The moments are those of the inputs that ``model`` gives the layers, whatever is edited meanwhile. Nothing runs
    before the first of them is asked for.

    Args:
        model: as it is before a plan; it must not be changed in place while this lasts.
        layers: paths, in the order in which they will be asked for; those that it has not are left out.
        calibration: the batches; with None nothing is prepared.
    """
    names = [name for name in dict.fromkeys(layers) if _square(model, name)]
    token = _prepared.set(None if calibration is None else _Prepared(model, calibration, names))
    try:
        yield
    finally:
        _prepared.reset(token)


def fitted_layers(plan: Plan) -> list[str]:
    """Return the layers whose inputs the steps of ``plan`` are fitted to, in order, for `prepared`.

    A transformation says so in a class attribute ``fits_inputs``.
    """
    fitted = (step for step in plan if getattr(TRANSFORMS[step.transform], "fits_inputs", False))
    return [step.layers[0] for step in fitted]


def moments_of(model: nn.Module, name: str, calibration: Calibration) -> Moments | None:
    """Return the moments of what layer ``name`` of ``model`` is given; None where it does not run.

    Inside of `prepared` they are those of the model that was prepared, when the layer is as wide there.
    """
    held = _prepared.get()
    if held is not None and held.calibration is calibration and name in (*held.waiting, *held.found, held.last[0]):
        if name != held.last[0]:
            if name not in held.found:
                held.found.update(input_moments(held.model, _next(held, name), calibration))
            held.last = name, held.found.pop(name, None)
        found = held.last[1]
        width = int(_square(model, name) ** 0.5)
        if found is not None and found.gram.numel() == width * width:
            return found
    return input_moments(model, [name], calibration).get(name)


def _next(held: _Prepared, name: str) -> list[str]:
    # The layer asked for and as many of those behind it as may be held at once.
    start, size = held.waiting.index(name), 0
    taken: list[str] = []
    for waiting in held.waiting[start:]:
        size += 8 * _square(held.model, waiting)
        if taken and size > _HELD:
            break
        taken.append(waiting)
    held.waiting = [waiting for waiting in held.waiting if waiting not in taken]
    return taken


def _square(model: nn.Module, name: str) -> int:
    # How many numbers the Gram matrices of a layer's inputs have; 0 for what is no linear layer. To ask for a weight
    # that is parametrized would run its code, which moves the buffers of spectral_norm: only a plain one is looked at.
    module = dict(model.named_modules(remove_duplicate=False)).get(name)
    weight = None if module is None else module._parameters.get("weight")  # noqa: SLF001
    if not isinstance(module, nn.Linear | nn.modules.conv._ConvNd) or weight is None:  # noqa: SLF001  base of all six
        return 0
    width = weight[0].numel()
    return int(getattr(module, "groups", 1) * width * width)


def usable(moments: Moments | None) -> bool:
    """Say whether there are inputs to go by: some, finite, and not all zero."""
    return moments is not None and moments.rows > 1 and bool(moments.gram.isfinite().all()) and bool(moments.gram.any())


def centred(moments: Moments, *, by_mean: bool) -> tuple[Tensor, Tensor | None]:
    """Return the moments to fit to, ``(groups, d, d)``, and the mean ``(groups, d)`` that a bias takes up, or None.

    Moments of few rows know nothing of most directions: they are drawn towards a sphere, as far as their spread and
    the number of rows call for (Chen, Wiesel, Eldar and Hero 2010, IEEE Transactions on Signal Processing 58, equation
    23), times ``d / (rows + d)``, so that a direction which many rows leave empty stays nearly so. For inputs that are
    always the same they become the sphere: then the nearest factors are those of the weight.
    """
    gram = moments.gram if moments.gram.dim() > 2 else moments.gram[None]
    mean = moments.mean if moments.mean.dim() > 1 else moments.mean[None]
    whole = gram / moments.rows
    least = _NOTHING * _level(whole)
    if by_mean:
        whole = whole - mean[:, :, None] * mean[:, None, :]
    level = _level(whole).clamp(min=torch.finfo(torch.float64).tiny)
    share = torch.where(level > least, _towards_sphere(whole / level, moments.rows), torch.ones_like(level))
    around = level * torch.eye(whole.shape[-1], dtype=whole.dtype, device=whole.device)
    return (1 - share) * whole + share * around, mean if by_mean else None


def _level(whole: Tensor) -> Tensor:
    return whole.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]


def _towards_sphere(scaled: Tensor, rows: int) -> Tensor:
    # Of moments (groups, d, d) whose diagonal has the mean 1: their trace is d.
    width = scaled.shape[-1]
    squares = scaled.square().sum((-2, -1), keepdim=True)
    apart = (squares - width).clamp(min=1e-12)
    few = (1 - 2 / width) * squares + width**2
    asked = (few / ((rows + 1 - 2 / width) * apart)).clamp(_LEAST, 1)
    return asked * (width / (rows + width))


def whitened_factors(weight: Tensor, gram: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Split ``weight`` ``(out, d)`` into ``(rank, d)`` and ``(out, rank)``, nearest for inputs of moments ``gram``.

    Both in double precision and of one scale, see `balanced`.
    """
    whole = weight.detach().double()
    out, width = whole.shape
    if out <= width:
        left = torch.linalg.eigh(whole @ gram @ whole.T)[1][:, out - rank :]
    else:
        root = _root(gram)
        tall = whole @ root
        left = torch.linalg.qr(tall @ torch.linalg.eigh(tall.T @ tall)[1][:, width - rank :])[0]
    return balanced(left.T @ whole, left)


def _root(gram: Tensor) -> Tensor:
    # Some L with L L^T = G; it need not be triangular, and G may be singular.
    found, failed = torch.linalg.cholesky_ex(gram)
    if not bool(failed):
        lower: Tensor = found
        return lower
    values, vectors = torch.linalg.eigh(gram)
    root: Tensor = vectors * values.clamp(min=0).sqrt()
    return root


def balanced(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return factors ``(rank, d)`` and ``(out, rank)`` of the same product that share its scale: then both can learn.

    By a QR decomposition of each and a singular value decomposition of what is left between: whitened factors as they
    come were seen to fine-tune badly.
    """
    one, left = torch.linalg.qr(second)
    two, right = torch.linalg.qr(first.T)
    inner, values, outer = torch.linalg.svd(left @ right.T)
    scale = torch.where(values > values.max() * 1e-12, values, torch.ones_like(values)).sqrt()
    rest = values / scale
    return (scale[:, None] * outer) @ two.T, (one @ inner) * rest
