"""fvcore's `FlopCountAnalysis` on a private copy of a model, with the shapes behind each number of its.

It traces one forward with TorchScript's tracer and asks a handle for each node of the graph; 1 FLOP is 1 MAC there.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import Any, Final, TypeAlias

import torch
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes

from effwidgets.errors import EffError
from effwidgets.profiling.calls import Call, map_tensors, run, tensors_in
from effwidgets.profiling.failures import is_empty, quiet, real_stand_in
from effwidgets.profiling.shadow import copy_tree
from effwidgets.reconcile.ledger import Work
from effwidgets.reconcile.side import PeerError, Side
from effwidgets.units import shape_text

with warnings.catch_warnings():  # it uses torch.jit.script while it is imported
    warnings.simplefilter("ignore", DeprecationWarning)
    from fvcore.nn import FlopCountAnalysis

__all__ = ["fvcore"]

Handle: TypeAlias = Callable[[list[Any], list[Any]], Any]
Shape: TypeAlias = tuple[int, ...]

_LARGEST_BYTES: Final = 2**30  # of a model on meta that is given memory, where it cannot be traced without
_DIGITS: Final = 1e-3  # numpy's einsum_path prints four digits: half a unit of the last is at most this share


class _Analysis(FlopCountAnalysis):  # type: ignore[misc]  # fvcore has no types
    """Its own analysis and its own handles; each answer is noted with the shapes that it was given for."""

    works: list[Work]

    def set_op_handle(self, *args: Any, **kwargs: Any) -> Any:
        self.works = []
        pairs = {**dict(zip(args[::2], args[1::2], strict=True)), **kwargs}
        return super().set_op_handle(**{name: self._noted(name, handle) for name, handle in pairs.items()})

    def _noted(self, kind: str, handle: Handle) -> Handle:
        op = kind.removeprefix("aten::")

        def answer(inputs: list[Any], outputs: list[Any]) -> Any:
            try:
                count = handle(inputs, outputs)
            except Exception as error:
                shapes = " and ".join(shape_text(_shape(value)) for value in inputs[:2])
                raise PeerError(
                    f"its formula for {op} cannot take {shapes} ({type(error).__name__}: {error})"
                ) from error
            theirs = int(sum(count.values()) if isinstance(count, Counter) else count)
            layer = outputs[0].node().scopeName().rpartition("/")[2]
            macs, fault, excess = _truth(op, inputs, outputs, theirs)
            self.works.append(Work(layer=layer, op=op, macs=macs, theirs=theirs, fault=fault, excess=excess))
            return count

        return answer


def _shape(value: Any) -> Shape:
    return tuple(value.type().sizes()) if value.isCompleteTensor() else ()


def _truth(op: str, inputs: list[Any], outputs: list[Any], theirs: int) -> tuple[int | None, str, int]:
    """Return the MACs of one node by our formulas, and what its handle is known to make of such shapes."""
    if op == "einsum":
        shapes = [_shape(value) for value in inputs[1].node().inputs()]
        return _einsum(inputs[0].toIValue(), shapes, theirs)
    if op in ("matmul", "mm"):
        first, second, out = _shape(inputs[0]), _shape(inputs[1]), _shape(outputs[0])
        # Their handle takes all of the first operand times the width of the second: it misses what is broadcast.
        assumed = prod(first) * second[-1]
        macs = prod(out) * first[-1]
        return macs, "broadcast" if macs != assumed else "", assumed - macs
    if op in ("_convolution", "addmm", "bmm", "linear"):
        return theirs, "", 0  # their formulas of these are ours
    return 0, "included", theirs


def _einsum(equation: str, shapes: list[Shape], theirs: int) -> tuple[int | None, str, int]:
    equation = equation.replace(" ", "")
    if len(shapes) == 1:
        return 0, "einsum_elementwise", theirs
    if len(shapes) != 2 or "." in equation or "->" not in equation:
        return None, "einsum_order", 0
    terms, kept = equation.partition("->")[0].split(","), set(equation.partition("->")[2])
    sizes = [dict(zip(term, shape, strict=True)) for term, shape in zip(terms, shapes, strict=True)]
    summed = (sizes[0].keys() & sizes[1].keys()) - kept
    if not summed:  # a product of each entry, no sum: not matrix work
        return 0, "einsum_elementwise", theirs
    # What only one operand has, or has more than one of, and the result has not, is summed before the product.
    outer = prod(max(side.get(letter, 1) for side in sizes) for letter in kept)
    macs = outer * prod(min(side[letter] for side in sizes) for letter in summed)
    rounded = abs(theirs - macs) <= max(1, _DIGITS * macs)
    return macs, "einsum_digits" if rounded else "", theirs - macs if rounded else 0


class _Wrapper(nn.Module):
    """Positional tensors in, tensors out: the form that the tracer takes."""

    def __init__(self, model: nn.Module, call: Call) -> None:
        super().__init__()
        self.model = model
        self._call = call

    def forward(self, *tensors: torch.Tensor) -> Any:
        rest = iter(tensors)
        outputs = run(self.model, map_tensors(self._call, lambda _: next(rest)))
        return tuple(tensors_in(outputs))


def fvcore(model: nn.Module, call: Call, *, train: bool) -> Side:
    """Let fvcore count one forward, on a full copy of the model; it has no backward.

    It takes positional tensors and returns of plain tensors only. Where a call has another form, it is given the model
    in a wrapper of that form, as its users do; a note says so.

    Raises:
        Exception: whatever the trace or a handle raises.
    """
    with _disable_current_modes(), torch.inference_mode(mode=False), quiet(), torch.no_grad():
        if is_empty(model, call):
            return _without_numbers(model, call, train=train)
        with real_stand_in(model, call) as (copy, given):
            return _traced(copy, given, train=train)


def _without_numbers(model: nn.Module, call: Call, *, train: bool) -> Side:
    try:
        return _traced(copy_tree(model, _zeros), map_tensors(call, _zeros), train=train)
    except EffError:
        raise
    except Exception:
        # Some of torch's kernels on meta cannot be traced; what is counted does not depend on the numbers.
        size = sum(tensor.numel() * tensor.element_size() for tensor in (*model.parameters(), *model.buffers()))
        if size > _LARGEST_BYTES:
            raise
        side = _traced(copy_tree(model, _real_zeros), map_tensors(call, _real_zeros), train=train)
        return replace(side, notes=(*side.notes, "fvcore cannot trace this model on meta and ran it on zeros."))


def _real_zeros(tensor: torch.Tensor) -> torch.Tensor:
    return _zeros(tensor, "cpu" if tensor.is_meta else None)


def _zeros(tensor: torch.Tensor, device: str | None = None) -> torch.Tensor:
    made = torch.zeros_like(tensor, device=device)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(made, requires_grad=tensor.requires_grad)
    return made.requires_grad_(tensor.requires_grad)


def _traced(model: nn.Module, call: Call, *, train: bool) -> Side:
    model.train(train)
    reason = "it takes positional tensors only"
    if not call.kwargs and all(isinstance(value, torch.Tensor) for value in call.args):
        try:
            return _count(model, model, call.args, "")
        except (RuntimeError, TypeError):  # among others what the tracer raises for outputs of another form
            reason = "it cannot trace the model as it is"
    tensors = tuple(tensors_in((call.args, dict(call.kwargs))))
    side = _count(_Wrapper(model, call), model, tensors, "model")
    note = f"fvcore was given this model in a wrapper, positional tensors in and tensors out: {reason}."
    return replace(side, notes=(note,))


def _count(outer: nn.Module, model: nn.Module, args: tuple[torch.Tensor, ...], home: str) -> Side:
    analysis = _Analysis(outer, args)
    analysis.unsupported_ops_warnings(enabled=False).uncalled_modules_warnings(enabled=False).tracer_warnings("none")
    with _hooks_kept(model):
        counts = {name: int(total) for name, total in analysis.by_module().items()}
    names = {path: f"{home}.{path}".strip(".") for path, _ in model.named_modules()}
    missing = {path: Counter(analysis.unsupported_ops(name)) for path, name in names.items()}
    whole = {path: counts[name] for path, name in names.items()}
    paths = {name: path for path, name in names.items()}
    idle = analysis.uncalled_modules()
    children: dict[str, list[str]] = {path: [] for path in names}
    for path in names:
        if path:
            children[path.rpartition(".")[0]].append(path)
    return Side(
        flops=counts[""],
        works=[replace(work, layer=paths.get(work.layer, "")) for work in analysis.works],
        own={path: whole[path] - sum(whole[below] for below in children[path]) for path in names},
        whole=whole,
        names=names,
        idle=frozenset(path for path, name in names.items() if name in idle),
        missing={path: missing[path] - _sum(missing[below] for below in children[path]) for path in names},
    )


def _sum(counters: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counter in counters:
        total += counter
    return total


@contextmanager
def _hooks_kept(model: nn.Module) -> Iterator[None]:
    # fvcore takes its hooks away again only when nothing raises.
    stores = [store for module in model.modules() for store in (module._forward_pre_hooks, module._forward_hooks)]
    before = [set(store) for store in stores]
    try:
        yield
    finally:
        for store, kept in zip(stores, before, strict=True):
            for key in [key for key in store if key not in kept]:
                del store[key]
