"""What operations answered before: their outputs and their work, by the make of their arguments.

A fake tensor finds out what an operation returns by running its meta kernel through several layers of Python, which
costs as much as a small real operation. The answer depends on shapes, strides, dtypes and plain arguments alone, and a
deep model asks the same question again and again: so it is remembered, with the work that was counted, across layers
and profiles. What depends on anything else is never remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import torch

from effwidgets.profiling.fakes import Fakes
from effwidgets.profiling.kinds import Rule, rule_of
from effwidgets.profiling.macs import registered

if TYPE_CHECKING:
    from torch._subclasses.fake_tensor import FakeTensorMode

__all__ = ["Answer", "Answers", "Make", "Work", "work_of"]

_MAKE: Final = "_effdl_make"
_LIST: Final = object()
_MOST: Final = 50_000  # answers that are remembered; some 40 MB
_HIDING: Final = frozenset({"mkldnn_rnn_layer"})

Question: TypeAlias = tuple[Any, ...]


class Make:
    """What a tensor is like; one object for all that are alike."""

    __slots__ = ("bytes", "device", "dtype", "offset", "place", "shape", "stride")

    def __init__(
        self, shape: tuple[int, ...], stride: tuple[int, ...], offset: int, *, dtype: Any, device: Any
    ) -> None:
        self.shape = shape
        self.stride = stride
        self.offset = offset
        self.dtype: torch.dtype = dtype
        self.device: torch.device = device
        self.place = (offset, shape, stride)
        entries = 0 if 0 in shape else 1 + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
        self.bytes = (offset + entries) * dtype.itemsize


class Work:
    """What one operation does, apart from where."""

    __slots__ = ("elementwise_ops", "hides", "macs", "moved_bytes", "unknown")

    def __init__(self) -> None:
        self.macs = 0
        self.elementwise_ops = 0
        self.moved_bytes = 0
        self.unknown: str | None = None  # the name, when no formula counts it
        self.hides = False  # whether its kernel keeps memory that no operation returns


class Answer:
    """What an operation returned: for each output its make, and the input whose storage it shares (or None).

    An output that is returned a second time has no make and the place of the first in place of an input.

    Attributes:
        same: which input is returned as it is, by an operation in place; None for others.
        into: list or tuple for several outputs, None for one.
    """

    __slots__ = ("into", "outputs", "rule", "same", "work")

    def __init__(self, rule: Rule, work: Work) -> None:
        self.rule = rule
        self.work = work
        self.same: int | None = None
        self.into: type | None = None
        self.outputs: tuple[tuple[Make | None, int | None], ...] = ()


# Shared by all profiles of the process: nothing in it belongs to any model.
_MAKES: dict[tuple[Any, ...], Make] = {}
_ANSWERS: dict[Question, Answer | None] = {}
_FLAGS: dict[tuple[Any, ...], int] = {}


def work_of(rule: Rule, given: tuple[Any, Any, Any], inputs: Sequence[torch.Tensor], outputs: Sequence[Any]) -> Work:
    """Return what an operation does: MACs by its formula, element operations, bytes read and written."""
    work = Work()
    if rule.kind == "view":
        return work
    largest = 0
    for tensor in (*inputs, *outputs):
        entries = tensor.numel()
        work.moved_bytes += entries * tensor.element_size()
        largest = max(largest, entries)
    if rule.kind == "elementwise":
        work.elementwise_ops = largest
    elif rule.kind != "move":
        macs = rule.macs(*given)
        if macs is None:
            work.unknown = rule.name
        else:
            work.macs = macs
        work.hides = rule.name in _HIDING
    return work


class Answers:
    """Asks and remembers, for one run under one mode.

    Args:
        mode: the mode of the shadow that runs.
    """

    def __init__(self, mode: FakeTensorMode) -> None:
        self.fakes = Fakes(mode)
        self._mode = mode
        self._type = self.fakes.type
        # The library of a convolution lays out its output; a formula may have been added to torch's.
        flags = (
            registered(),
            torch.are_deterministic_algorithms_enabled(),
            torch.get_num_threads(),
            torch._C._get_mkldnn_enabled(),
            torch._C._get_cudnn_enabled(),
            torch._C._get_cudnn_deterministic(),
            torch._C._get_cudnn_benchmark(),
        )
        self._flags = _FLAGS.setdefault(flags, len(_FLAGS))

    def question(self, func: Any, args: Any, kwargs: Any, tensors: list[torch.Tensor]) -> Question | None:
        """Return what is asked, as a key, and add the tensors in it to ``tensors``; None where it cannot be told."""
        # A number among tensors takes the default dtype, which a forward may change.
        parts: list[Any] = [func, torch.get_default_dtype(), self._flags]
        if not self._describe(args, parts, tensors):
            return None
        for name, value in kwargs.items():
            parts.append(name)
            if not self._describe((value,), parts, tensors):
                return None
        return tuple(parts) if tensors or rule_of(func).blank else None

    def _describe(self, values: Any, parts: list[Any], tensors: list[torch.Tensor]) -> bool:
        for value in values:
            kind = type(value)
            if kind is self._type:
                make = self.make_of(value)
                if make is None:
                    return False
                parts.append(make)
                tensors.append(value)
            elif value is None or kind is int or kind in _PLAIN:
                parts.append(value)
            elif kind is bool or kind is float:
                if value != value:  # noqa: PLR0124  NaN would be a new key each time
                    return False
                parts += (kind, value)  # 1, 1.0 and True are one key otherwise
            elif kind is list or kind is tuple or kind is torch.Size:
                parts += (_LIST, len(value))
                if not self._describe(value, parts, tensors):
                    return False
            else:
                return False
        return True

    def make_of(self, tensor: torch.Tensor) -> Make | None:
        """Return the make of a fake tensor; None for one that a description does not bring back."""
        make: Make | None = tensor.__dict__.get(_MAKE)
        # Asked again: `x.data = y`, and so `module.to(...)`, changes a tensor without an operation.
        if (
            make is not None
            and make.shape == tensor.shape
            and make.stride == tensor.stride()
            and make.dtype is tensor.dtype
            and make.offset == tensor.storage_offset()
        ):
            return make
        if type(tensor) is not self._type or tensor.fake_mode is not self._mode:
            return None
        if tensor.layout is not torch.strided or tensor.is_conj() or tensor.is_neg():
            return None
        make = _make(tensor, tensor.fake_device)
        tensor.__dict__[_MAKE] = make
        return make

    def known(self, question: Question) -> Answer | None:
        """Return the remembered answer, or None."""
        return _ANSWERS.get(question)

    def give(self, answer: Answer, tensors: list[torch.Tensor], fresh: list[tuple[torch.UntypedStorage, int]]) -> Any:
        """Return what an answer says, as new fake tensors; storages that are new are added to ``fresh``."""
        if answer.same is not None:
            return tensors[answer.same]
        found: list[torch.Tensor | None] = []
        for make, source in answer.outputs:
            if make is None:
                found.append(None if source is None else found[source])
            else:
                found.append(self._output(make, source, tensors, fresh))
        return found[0] if answer.into is None else answer.into(found)

    def _output(self, make: Make, source: int | None, tensors: Any, fresh: Any) -> torch.Tensor:
        if source is not None:
            return self.fake(make, tensors[source].untyped_storage())
        fake = self.fakes.fresh(make.shape, make.stride, make.dtype, make.device)
        fake.__dict__[_MAKE] = make
        fresh.append((fake.untyped_storage(), make.bytes))
        return fake

    def fake(self, make: Make, storage: torch.UntypedStorage) -> torch.Tensor:
        """Return a fake tensor of a make over a storage on meta."""
        fake = self.fakes.over(storage, make.place, make.dtype, make.device)
        fake.__dict__[_MAKE] = make
        return fake

    def remember(
        self, question: Question, rule: Rule, given: tuple[Any, Any, Any], tensors: list[Any], outputs: list[Any]
    ) -> None:
        """Keep an answer, where the arguments alone decide it."""
        out = given[2]
        answer = Answer(rule, work_of(rule, given, tensors, outputs))
        single = isinstance(out, torch.Tensor)
        if rule.asks or not (single or type(out) in (list, tuple)):
            return
        if rule.mutates:
            # In place: what is written into is what is returned, of the same make as before; `out=` may have grown.
            places = [place for place, tensor in enumerate(tensors) if tensor is out]
            if rule.reshapes or len(places) != 1 or rule.writes != 1:
                return
            if out.__dict__.get(_MAKE) is not self.make_of(out):
                return
            answer.same = places[0]
        elif not self._lay_out(answer, tensors, [out] if single else out):
            return
        if not single:
            answer.into = type(out)
        if len(_ANSWERS) >= _MOST or len(_MAKES) >= _MOST:
            _ANSWERS.clear()
            _MAKES.clear()
        _ANSWERS[question] = answer

    def _lay_out(self, answer: Answer, tensors: list[torch.Tensor], outs: Sequence[Any]) -> bool:
        sources: dict[int, int | None] = {}
        for place, tensor in enumerate(tensors):
            sources.setdefault(tensor.untyped_storage()._cdata, place)
        found: list[tuple[Make | None, int | None]] = []
        for out in outs:
            again = next((place for place, other in enumerate(outs[: len(found)]) if other is out), None)
            if out is None or again is not None:
                found.append((None, None if out is None else again))
                continue
            make = self.make_of(out) if isinstance(out, torch.Tensor) else None
            if make is None or any(out is tensor for tensor in tensors):
                return False
            storage = out.untyped_storage()
            source = sources.get(storage._cdata, -1)
            if source == -1:
                if make.offset or storage.nbytes() != make.bytes:
                    return False
                sources[storage._cdata] = None  # another output of the same storage cannot be brought back
                found.append((make, None))
            elif source is None:
                return False
            else:
                found.append((make, source))
        answer.outputs = tuple(found)
        return True


_PLAIN: Final = frozenset({str, torch.dtype, torch.device, torch.layout, torch.memory_format})


def _make(tensor: torch.Tensor, device: torch.device) -> Make:
    key = (tensor.shape, tensor.stride(), tensor.storage_offset(), tensor.dtype, device)
    make = _MAKES.get(key)
    if make is None:
        make = Make(tuple(key[0]), key[1], int(key[2]), dtype=key[3], device=device)
        _MAKES[key] = make
    return make
