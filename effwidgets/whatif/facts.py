"""What about a layer, or about the way a model was looked at, is not the same in two profiles."""

from __future__ import annotations

from collections.abc import Iterator

from effwidgets.records import LayerProfile, Plain, Profile, Shape
from effwidgets.records.comparison import Fact
from effwidgets.units import shape_text

__all__ = ["facts_of", "ran", "warnings_of"]


def facts_of(was: LayerProfile, now: LayerProfile) -> tuple[Fact, ...]:
    """Return what differs between a layer before and after: class, configuration, tensors, shapes, calls, names.

    >>> was = LayerProfile(name="fc", kind="Linear", config=(("out_features", 10),))
    >>> facts_of(was, LayerProfile(name="fc", kind="Linear", config=(("out_features", 4),), calls=1))
    (Fact(what='out_features', before=10, after=4), Fact(what='calls', before=0, after=1))
    """
    values: list[tuple[str, Plain, Plain]] = [
        ("class", was.kind, now.kind),
        *_settings(was, now),
        *_tensors(was, now),
        ("inputs", was.inputs, now.inputs),
        ("outputs", was.outputs, now.outputs),
        ("calls", was.calls, now.calls),
        ("aliases", was.aliases, now.aliases),
    ]
    return tuple(Fact(what=what, before=before, after=after) for what, before, after in values if before != after)


def _settings(was: LayerProfile, now: LayerProfile) -> Iterator[tuple[str, Plain, Plain]]:
    # Two classes share few settings; what only one of them knows says nothing that the class does not say.
    one, other = dict(was.config), dict(now.config)
    both = [name for name in {**one, **other} if was.kind == now.kind or (name in one and name in other)]
    yield from ((name, one.get(name), other.get(name)) for name in both)


def _tensors(was: LayerProfile, now: LayerProfile) -> Iterator[tuple[str, Plain, Plain]]:
    if was.kind != now.kind and not (was.tensors and now.tensors):
        return  # another class that holds none or all of them: its name says so
    for name in dict.fromkeys(tensor.name for tensor in (*was.tensors, *now.tensors)):
        one, other = was.tensor(name), now.tensor(name)
        if one is None or other is None:
            yield f"{name} shape", one.shape if one else None, other.shape if other else None
            continue
        yield f"{name} shape", one.shape, other.shape
        yield f"{name} dtype", one.dtype, other.dtype
        yield f"{name} kind", one.kind, other.kind
        yield f"{name} trainable", one.trainable, other.trainable
        yield f"{name} tied to", one.tied_to, other.tied_to


def ran(found: Profile) -> bool:
    """Say whether the model was run for this profile; otherwise it knows parameters only."""
    return found.layers[0].calls > 0


def warnings_of(before: Profile, after: Profile) -> tuple[str, ...]:
    """Return what makes two profiles unlike for another reason than a change of the model, in sentences."""
    idle = [which for which, found in (("first", before), ("second", after)) if not ran(found)]
    if idle:
        which = " and the ".join(idle)
        return (f"The {which} profile knows parameters only: the model was not run there. Compare nothing else.",)
    return tuple(_unlike(before, after))


def _unlike(before: Profile, after: Profile) -> Iterator[str]:
    place, other = before.environment, after.environment
    timed = before.latency is not None and after.latency is not None
    for what, one, two, effect in (
        ("inputs", _shapes(before.inputs), _shapes(after.inputs), "work and memory change with them too"),
        ("dtype", before.dtype, after.dtype, "bytes change with it too"),
        ("mode", _mode(before), _mode(after), "dropout and batch norm work otherwise"),
        ("device", place.device, other.device, "kernels, memory and time are another matter there"),
        ("torch", place.torch, other.torch, "its kernels may keep and move other bytes"),
        ("threads", place.threads if timed else 0, other.threads if timed else 0, "the times are not comparable"),
        ("optimizer", before.memory.optimizer, after.memory.optimizer, "the training peaks are not comparable"),
    ):
        if one != two and None not in (one, two):
            yield f"Not the same {what}: {one} before, {two} after; {effect}."
    if (before.memory.training_peak_bytes is None) != (after.memory.training_peak_bytes is None):
        yield "Only one of the two knows the backward: profile both with backward=True to compare it."
    for which, found in (("first", before), ("second", after)):
        for backward, where in ((False, ""), (True, " in its backward")):
            times = sum(one.times for one in found.uncounted if one.backward == backward)
            if times:
                some = f"{times} operation{'s' * (times != 1)} without a formula{where}"
                yield f"The {which} profile has {some}: at least, not exact."
        if found.latency is not None and found.latency.warning and timed:
            yield f"The {which} time is unsteady: {found.latency.warning}."


def _shapes(shapes: tuple[Shape, ...]) -> str:
    return ", ".join(map(shape_text, shapes)) or "no tensors"


def _mode(found: Profile) -> str | None:
    return None if found.train is None else "training" if found.train else "eval"
