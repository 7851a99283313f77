"""One module alone, as it is or as a step would leave it: what names its work, and how it is called."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any, Final

import torch
from torch import Tensor, fx, nn

from effwidgets.profiling.shadow import copy_tree
from effwidgets.profiling.timing.watched import put_forward
from effwidgets.search.clocks.tape import filled, said

__all__ = ["Work"]

_PLAIN: Final = (bool, int, float, str, tuple, type(None))
_PASSING: Final = frozenset({"training", "forward"})


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """A module with the outlines of one call of it.

    Attributes:
        module: it is copied before it is run.
        given: outlines of its arguments and keyword arguments.
        answers: outlines of what the modules that it calls itself answer, each with its path below; then its own work
            alone is meant. None: with all that it calls.
    """

    module: nn.Module
    given: tuple[tuple[Any, ...], dict[str, Any]]
    answers: tuple[tuple[str, Any], ...] | None = None

    def key(self) -> str:
        """Return a text that is the same for the same work: classes and their code, settings, shapes, strides."""
        if self.answers is None:
            made = "|".join(_described(self.module))
        else:
            made = f"own:{_one('', self.module)}|{said([given for _, given in self.answers])}"
        return f"{made}|{said(self.given)}"

    def ready(self, device: torch.device, known: frozenset[int]) -> Callable[[], object]:
        """Return what calls it once, on random numbers.

        Args:
            device: where it stands.
            known: ids of the tensors of the model as it is; others are new, without values yet, and are filled.
        """
        drawn = torch.Generator().manual_seed(0)
        module = copy_tree(self.module, lambda tensor: _valued(tensor, known, drawn)).eval()
        args, kwargs = filled(self.given, device, drawn)
        if self.answers is None:
            return lambda: module(*args, **kwargs)
        ready = [filled(given, device, drawn) for _, given in self.answers]
        place = 0

        def next_answer(*args: Any, **kwargs: Any) -> Any:
            nonlocal place
            del args, kwargs
            place += 1
            return ready[place - 1]

        for path in {path for path, _ in self.answers}:
            put_forward(module.get_submodule(path), next_answer)

        def work() -> object:
            nonlocal place
            place = 0
            return module(*args, **kwargs)

        return work


def _valued(tensor: Tensor, known: frozenset[int], drawn: torch.Generator) -> Tensor:
    # Buffers get a copy of their own: a forward may write into them. What a rewrite put in has no values yet.
    own = tensor.detach().clone()
    if id(tensor) not in known and tensor.is_floating_point():
        if tensor.dim() > 1:
            own = (torch.randn(tuple(own.shape), generator=drawn) * 0.1).to(own)
        else:
            own.fill_(1.0)  # a variance, a scale
    elif isinstance(tensor, nn.Parameter):
        return tensor
    return nn.Parameter(own, requires_grad=False) if isinstance(tensor, nn.Parameter) else own


def _described(module: nn.Module) -> Iterator[str]:
    for path, part in module.named_modules():
        yield _one(path, part)


def _one(path: str, module: nn.Module) -> str:
    # A module itself: class, settings, tensors. Of classes that are not torch's, and of graphs, the code too.
    kind = type(module)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(module, fx.GraphModule):
        name = f"graph:{module.code}"
    elif not kind.__module__.startswith("torch."):
        name += f":{_code(kind)}"
    plain = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, _PLAIN) and key not in _PASSING and key != "_compiled_call_impl"
    }
    tensors = {
        key: tensor
        for held in (module._parameters, module._buffers)  # noqa: SLF001
        for key, tensor in held.items()
        if tensor is not None
    }
    compiled = ":compiled" if module._compiled_call_impl is not None else ""  # noqa: SLF001
    hooks = len(module._forward_hooks) + len(module._forward_pre_hooks)  # noqa: SLF001
    return f"{path}={name}{compiled}:{hooks}:{sorted(plain.items())!r}:{said(tensors)}"


def _code(kind: type) -> str:
    forward = getattr(kind, "forward", None)
    code = getattr(forward, "__code__", None)
    return hashlib.sha256(_bytes(code)).hexdigest()[:16] if isinstance(code, CodeType) else ""


def _bytes(code: CodeType) -> bytes:
    inner = b"".join(_bytes(const) for const in code.co_consts if isinstance(const, CodeType))
    consts = repr([const for const in code.co_consts if not isinstance(const, CodeType)])
    return code.co_code + repr(code.co_names).encode() + consts.encode() + inner
