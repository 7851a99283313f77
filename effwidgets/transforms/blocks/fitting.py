"""A block fitted to inputs and outputs: a start from the data, its last layer solved, gradient steps, solved again."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from effwidgets.transforms.asking import ask
from effwidgets.transforms.blocks.observed import Observed
from effwidgets.transforms.blocks.solving import Ends, settle_norms, solve_last, watching
from effwidgets.transforms.trial import relative_error

__all__ = ["BY_DEFAULT", "Budget", "Fitted", "fitted"]

# Of Adam, falling to zero along half a cosine: for biases and scales, and for weights times their usual size, the root
# of one over the numbers that each of their outputs is summed from.
_RATE: Final = 1e-2
_RATE_OF_WEIGHTS: Final = 0.1
_PICTURES: Final = 64  # in a step
_ROUNDS: Final = 60  # over the data at most: what a few pictures say is soon learnt by heart
_FEW: Final = 8  # pictures
_PLACES: Final = 16  # of outputs for each step, where there are so few pictures
_FEWEST: Final = 20  # steps all the same
_LOOK: Final = 25  # steps between two looks at what is held out
_SEED: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long a fit may take: gradient steps, and seconds after which it makes no more."""

    steps: int = 300
    seconds: float = 60.0


BY_DEFAULT: Final = Budget()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """How near a block came, as relative output errors on the rows that were held out.

    Attributes:
        error: of the block now.
        error_at_start: with its last layer solved and nothing else fitted.
        error_of_mean: of the mean output, whatever goes in.
        sentence: the same in words.
    """

    error: float
    error_at_start: float
    error_of_mean: float
    sentence: str


def fitted(block: nn.Module, ends: Ends, seen: Observed, budget: Budget) -> Fitted:
    """Fit ``block`` in place to what was ``seen``; the same numbers each time, with no seed of torch's touched.

    What is best on the rows that are held out is kept.
    """
    started = time.perf_counter()
    train, held = seen.split()
    work = copy.deepcopy(block).to(seen.before.dtype).eval().requires_grad_(requires_grad=True)
    with torch.no_grad():
        _begin(work, ends, train.before)
        solve_last(work, ends, train)
    best = _Best(work, held)
    at_start = best.error
    steps = _descend(work, train, best, budget)
    best.restore()
    settle_norms(work, train.before)
    solve_last(work, ends, train)
    best.look()
    best.restore()
    with torch.no_grad():
        for name, tensor in block.state_dict().items():
            tensor.copy_(work.state_dict()[name])
    mean = train.after.mean([dim for dim in range(train.after.dim()) if dim != 1], keepdim=True)
    of_mean = relative_error([held.after], [mean.expand_as(held.after)]) or 0.0
    seconds = time.perf_counter() - started
    tested = f"tested on {len(held)} others" if held is not train else "too few to hold some out"
    return Fitted(
        error=best.error,
        error_at_start=at_start,
        error_of_mean=of_mean,
        sentence=(
            f"fitted to {len(train)} pictures, {tested}, in {steps} steps and {seconds:.1f} s: relative output error "
            f"{best.error:.3g}; {at_start:.3g} with the last layer solved alone, {of_mean:.3g} for the mean output."
        ),
    )


def _begin(work: nn.Module, ends: Ends, before: Tensor) -> None:
    """Start each layer from random numbers so scaled that its outputs have mean 0 and spread 1 on the data.

    (Mishkin and Matas 2015, arXiv:1511.06422.) Of two layers with a batch norm between, the norm does that.
    """
    dice = torch.Generator().manual_seed(_SEED)

    def start(name: str, module: nn.Module, args: Any, _out: Tensor) -> Tensor | None:
        if isinstance(module, nn.BatchNorm2d):
            return _fresh_norm(module, args[0])
        if not isinstance(module, nn.Conv2d) or name in ends.last:
            return None
        fan = module.weight[0].numel()
        noise = torch.randn(module.weight.shape, generator=dice, dtype=torch.float64) / math.sqrt(fan)
        module.weight.copy_(noise)
        if module.bias is None:
            made: Tensor = module._conv_forward(args[0], module.weight, None)  # noqa: SLF001  a call would come here
            return made
        module.bias.zero_()
        made = module._conv_forward(args[0], module.weight, module.bias)  # noqa: SLF001
        mean, spread = made.mean((0, 2, 3)), made.std((0, 2, 3), unbiased=False).clamp_min(1e-6)
        module.weight.div_(spread.view(-1, 1, 1, 1))
        module.bias.copy_(-mean / spread)
        scaled: Tensor = (made - mean.view(-1, 1, 1)) / spread.view(-1, 1, 1)
        return scaled

    with watching(work, nn.Module, start):
        work(before)


def _fresh_norm(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    for tensor, value in ((norm.running_mean, mean), (norm.running_var, var)):
        assert tensor is not None  # noqa: S101  made by us, with statistics
        tensor.copy_(value)
    norm.weight.fill_(1.0)
    norm.bias.zero_()
    return (x - mean.view(-1, 1, 1)) / (var + norm.eps).sqrt().view(-1, 1, 1)


def _descend(work: nn.Module, train: Observed, best: _Best, budget: Budget) -> int:
    """Make gradient steps; return how many."""
    limit = time.perf_counter() + budget.seconds
    places = train.after[:, 0].numel()
    steps = min(budget.steps, _ROUNDS * -(-len(train) // _PICTURES))
    if len(train) < _FEW:
        steps = min(steps, max(_FEWEST, places // _PLACES))
    parameters = list(work.parameters())
    rates = [_RATE_OF_WEIGHTS / math.sqrt(one[0].numel()) if one.dim() > 1 else _RATE for one in parameters]
    adam = torch.optim.Adam([{"params": [one], "lr": rate} for one, rate in zip(parameters, rates, strict=True)])
    dice = torch.Generator().manual_seed(_SEED)
    scale = float(train.after.var()) or 1.0
    with torch.enable_grad():
        for step in range(steps):
            ask()
            if time.perf_counter() > limit:
                return step
            for group, rate in zip(adam.param_groups, rates, strict=True):
                group["lr"] = rate * (1 + math.cos(math.pi * step / steps)) / 2
            rows = torch.randint(len(train), (min(_PICTURES, len(train)),), generator=dice)
            some = train.at(rows.to(train.before.device))
            loss = (work(some.before) - some.after).square().mean() / scale
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            adam.step()
            if step % _LOOK == _LOOK - 1:
                best.look()
    best.look()
    return steps


class _Best:
    """The values that came nearest on the rows that are held out."""

    def __init__(self, work: nn.Module, held: Observed) -> None:
        self._work = work
        self._held = held
        self.error = math.inf
        self._state: dict[str, Tensor] = {}
        self.look()

    def look(self) -> None:
        """Measure, and keep the values where they are better."""
        with torch.no_grad():
            made = self._work(self._held.before)
        error = relative_error([self._held.after], [made])
        error = 0.0 if error is None else error
        if not self._state or error < self.error:
            self.error = error
            self._state = {name: tensor.clone() for name, tensor in self._work.state_dict().items()}

    def restore(self) -> None:
        """Bring the best values back."""
        self._work.load_state_dict(self._state)
