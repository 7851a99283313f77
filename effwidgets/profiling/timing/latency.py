"""How long a forward takes, measured: the whole model, and its layers alone.

The whole is timed on its own. Each layer is timed alone by `Bench`, and what the layers took together beside the whole
is the residual: caches that are cold in a real run, memory that is found and given back, and what could not be timed
alone. Then the layers are scaled to the whole, so that they add up to it. A time is never derived from MACs.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import nn

from effwidgets.errors import EffError, ModelError
from effwidgets.profiling.calls import Call, batch_of, tensors_in
from effwidgets.profiling.failures import is_empty
from effwidgets.profiling.shadow import copy_tree
from effwidgets.profiling.timing.alone import alone
from effwidgets.profiling.timing.clock import Clock, same_random
from effwidgets.profiling.timing.leaves import Bench, Own
from effwidgets.records import Latency, LayerProfile, Profile

__all__ = ["measure_latency", "with_latency"]

_WARM_UP: Final = 3
_FEWEST: Final = 10
_MOST: Final = 200
_ENOUGH_S: Final = 0.5  # of measuring; a fast model is repeated until then
_ROUNDS: Final = 5  # a disturbance that passes is in a part of the whole's runs and in a part of each layer's
_SLOW_S: Final = 1.0  # of one forward; from here on it is repeated less
_FEWEST_SLOW: Final = 4
_ROUNDS_SLOW: Final = 2
_NAMED: Final = 4


@dataclass(frozen=True, slots=True)
class _Measured:
    """What a measurement found: the whole, what each layer takes itself, and what has no time of its own, and why."""

    whole: Latency
    layers: Mapping[str, Own]
    failed: Mapping[str, str]
    called: frozenset[str]
    undisturbed: bool


def measure_latency(model: nn.Module, call: Call, *, train: bool = False) -> Latency:
    """Time forwards without gradients; median and interquartile range in seconds.

    Runs on a copy that shares the parameters and has its own buffers, each time with inputs of its own, so neither the
    model nor the inputs are touched; random states are as before afterwards. On a GPU every run is waited for. Other
    work of ours gives way meanwhile (`alone`).

    Raises:
        ModelError: the forward raised; the message names the layer.

    >>> measure_latency(nn.Linear(8, 4), Call((torch.zeros(2, 8),))).repeats >= 10
    True
    """
    return _measure(model, call, train=train).whole


def with_latency(profile: Profile, model: nn.Module, call: Call, *, train: bool = False) -> Profile:
    """Return ``profile`` with the measured time of the whole model and of its layers.

    Each layer is timed alone on what it is really called with; one with calls inside is timed with these answered from
    a record, which leaves its own work. Then all are scaled to the measured whole; where some could not be timed, the
    others are not scaled up, as that would hand them the missing time. A model on meta has no time.

    Raises:
        ModelError: the forward raised; the message names the layer.

    >>> from effwidgets.profiling import profile
    >>> model, call = nn.Sequential(nn.Linear(8, 4), nn.ReLU()), Call((torch.zeros(2, 8),))
    >>> timed = with_latency(profile(model, call), model, call)
    >>> parts = sum(timed.layer(name).latency.median_s for name in ("0", "1"))
    >>> abs(parts / timed.latency.median_s - 1) < 1e-6
    True
    """
    if is_empty(model, call):
        note = "The model stands on meta and has no numbers to run with, so no time was measured."
        return replace(profile, notes=(*profile.notes, note))
    found = _measure(model, call, train=train, layers=True)
    alone_s = sum(own.seconds for own in found.layers.values())
    whole = replace(found.whole, residual_s=found.whole.median_s - alone_s)
    scale = whole.median_s / alone_s if alone_s > 0 else 1.0
    scale = min(scale, 1.0) if found.failed else scale
    return replace(
        profile,
        latency=whole,
        layers=tuple(_timed(profile.layers, whole, found.layers, scale)),
        notes=(*profile.notes, *_notes(profile, model, found)),
    )


def _timed(
    layers: Sequence[LayerProfile], whole: Latency, found: Mapping[str, Own], scale: float
) -> Iterator[LayerProfile]:
    def scaled(own: Own) -> Latency:
        return replace(
            whole, median_s=scale * own.seconds, iqr_s=scale * own.iqr_s, repeats=own.repeats, residual_s=None, ran=None
        )

    inside: dict[str, list[Own]] = {layer.name: [] for layer in layers}
    for layer in layers:
        own = found.get(layer.name)
        path = layer.name
        while own is not None:
            if path in inside:
                inside[path].append(own)
            if not path:
                break
            path = path.rpartition(".")[0]
    for layer in layers:
        parts, own = inside[layer.name], found.get(layer.name)
        total = whole if not layer.name else scaled(_sum(parts)) if parts else None
        yield replace(layer, latency=total, self_latency=None if own is None else scaled(own))


def _sum(parts: Sequence[Own]) -> Own:
    return Own(
        seconds=sum(part.seconds for part in parts),
        iqr_s=sum(part.iqr_s**2 for part in parts) ** 0.5,  # of independent times
        repeats=min(part.repeats for part in parts),
    )


def _notes(profile: Profile, model: nn.Module, found: _Measured) -> Iterator[str]:
    if not found.undisturbed:
        yield "Other work of this process did not pause in time, so the time was measured beside it."
    if any(module._compiled_call_impl is not None or _is_compiled(module) for module in model.modules()):
        yield "The time is that of the model as it is written; what torch.compile makes of it was not measured."
    for name, reason in sorted(found.failed.items())[:_NAMED]:
        yield f"{name or 'The model itself'} could not be timed alone ({reason}); its time is part of the residual."
    if len(found.failed) > _NAMED:
        yield f"{len(found.failed) - _NAMED} more layers could not be timed alone."
    fused = [layer.name for layer in profile.layers if layer.calls and layer.name not in found.called]
    if fused:
        more = f" and {len(fused) - _NAMED} more" if len(fused) > _NAMED else ""
        yield f"{', '.join(fused[:_NAMED])}{more} ran inside of a larger layer and have no time of their own."


def _is_compiled(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch._dynamo.")


def _measure(model: nn.Module, call: Call, *, train: bool = False, layers: bool = False) -> _Measured:
    tensors = (*tensors_in(call), *model.parameters(), *model.buffers())
    devices = [tensor.device for tensor in tensors] or [torch.device("cpu")]
    clock = Clock(devices)
    with torch.inference_mode(mode=False), torch.no_grad(), alone() as undisturbed, same_random(clock):
        twin = copy_tree(model, lambda tensor: tensor if isinstance(tensor, nn.Parameter) else tensor.detach().clone())
        twin.train(train)
        bench = Bench(twin, call, clock)
        try:
            times = _times(bench, layers=layers)
        except EffError:
            raise
        except Exception as error:  # the model's own forward
            raise ModelError(_failure(twin, bench.at, error)) from error
    first, median, third = statistics.quantiles(times, n=4)
    whole = Latency(
        median_s=median,
        iqr_s=third - first,
        repeats=len(times),
        device=str(devices[0]),
        threads=torch.get_num_threads(),
        batch=batch_of(call),
        ran=min(1.0, bench.ran_s / sum(times)) if clock.on_cpu else None,
    )
    own = bench.own() if layers else {}
    return _Measured(whole, own, dict(bench.failed), bench.called, undisturbed)


def _times(bench: Bench, *, layers: bool) -> list[float]:
    """Time the whole in rounds, and the layers in between where they are asked for."""
    bench.scout()
    slow = min(bench.whole() for _ in range(_WARM_UP - 1)) > _SLOW_S
    rounds, fewest = (_ROUNDS_SLOW, _FEWEST_SLOW) if slow else (_ROUNDS, _FEWEST)
    bench.ran_s = 0.0
    times: list[float] = []
    for number in range(1, rounds + 1):
        part = number / rounds
        while len(times) < part * fewest or (sum(times) < part * _ENOUGH_S and len(times) < part * _MOST):
            times.append(bench.whole())
        if layers:
            bench.round()
    return times


def _failure(model: nn.Module, at: str | None, error: Exception) -> str:
    kind = type(model).__name__
    where = f"in layer {at!r}" if at else "in its own forward"
    text = str(error).strip().partition("\n")[0] or "no message"
    return (
        f"{kind} failed {where} while its time was measured: {type(error).__name__}: {text[:300]}. Call the model with "
        "the same inputs yourself; once that runs, so does the measurement."
    )
