"""Groups tried out: a shadow is given other widths as they say, and its channels must go the same ways as before.

Numbers that a forward states, or derives from a width that does not change, are not seen in one run: a reshape to
``(batch, tokens, 12, 64)`` looks the same wherever the 12 comes from. So the layers of a copy of the shadow are made
wider, the forward runs again, and what is followed then must be what was found, with what came.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations
from typing import TypeAlias

from torch import nn

from effwidgets.profiling.calls import Call
from effwidgets.profiling.coupling.followed import follow
from effwidgets.profiling.coupling.listing import NONE_TO_SPARE
from effwidgets.profiling.coupling.resized import Added, members_after, resize
from effwidgets.profiling.failures import python_random_kept
from effwidgets.profiling.fakes import Fakes
from effwidgets.profiling.shadow import Shadow, share
from effwidgets.records import Group

__all__ = ["rehearse"]

Soft: TypeAlias = Mapping[str, tuple[str, ...]]
Stated: TypeAlias = tuple[tuple[str, str, int], ...]
_MOST = 6  # numbers of a layer that are tried
_TOGETHER = 3  # how many of them at a time


def rehearse(
    shadow: Shadow, call: Call, groups: tuple[Group, ...], soft: Soft, *, every: bool = False
) -> tuple[Group, ...]:
    """Return the groups: barred where the forward does not follow when channels go, with the numbers that it reads.

    Args:
        shadow: what the groups are of; left as it is.
        call: what it is called with.
        groups: as they were found.
        soft: by the name of a group, the layers whose forward cuts its channels by numbers.
        every: try all groups, not only those that a forward cuts by numbers.
    """
    names = [
        group.name for group in groups if not group.obstacle and (every or group.name in soft or _wide(shadow, group))
    ]
    if not names:
        return groups
    stage = _Stage(shadow, call, groups)
    plain = [name for name in names if name not in soft]
    barred: dict[str, str] = {}
    stated: dict[str, Stated] = {}
    if stage.failure(names, {}) is not None:
        barred = dict(_culprits(stage, plain))
        for alike in _buckets(stage, [name for name in names if name in soft], soft):
            found, reasons = _numbers(stage, alike, soft)
            stated.update(found)
            barred.update(reasons)
        rest = [name for name in names if name not in barred]
        failure = stage.failure(rest, stated)
        if failure is not None:
            barred |= dict.fromkeys(rest, f"tried together with others, the forward does not follow ({failure})")
    return tuple(
        replace(group, obstacle=barred[group.name])
        if group.name in barred
        else replace(group, stated=stated.get(group.name, ()))
        for group in groups
    )


def _wide(shadow: Shadow, group: Group) -> bool:
    """Say whether a group is the width of a stream: norms over all channels, and parameters of modules' own."""
    layers = (shadow.model.get_submodule(member.layer) for member in group.members if member.side == "out")
    return any(member.tensor for member in group.members) or any(
        isinstance(layer, nn.LayerNorm | nn.RMSNorm) for layer in layers
    )


class _Stage:
    """Where groups are tried.

    Args:
        shadow: the model.
        call: what it is called with.
        groups: all that were found.
    """

    def __init__(self, shadow: Shadow, call: Call, groups: tuple[Group, ...]) -> None:
        self._shadow = shadow
        self._call = call
        self._groups = groups
        self._fakes = Fakes(shadow.mode)
        self.group = {group.name: group for group in groups}
        self.modules = dict(shadow.model.named_modules(remove_duplicate=False))

    def failure(self, names: Sequence[str], stated: Mapping[str, Stated]) -> str | None:
        """Widen the groups of these names; return what went wrong, or None."""
        if not names:
            return None
        # Different numbers from one group to the next: what is halved must not stay equal by chance. More channels, and
        # not fewer: a single head or a group of one channel would look like something else. More than twice as many: a
        # half or any other part of a width that a forward divides, rounded down, must not stay as it was.
        added: Added = {
            name: self.group[name].channels + self.group[name].blocks * (1 + place % 2)
            for place, name in enumerate(names)
        }
        twin = share(self._shadow.model)
        resize(twin, self._groups, added, self._fakes)
        for name in names:
            for layer, attribute, worth in stated.get(name, ()):
                module = twin.get_submodule(layer)
                setattr(module, attribute, getattr(module, attribute) + worth * added[name])
        try:
            with python_random_kept(), _unlogged():
                after, _ = follow(Shadow(twin, self._shadow.mode), self._call)
        except Exception as error:  # noqa: BLE001  anybody's forward, with layers of other sizes
            _let_go(error)
            return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:120]}"
        return self._difference({group.name: group for group in after}, added)

    def _difference(self, after: Mapping[str, Group], added: Added) -> str | None:
        for group in self._groups:
            if group.obstacle:
                continue
            found = after.get(group.name)
            expected = frozenset(members_after(group, self._groups, added))
            if (
                found is None
                or found.obstacle not in (None, NONE_TO_SPARE)
                or found.channels != group.channels + added.get(group.name, 0)
                or found.blocks != group.blocks
                or frozenset(found.members) != expected
            ):
                return f"the channels of {group.name!r} would go another way"
        return None


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep torch from writing a page about each operation that fails here: failing is what is looked for."""
    thread, log = threading.get_ident(), logging.getLogger("torch._subclasses.fake_tensor")

    def others(record: logging.LogRecord) -> bool:
        return record.thread != thread

    log.addFilter(others)
    try:
        yield
    finally:
        log.removeFilter(others)


def _let_go(error: BaseException | None) -> None:
    # The recorder keeps the error, whose frames would keep what stands in those around this profile alive.
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _culprits(stage: _Stage, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the groups that fail, with why, by halving."""
    failure = stage.failure(names, {})
    if failure is None:
        return
    if len(names) == 1:
        yield names[0], f"the forward states a number that does not follow when channels go ({failure})"
        return
    half = len(names) // 2
    yield from _culprits(stage, names[:half])
    yield from _culprits(stage, names[half:])


