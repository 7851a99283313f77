"""Calls of the modules of a private copy, told one by one without hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from torch import nn

__all__ = ["stacked"]

Tell: TypeAlias = Callable[[str, nn.Module, Any, Any], None]


@contextmanager
def stacked(model: nn.Module, entered: Tell, left: Tell) -> Iterator[None]:
    """Call ``entered`` and ``left`` around each call of each module of a private copy, without hooks.

    torch's transformer layers leave their fused path where a module has hooks, and a counter's own global hooks act on
    the modules of every thread: both would change what is looked at.
    """
    modules = dict(model.named_modules())

    def around(path: str, module: nn.Module) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            entered(path, module, args, None)
            out = None
            try:
                out = module._call_impl(*args, **kwargs)  # type: ignore[no-untyped-call]
                return out
            finally:
                left(path, module, args, out)

        return called

    for path, module in modules.items():
        module._compiled_call_impl = around(path, module)  # what `__call__` looks at first
    try:
        yield
    finally:
        for module in modules.values():
            module._compiled_call_impl = None
