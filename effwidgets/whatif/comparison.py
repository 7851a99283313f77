"""`compare`: two profiles side by side by layer. Arithmetic on records; nothing is run.

Layers are met by their paths. A layer that became a container of new ones (``conv1`` with ``conv1.0`` and ``conv1.1``
after a factorization) stands against the whole container, and its parts stand below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from effwidgets.errors import InputError
from effwidgets.records import LayerProfile, Profile
from effwidgets.records.comparison import FOUR, Comparison, Fact, LayerChange, LayerState, MemoryChange
from effwidgets.whatif.facts import facts_of, ran, warnings_of

__all__ = ["compare"]

_NONE: Final = LayerProfile(name="", kind="")
_WRAPPERS: Final = ("_orig_mod", "module")  # torch.compile; nn.DataParallel and its relatives
_ASK: Final = {
    "Applied": "compare(applied.before, applied.profile)",
    "Candidate": "study.compare(a, b) with the two numbers",
    "Plan": "preview(model, plan, inputs) for a plan that was not applied",
}


def compare(before: Profile, after: Profile) -> Comparison:
    """Set two profiles side by side.

    Args:
        before: what there was.
        after: what there is, or what a plan would make.

    Returns:
        A `Comparison`: each layer of either, with its cost before and after. The changes of its places add up to the
        change of the model, to the integer.

    Raises:
        InputError: something else than two profiles.

    >>> from torch import nn, zeros
    >>> from effwidgets.profiling.profile import profile
    >>> wide, narrow = (profile(nn.Sequential(nn.Linear(8, n), nn.Linear(n, 2)), zeros(4, 8)) for n in (16, 12))
    >>> found = compare(wide, narrow)
    >>> found.change.macs, str(found.layer("0").facts[0])
    (-160, 'out_features 16 → 12')
    """
    for name, given in (("before", before), ("after", after)):
        _check(name, given)
    one, other, notes = _met(before, after)
    return Comparison(
        before=before,
        after=after,
        layers=_rows(one, other),
        memory=_memory(before, after),
        warnings=warnings_of(before, after),
        notes=(*notes, *_own_notes(before, after)),
        origin=before.origin,
    )


def _check(name: str, given: object) -> None:
    if not isinstance(given, Profile):
        kind = type(given).__name__
        door = _ASK.get(kind, "compare(profile(model, x), profile(other, x))")
        raise InputError(f"{name} is {kind}; two profiles were expected. Write {door}.")


def _met(before: Profile, after: Profile) -> tuple[dict[str, LayerProfile], dict[str, LayerProfile], tuple[str, ...]]:
    """Return the layers of both by the paths under which they meet, and what to say about it."""
    one, other = ({layer.name: layer for layer in found.layers} for found in (before, after))
    for wrapper in _WRAPPERS:
        if wrapper in other and wrapper not in one:
            return one, _unwrapped(other, wrapper), (_wrapper_note("second", wrapper),)
        if wrapper in one and wrapper not in other:
            return _unwrapped(one, wrapper), other, (_wrapper_note("first", wrapper),)
    return one, other, ()


def _unwrapped(layers: Mapping[str, LayerProfile], wrapper: str) -> dict[str, LayerProfile]:
    # The wrapper's root does nothing itself; what it holds takes its place.
    inside = {name.removeprefix(wrapper).removeprefix("."): layer for name, layer in layers.items() if name}
    return inside if all(name == wrapper or name.startswith(f"{wrapper}.") for name in layers if name) else dict(layers)


def _wrapper_note(which: str, wrapper: str) -> str:
    return f"The {which} model stands inside of a wrapper; its layers are met without the leading {wrapper!r}."


def _own_notes(before: Profile, after: Profile) -> Iterator[str]:
    for which, found, other in (("Before", before, after), ("After", after, before)):
        yield from (f"{which}: {note}" for note in found.notes if note not in other.notes)
    yield from (note for note in before.notes if note in after.notes)


def _rows(one: Mapping[str, LayerProfile], other: Mapping[str, LayerProfile]) -> tuple[LayerChange, ...]:
    parents = _parents(one, other)
    one_holds, other_holds = ({parents[name] for name in side if name} for side in (one, other))
    rows: dict[str, LayerChange] = {}
    for name in _in_order(one, other, parents):
        was, now, above = one.get(name), other.get(name), rows.get(parents[name])
        turned = was is not None and now is not None and (name in one_holds) != (name in other_holds)
        row = _row(name, was, now, turned=turned)
        if above is not None and row.state in ("added", "removed"):
            row = replace(row, part_of=above.name if above.whole and above.part_of is None else above.part_of)
        rows[name] = row
    differing: set[str] = set()
    for name in reversed(list(rows)):  # children first
        if rows[name].state == "same" and name in differing:
            rows[name] = replace(rows[name], state="inside")
        if rows[name].state != "same":
            differing.add(parents[name])
    return tuple(rows.values())


def _parents(one: Iterable[str], other: Iterable[str]) -> dict[str, str]:
    known = {*one, *other}
    found: dict[str, str] = {}
    for name in known:
        path = name.rpartition(".")[0]
        while path and path not in known:
            path = path.rpartition(".")[0]
        found[name] = path
    return found


def _in_order(one: Iterable[str], other: Iterable[str], parents: Mapping[str, str]) -> list[str]:
    """Return the paths of both, parents first; what only the second has stands behind what it follows there."""
    children: dict[str, list[str]] = {}
    last: dict[str, str] = {}
    known = {""}
    for name in (name for name in one if name):
        children.setdefault(parents[name], []).append(name)
        known.add(name)
    for name in (name for name in other if name):
        family = children.setdefault(parents[name], [])
        if name not in known:
            family.insert(family.index(last[parents[name]]) + 1 if parents[name] in last else 0, name)
        last[parents[name]] = name
    found: list[str] = []
    waiting = [""]
    while waiting:
        found.append(waiting.pop())
        waiting += reversed(children.get(found[-1], ()))
    return found


def _row(name: str, was: LayerProfile | None, now: LayerProfile | None, *, turned: bool) -> LayerChange:
    facts = facts_of(was, now) if was and now else ()
    one, other = was or _NONE, now or _NONE
    return LayerChange(
        name=name,
        state=_state(was, now, facts, turned=turned),
        before_kind=one.kind,
        after_kind=other.kind,
        facts=facts,
        before=one.cost,
        after=other.cost,
        own_before=one.self_cost,
        own_after=other.self_cost,
        latency_before_s=None if one.latency is None else one.latency.median_s,
        latency_after_s=None if other.latency is None else other.latency.median_s,
    )


def _state(was: LayerProfile | None, now: LayerProfile | None, facts: tuple[Fact, ...], *, turned: bool) -> LayerState:
    if was is None or now is None:
        return "added" if was is None else "removed"
    if turned:
        return "replaced"
    return "changed" if facts or was.self_cost != now.self_cost else "same"


def _memory(before: Profile, after: Profile) -> tuple[MemoryChange, ...]:
    one, other = (_four(found) for found in (before, after))
    return tuple(
        MemoryChange(
            quantity=quantity,
            before=one[quantity][0],
            after=other[quantity][0],
            before_at=one[quantity][1],
            after_at=other[quantity][1],
        )
        for quantity in FOUR
    )


def _four(found: Profile) -> dict[str, tuple[int | None, str | None]]:
    memory = found.memory
    held: tuple[int | None, str | None] = (memory.param_bytes, memory.param_at if memory.param_bytes else None)
    if not ran(found):
        return {quantity: held if quantity == "param_bytes" else (None, None) for quantity in FOUR}
    return {
        "param_bytes": held,
        "inference_peak_bytes": (memory.inference_peak_bytes, memory.inference_peak_at),
        "saved_bytes": (memory.saved_bytes, memory.saved_at if memory.saved_bytes else None),
        "training_peak_bytes": (memory.training_peak_bytes, memory.training_peak_at),
    }
