"""What an edit took out of a model: old modules and tensors by their place, so that it can be undone.

Nothing is copied: the tensors that an edit replaced stay where they are instead of being freed, at most the weights of
the edited layers; all that it left alone is not kept a second time.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from torch import fx, nn

from effwidgets.transforms.surgery import find_layer, replace_layer

__all__ = ["Copies", "Own", "Taken", "Whole", "copies_of", "put_back", "taken_between"]

_PLAIN: Final = (type(None), bool, int, float, str, tuple)
_STORES: Final = ("_parameters", "_buffers")
_PASSING: Final = ("training", "_compiled_call_impl")  # set by a mode, and left out by `share`
_COPIED: Final = frozenset({dict, OrderedDict, set, list})
_ABSENT: Final = ...  # the edit has brought it; a value that a copy leaves as it is


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Whole:
    """A module that stood at ``path``, with all below it."""

    path: str
    module: nn.Module


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Own:
    """What a module itself held and said: ``_parameters``, ``_buffers``, or plain attributes under ""."""

    path: str
    values: tuple[tuple[str, str, Any], ...]


Taken: TypeAlias = tuple[Whole | Own, ...]


def taken_between(before: nn.Module, after: nn.Module) -> Taken:
    """Return what of ``before`` is no more in ``after``; both share what was not changed (see `share`)."""
    return tuple(_taken("", before, after))


def _taken(path: str, old: nn.Module, new: nn.Module) -> Iterator[Whole | Own]:
    if not _alike(old, new):
        yield Whole(path=path, module=old)
        return
    values = tuple(_own(old, new))
    if values:
        yield Own(path=path, values=values)
    for name, child in old._modules.items():  # noqa: SLF001  named_children leaves second names out
        other = new._modules[name]  # noqa: SLF001
        if child is not None and other is not None:
            yield from _taken(f"{path}.{name}" if path else name, child, other)


def _alike(old: nn.Module, new: nn.Module) -> bool:
    if isinstance(old, fx.GraphModule) and isinstance(new, fx.GraphModule):  # each has a class of its own
        same = old.code == new.code
    else:
        same = type(old) is type(new)
    names, others = old._modules, new._modules  # noqa: SLF001
    return same and [(name, held is None) for name, held in names.items()] == [
        (name, held is None) for name, held in others.items()
    ]


def _own(old: nn.Module, new: nn.Module) -> Iterator[tuple[str, str, Any]]:
    says, now = vars(old), vars(new)
    for store in _STORES:
        yield from ((store, name, held) for name, held in _moved(says[store], now[store]))
    for name, held in _moved(says, now):
        said, other = (value if _plain(name, value) else _ABSENT for value in (held, now.get(name, _ABSENT)))
        if said != other:
            yield "", name, said


def _moved(held: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any]]:
    # What stood in `held` and is another object in `now`, or not there. What `share` copies itself is none of it.
    gone = [(name, value) for name, value in held.items() if now.get(name, _ABSENT) is not value]
    come = [(name, _ABSENT) for name in now if name not in held]
    return [(name, value) for name, value in gone + come if value.__class__ not in _COPIED]


def _plain(name: str, value: object) -> bool:
    return isinstance(value, _PLAIN) and name not in _PASSING


def put_back(model: nn.Module, taken: Taken) -> nn.Module:
    """Put what was taken out of ``model`` back, in place; return the model, another one where it was all replaced.

    Raises:
        UnknownNameError: there is no such place any more.
    """
    done: set[int] = set()
    for part in taken:
        if isinstance(part, Own):
            module = find_layer(model, part.path) if part.path else model
            for store, name, value in part.values:
                _set(module, store, name, value)
        elif not part.path:
            model = part.module.train(model.training)
        elif id(part.module) not in done:  # a module may stand at several paths
            replace_layer(model, part.path, part.module)
            done.add(id(part.module))
    return model


def _set(module: nn.Module, store: str, name: str, value: Any) -> None:
    held = getattr(module, store) if store else vars(module)
    if value is _ABSENT:
        held.pop(name, None)
    else:
        held[name] = value


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Copies:
    """Copies of a model, of what is put back into it, and of what stays taken; ties between them hold in the copies.

    Attributes:
        model: the model.
        restored: what is put back.
        kept: what stays taken. Tensors of it that the model does not hold are the originals, not copied.
        memo: by the id of an original, its copy.
    """

    model: nn.Module
    restored: tuple[Taken, ...]
    kept: tuple[Taken, ...]
    memo: dict[int, Any]


def copies_of(model: nn.Module, restored: tuple[Taken, ...], kept: tuple[Taken, ...]) -> Copies:
    """Copy them together."""
    memo: dict[int, Any] = {}
    live = {id(tensor) for tensor in _tensors(model)}
    needed = live | {id(tensor) for taken in restored for part in taken for tensor in _held(part)}
    for part in (part for taken in kept for part in taken):
        memo |= {id(tensor): tensor for tensor in _held(part) if id(tensor) not in needed}
    made = copy.deepcopy((model, restored, kept), memo)
    return Copies(model=made[0], restored=made[1], kept=made[2], memo=memo)


def _held(part: Whole | Own) -> Iterator[Any]:
    if isinstance(part, Whole):
        yield from _tensors(part.module)
    else:
        yield from (value for store, _, value in part.values if store and value is not None and value is not _ABSENT)


def _tensors(module: nn.Module) -> Iterator[Any]:
    yield from module.parameters()
    yield from module.buffers()