def _buckets(stage: _Stage, names: Sequence[str], soft: Soft) -> list[list[str]]:
    """Sort groups by the classes of the layers that cut them: blocks of one make state the same numbers."""
    found: dict[tuple[type, ...], list[str]] = {}
    for name in names:
        found.setdefault(tuple(type(stage.modules[place]) for place in soft[name]), []).append(name)
    return list(found.values())


def _numbers(stage: _Stage, alike: Sequence[str], soft: Soft) -> tuple[dict[str, Stated], dict[str, str]]:
    """Find the numbers that must change with the channels of groups of one make; and those that nothing helps."""
    reasons: dict[str, str] = {}
    found: dict[str, Stated] = {}
    waiting = list(alike)
    while waiting:
        first = waiting.pop(0)
        patterns = _patterns(_candidates(stage, first, soft))
        pattern = next((one for one in patterns if stage.failure([first], {first: one}) is None), None)
        # The same class in another place of the model does the same.
        twins = [name for name in waiting if soft[name] != soft[first]]
        if pattern is None:
            failure = _failure(stage, first, soft)
            for name in (first, *twins):
                reasons[name] = _reason(stage, name, soft, failure)
            waiting = [name for name in waiting if name not in reasons]
            continue
        found[first] = pattern
        same = {name: _moved(pattern, soft[first], soft[name]) for name in twins}
        if twins and _fits(stage, same) and stage.failure(twins, same) is None:
            found |= same
            waiting = [name for name in waiting if name not in found]
    return found, reasons


def _moved(pattern: Stated, here: Sequence[str], there: Sequence[str]) -> Stated:
    places = dict(zip(here, there, strict=False))
    return tuple((places.get(layer, layer), attribute, worth) for layer, attribute, worth in pattern)


def _fits(stage: _Stage, stated: Mapping[str, Stated]) -> bool:
    return all(
        isinstance(getattr(stage.modules[layer], attribute, None), int)
        for pattern in stated.values()
        for layer, attribute, _ in pattern
    )


def _candidates(stage: _Stage, name: str, soft: Soft) -> list[tuple[str, str, int]]:
    """Return the whole numbers of the layers that cut a group that could count its channels, the likeliest first."""
    count = stage.group[name].channels
    found = [
        (place, attribute, value // count)
        for place in soft[name]
        for attribute, value in vars(stage.modules[place]).items()
        if type(value) is int and value >= count and value % count == 0
    ]
    return sorted(found, key=lambda entry: entry[2])[:_MOST]


def _patterns(candidates: Sequence[tuple[str, str, int]]) -> Iterator[Stated]:
    for count in range(min(len(candidates), _TOGETHER) + 1):
        yield from combinations(candidates, count)


def _failure(stage: _Stage, name: str, soft: Soft) -> str:
    """Return what goes wrong when the number that most likely counts the channels changes with them."""
    likely = [entry for entry in _candidates(stage, name, soft) if entry[2] == 1][:1]
    return str(stage.failure([name], {name: tuple(likely)}))


def _reason(stage: _Stage, name: str, soft: Soft, failure: str) -> str:
    place = soft[name][0]
    who = f"the forward of {place!r} ({type(stage.modules[place]).__name__})"
    if stage.group[name].kind == "heads":
        return (
            f"{who} takes the width of a head, or of all heads, from a width that stays when a head goes ({failure}); "
            "it would follow if it reshaped by the width of a head and -1"
        )
    return f"{who} cuts or reshapes its channels by numbers that do not follow when some go ({failure})"
