"""The steps of a training: the optimizer, its learning rate, and what is done with the gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Final

import torch
from torch import Tensor, nn

from effwidgets.errors import InputError
from effwidgets.search.tuning.options import DistillOptions
from effwidgets.search.tuning.weights import Average, trained_groups, zeros_kept

__all__ = ["Stepper"]

_STAGES: Final = 4
_FACTOR: Final = 3.0
_STILL: Final = 1000.0
"""A thousandth of the largest rate, then a ninth, a third, and all of it. In the first stage the optimizer only learns
how large gradients are: Adam's first steps move every weight by the whole rate, whatever its gradient."""


class Stepper:
    """Takes ``planned`` steps: the rate rises in stages, then falls as half a cosine to nothing.

    How large a step a repaired model bears differs by a hundred between models: a network with batch norms far from its
    teacher learns most from large ones, and a transformer near to it is thrown out of its place by the same. So the
    rise is watched: at the end of a stage (`stage_ends`) whoever trains looks whether the model got worse, and asks to
    `slow_down` then.
    """

    def __init__(self, model: nn.Module, options: DistillOptions, planned: int) -> None:
        groups: Any = trained_groups(model, options.weight_decay)
        own = options.optimizer
        self._free = [parameter for group in groups for parameter in group["params"]]
        # One kernel for all parameters: with small ones a step is mostly the calls.
        fused = all(parameter.device.type in ("cpu", "cuda") for parameter in self._free)
        self._optimizer = torch.optim.AdamW(groups, lr=options.lr, fused=fused) if own is None else own(self._free)
        self._rates = [group["lr"] for group in self._optimizer.param_groups]
        self._clip = options.clip
        self._zeros = zeros_kept(model)
        self._average = Average(model, options.average) if options.average else None
        self.planned, self.done = planned, 0
        self._rise = round(options.warmup * planned)
        self._peak = self._used = 1.0
        norms = nn.modules.batchnorm._BatchNorm  # noqa: SLF001  torch has no public name for all of them
        self._norms = [(module, module.momentum) for module in model.modules() if isinstance(module, norms)]
        self.needs_two = bool(self._norms)

    @property
    def stage_ends(self) -> bool:
        """Whether the rate is about to be multiplied, or to be let fall."""
        return 0 < self.done <= self._rise and self._stage(self.done - 1) != self._stage(self.done)

    def _stage(self, step: int) -> int:
        return step * _STAGES // self._rise

    def slow_down(self) -> None:
        """Rise no further, go on with a third of the rate, and forget where the last steps led."""
        self._peak = self._used / _FACTOR
        self._rise = min(self._rise, self.done)
        for state in self._optimizer.state.values():
            for name in ("exp_avg", "momentum_buffer"):
                if isinstance(state.get(name), Tensor):
                    state[name].zero_()

    def backward(self, loss: Tensor) -> None:
        """Find the gradients."""
        if not loss.requires_grad:
            raise InputError("The loss does not depend on a trainable parameter, so there is nothing to train.")
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it

    def step(self, *, taken: bool) -> None:
        """Count a step, and take it where ``taken``; one whose gradient is not finite is left out."""
        self._used = self.share()
        for norm, momentum in self._norms:
            # Statistics that repair took from all data are not to be lost to the noise of a few batches: they follow
            # the weights as fast as these move.
            norm.momentum = None if momentum is None else momentum * self._used
        if taken:
            for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
                group["lr"] = rate * self._used
            length = torch.nn.utils.clip_grad_norm_(self._free, self._clip)
            if bool(torch.isfinite(length)):
                self._optimizer.step()
                with torch.no_grad():
                    for parameter, kept in self._zeros:
                        parameter.mul_(kept)
            if self._average is not None:
                self._average.add()
        self.done += 1

    def share(self) -> float:
        """Return the rate of the next step as a share of the largest."""
        if self.done < self._rise:
            stage = self._stage(self.done)
            return self._peak / (_FACTOR ** (_STAGES - 1 - stage) if stage else _STILL)
        gone = (self.done - self._rise) / max(1, self.planned - self._rise)
        return self._peak * 0.5 * (1 + math.cos(math.pi * min(1.0, gone)))

    def end(self) -> None:
        """Leave the norms with the momentum that they had."""
        for norm, momentum in self._norms:
            norm.momentum = momentum

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Judge the running mean of the weights, where there is one."""
        with nullcontext() if self._average is None else self._average.instead():
            yield
