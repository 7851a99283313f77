"""What each module of a model is called with and answers in one forward, as shapes: enough to call it alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn

from effwidgets.profiling.calls import Call, map_tensors, tensors_in
from effwidgets.profiling.timing.watched import put_forward, watched
from effwidgets.transforms.trial import answer

__all__ = ["Heard", "Tape", "filled", "outline", "said"]

_KEPT: Final = 2**20  # numbers of a tensor that is kept by value: indices and masks, which random ones would not fit


@dataclass(slots=True, eq=False)
class Heard:
    """One call of a module, its tensors as outlines.

    Attributes:
        given: arguments and keyword arguments.
        answered: what it returned.
        inner: the calls that it made itself, in order: path, and which call of that module it was.
    """

    given: tuple[tuple[Any, ...], dict[str, Any]]
    answered: Any = None
    inner: list[tuple[str, int]] = field(default_factory=list)


class Tape:
    """The calls of one forward, by the path of the module.

    Args:
        model: a private copy, in evaluation mode; it is run once.
        call: what it is called with.
        like: of the same model as it was, when this one is a shadow: where indices and masks are taken from.

    >>> tape = Tape(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), Call((torch.zeros(2, 4),)))
    >>> [tuple(each.shape) for each in tape.calls["1"][0].given[0]], tape.calls[""][0].inner
    ([(2, 3)], [('0', 0), ('1', 0)])
    """

    def __init__(self, model: nn.Module, call: Call, *, like: Tape | None = None) -> None:
        self._like = like
        self.calls: dict[str, list[Heard]] = {}
        self._stack: list[Heard] = []
        modules = dict(watched(model))
        given = {name: vars(module).get("forward") for name, module in modules.items()}
        try:
            for name, module in modules.items():
                vars(module)["forward"] = self._listening(name, module.forward)
            answer(model, call)
        finally:
            for name, forward in given.items():
                put_forward(modules[name], forward)

    def _listening(self, name: str, forward: Callable[..., Any]) -> Callable[..., Any]:
        def listen(*args: Any, **kwargs: Any) -> Any:
            calls = self.calls.setdefault(name, [])
            heard = Heard(self._outline((args, kwargs), name, len(calls)))
            if self._stack:
                self._stack[-1].inner.append((name, len(calls)))
            calls.append(heard)
            self._stack.append(heard)
            try:
                out = forward(*args, **kwargs)
            finally:
                self._stack.pop()
            heard.answered = outline(out)
            return out

        return listen

    def answer(self, name: str, place: int) -> Any:
        """Return the outline of what a module returned in one of its calls."""
        return self.calls[name][place].answered

    def _outline(self, value: Any, name: str, place: int) -> Any:
        if self._like is None:
            return outline(value)
        calls = self._like.calls.get(name, [])
        real = list(tensors_in(calls[place].given)) if place < len(calls) else []
        return outline(value, iter(real))


def outline(value: Any, real: Iterator[Tensor] | None = None) -> Any:
    """Return ``value`` with its tensors on meta, strides kept; short tensors of whole numbers as copies.

    Args:
        value: nested tuples, lists and mappings.
        real: for tensors on a shadow, in order, those that stood there in a real run.
    """

    def change(tensor: Tensor) -> Tensor:
        known = None if real is None else next(real, None)
        whole = not tensor.is_floating_point() and not tensor.is_complex()
        if whole and tensor.numel() <= _KEPT:
            if real is None:
                return tensor.detach().clone()
            if known is not None and (known.shape, known.dtype) == (tensor.shape, tensor.dtype):
                return known
        if tensor.layout is not torch.strided:
            return tensor.detach()
        return _empty(tensor)

    return map_tensors(value, change)


def _empty(tensor: Tensor) -> Tensor:
    with torch._C._DisableTorchDispatch():  # a plain one, also where a shadow runs  # noqa: SLF001
        return torch.empty_strided(tuple(tensor.shape), tensor.stride(), dtype=tensor.dtype, device="meta")


def filled(value: Any, device: torch.device, drawn: torch.Generator) -> Any:
    """Return an outline with random numbers on ``device`` where it has none."""

    def fill(tensor: Tensor) -> Tensor:
        if not tensor.is_meta:
            return tensor.to(device).clone()
        room = 1 + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
        numbers = torch.zeros(max(room, 1), dtype=tensor.dtype, device=device)
        if tensor.is_floating_point():
            numbers = torch.randn(max(room, 1), generator=drawn).to(numbers)
        return numbers.as_strided(tuple(tensor.shape), tensor.stride())

    return map_tensors(value, fill)


def said(value: Any) -> str:
    """Write an outline as text: the same text, the same work."""
    if isinstance(value, Tensor):
        layout = tuple(value.stride()) if value.layout is torch.strided else str(value.layout)
        return f"{value.dtype}{tuple(value.shape)}{layout}"
    if isinstance(value, tuple | list):
        return f"({','.join(map(said, value))})"
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{said(item)}" for name, item in value.items()) + "}"
    tensors = list(tensors_in(value))
    if tensors:
        return f"{type(value).__name__}{said(tensors)}"
    return repr(value) if isinstance(value, bool | int | float | str | None) else type(value).__qualname__
