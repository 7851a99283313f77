"""Run a model to look at its answers, on a stand-in, so that no flag, buffer or gradient of the model changes."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Final

import torch
from torch import Tensor, nn

from effwidgets.profiling.calls import Call, map_tensors, run, tensors_in
from effwidgets.profiling.dice import Dice
from effwidgets.profiling.failures import python_random_kept
from effwidgets.profiling.shadow import copy_tree

__all__ = ["AROUND", "answer", "answers_of", "apart", "quiet_random", "relative_error", "squares", "stand_in"]

AROUND: Final[ContextVar[Callable[[nn.Module, Call], AbstractContextManager[None]]]] = ContextVar(
    "around_answers", default=lambda _model, _call: nullcontext()
)
"""What stands around each forward of `answer` in this thread: a memory of what earlier ones computed."""


def stand_in(model: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode with the same parameters and buffers of its own."""
    with torch.inference_mode(mode=False), torch.no_grad():
        twin = copy_tree(model, lambda tensor: tensor if isinstance(tensor, nn.Parameter) else tensor.detach().clone())
    return twin.eval()


@contextmanager
def quiet_random() -> Iterator[None]:
    """Give the random numbers back that a forward took.

    Only on the main thread: a worker that set the state back would disturb whoever draws numbers meanwhile.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    state = torch.get_rng_state()
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = torch.cuda.get_rng_state_all() if started else []
    try:
        with python_random_kept():
            yield
    finally:
        torch.set_rng_state(state)
        if devices:
            torch.cuda.set_rng_state_all(devices)


def answer(model: nn.Module, call: Call, *, gradients: bool = False) -> object:
    """Return what ``model``, a stand-in, answers; the inputs are copied, because some forwards write into them.

    A forward that draws random numbers draws the same ones each time, and leaves torch's own generators as they were.
    """
    with torch.inference_mode(mode=False), torch.set_grad_enabled(gradients):
        own = map_tensors(call, lambda tensor: tensor.detach().clone())
        with _same_random(), AROUND.get()(model, call):
            return run(model, own)


@contextmanager
def _same_random() -> Iterator[None]:
    if threading.current_thread() is threading.main_thread():
        with quiet_random():
            yield
    else:
        with Dice():
            yield


def answers_of(model: nn.Module, call: Call, layers: frozenset[str]) -> dict[str, Tensor]:
    """Return what the named layers of ``model`` answer during one forward: their first floating-point tensor."""
    twin = stand_in(model)
    found: dict[str, Tensor] = {}

    def keep(name: str, output: object) -> None:
        tensor = next((tensor for tensor in tensors_in(output) if tensor.is_floating_point()), None)
        if tensor is not None:
            found[name] = tensor.detach().clone()

    for name, module in twin.named_modules(remove_duplicate=False):
        if name in layers:
            module.register_forward_hook(lambda _module, _inputs, output, name=name: keep(name, output))
    answer(twin, call)
    return found


def apart(after: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> float | None:
    """Return the norm of the change over the norm before, over the tensors that both have in the same shape."""
    both = [name for name in before if name in after and after[name].shape == before[name].shape]
    return relative_error([before[name] for name in both], [after[name] for name in both]) if both else None


def relative_error(before: Iterable[Tensor], after: Iterable[Tensor]) -> float | None:
    """Return the norm of the change over the norm of ``before``, all tensors together; None where only that is zero.

    Entries that were infinite or NaN before, such as masked scores, are left out.

    >>> relative_error([torch.tensor([3.0, 4.0])], [torch.tensor([3.0, 4.5])])
    0.1
    """
    whole = moved = 0.0
    for old, new in zip(before, after, strict=True):
        own = squares(old)
        if math.isfinite(own):
            whole += own
            moved += squares(new.double() - old.double())
        else:
            known = torch.isfinite(old)
            whole += squares(old[known])
            moved += squares(new[known].double() - old[known].double())
    if whole == 0:
        return 0.0 if moved == 0 else None
    return math.sqrt(moved / whole)


def squares(tensor: Tensor) -> float:
    """Return the squared norm, added up in double precision without a copy in it."""
    return float(torch.linalg.vector_norm(tensor, dtype=torch.float64)) ** 2
