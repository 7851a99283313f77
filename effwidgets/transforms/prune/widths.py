"""Widths rounded by what the machine measures: no constant says which numbers of channels its kernels like."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

import torch
from torch import Tensor, nn

from effwidgets.errors import EffError, TransformError
from effwidgets.profiling.calls import Inputs
from effwidgets.profiling.profile import profile
from effwidgets.profiling.shadow import share
from effwidgets.profiling.timing.clock import Clock
from effwidgets.profiling.timing.stopwatch import paired, times_of
from effwidgets.records import LayerProfile, Plan, Profile, Rounded, Step, WidthChoice, WidthTime, settings
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.foresee import foresee
from effwidgets.transforms.plans import check_plan, options_for
from effwidgets.transforms.prune.prunable import channels_asked, group_asked
from effwidgets.transforms.prune.width_options import WidthOptions
from effwidgets.transforms.surgery import find_layer

__all__ = ["WidthOptions", "measured_width", "rounded"]

_PRUNE: Final = "channel_prune"
_EQUAL: Final = 0.02  # of the time: what counts as the same
_GRIDS: Final = (4, 8, 16, 32, 64)

Key: TypeAlias = tuple[object, ...]
_CACHE: dict[Key, tuple[float, dict[int, list[float]]]] = {}  # for how long was measured, and what was found
_MOST: Final = 256  # of them are remembered: the ones used last


def rounded(model: nn.Module, inputs: Inputs, plan: Plan, *, options: WidthOptions | None = None) -> Rounded:
    """Return ``plan`` with the widths of its pruning steps moved to neighbours that this machine runs better.

    See `measured_width` for what is taken. Every step meets the widths that were taken before it. Where what is
    measured drowns in noise, or nothing is gained, the asked width stays.

    Args:
        model: what the plan is for; it is not changed.
        inputs: what it is called with: the shapes decide the times.
        plan: the steps, in order; those that remove no channels are left as they are.
        options: how far and how long.

    Raises:
        UnknownNameError: the plan names a transformation or a layer that there is not.
        ModelError: the forward of ``model`` fails.

    >>> from effwidgets.records import settings
    >>> net = nn.Sequential(nn.Linear(8, 30), nn.ReLU(), nn.Linear(30, 4))
    >>> step = Step(transform="channel_prune", layers=("0",), settings=settings(channels=20))
    >>> found = rounded(net, torch.ones(2, 8), Plan(steps=(step,)), options=WidthOptions(seconds=0.01))
    >>> found.choices[0].time(20).repeats >= 9
    True
    """
    options = options or WidthOptions()
    check_plan(model, plan)
    known: Profile | None = options.known or profile(model, inputs, options=options_for(plan))
    work = share(model)  # a rewrite puts new parameters in and writes into none
    steps, choices, notes = list[Step](), list[WidthChoice](), list[str]()
    for step in plan:
        taken = step
        if step.transform == _PRUNE:
            try:
                choices.append(_choice(work, step, _known(known), options))
                taken = _at(step, choices[-1].chosen, group_asked(_known(known), step).channels)
            except EffError as error:
                notes.append(f"Left as it is: {error}")
        steps.append(taken)
        work, known = _after(work, taken, known)
    return Rounded(plan=Plan(steps=tuple(steps)), choices=tuple(choices), notes=tuple(notes))


def _known(known: Profile | None) -> Profile:
    if known is None:
        raise TransformError("what stands there after the steps before it cannot be told by arithmetic.")
    return known


def _after(work: nn.Module, step: Step, known: Profile | None) -> tuple[nn.Module, Profile | None]:
    # The model and its profile after a step; as they were where it cannot be done, as `apply` would leave it out.
    done = share(work)
    try:
        TRANSFORMS[step.transform].rewrite(done, step, _known(known))
    except Exception:  # noqa: BLE001  a plug-in's code
        return work, known
    try:
        return done, foresee(_known(known), step)
    except EffError:
        return done, None


def measured_width(model: nn.Module, inputs: Inputs, step: Step, *, options: WidthOptions | None = None) -> WidthChoice:
    """Time the layers of one pruning step at widths around the asked one, and say which should be taken.

    The members of the group are run alone, with random numbers, in the shapes that they would have; what is timed is
    their sum. All widths take turns in an order drawn anew each round, and each is compared with the asked one round by
    round. A wider one is taken when it surely costs no more: less than 2% of the time, and less than half of what its
    further channels should cost. Else a narrower one, when it surely saves more than twice what the channels lost for
    it should save, and more than 2%. "Surely" is a 95% interval of the median, and what looks best among several is
    measured once more, alone, before it is taken. What was measured is remembered by shapes, dtype, device and threads.

    Args:
        model: what the step is for; it is not changed.
        inputs: what it is called with.
        step: a `channel_prune` step.
        options: how far and how long.

    Raises:
        TransformError: not a pruning step, or one that cannot be done.
        UnknownNameError: no such group, setting or criterion.

    >>> net = nn.Sequential(nn.Linear(8, 30), nn.ReLU(), nn.Linear(30, 4))
    >>> step = Step(transform="channel_prune", layers=("0",), settings=settings(channels=20))
    >>> found = measured_width(net, torch.ones(2, 8), step, options=WidthOptions(seconds=0.01))
    >>> sorted(time.width for time in found.times)
    [17, 18, 19, 20, 21, 22, 23]
    """
    options = options or WidthOptions()
    if step.transform != _PRUNE:
        raise TransformError(f"{step}: only the width of a {_PRUNE} step can be measured.")
    known = options.known or profile(model, inputs, options=options_for(Plan(steps=(step,))))
    return _choice(share(model), step, known, options)


def _choice(model: nn.Module, step: Step, known: Profile, options: WidthOptions) -> WidthChoice:
    group = group_asked(known, step)
    asked = channels_asked(step, group)
    widths = _candidates(asked, group.channels, group.blocks, options.within)
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    where = {"threads": torch.get_num_threads(), "device": str(device)}
    if len(widths) == 1:
        return WidthChoice(step=step, chosen=asked, reason="No other width is near enough.", **where)  # type: ignore[arg-type]
    bench = _Bench(model, step, known, device)
    times = _described(bench.times(widths, options.seconds), asked)
    best = _best(times, asked)
    if best is None:
        steady = all(time.error_s <= _EQUAL * time.median_s for time in times)
        reason = "No width near it is worth more" if steady else "The differences drown in the noise of this machine"
        return WidthChoice(step=step, chosen=asked, times=times, reason=f"{reason}.", **where)  # type: ignore[arg-type]
    again = _described(bench.times((asked, best), options.seconds, fresh=True), asked)
    if _best(again, asked) != best:
        reason = f"{best} looked better and was not when it was measured again."
        return WidthChoice(step=step, chosen=asked, times=times, reason=reason, **where)  # type: ignore[arg-type]
    found = next(time for time in again if time.width == best)
    times = tuple(found if time.width == best else time for time in times)
    return WidthChoice(step=step, chosen=best, times=times, reason=_said(found, asked), **where)  # type: ignore[arg-type]


def _candidates(asked: int, whole: int, blocks: int, within: float) -> tuple[int, ...]:
    # The next ones, and on each side the nearest multiples of each power of two: where kernels have their edges.
    reach = max(blocks, int(asked * within))
    near = {asked + offset * blocks for offset in range(-3, 4)}
    near |= {side * grid for grid in _GRIDS for side in (asked // grid, asked // grid + 1)}
    return tuple(
        sorted(width for width in near if abs(width - asked) <= reach and 1 <= width <= whole and not width % blocks)
    )


def _best(times: tuple[WidthTime, ...], asked: int) -> int | None:
    base = next(time.median_s for time in times if time.width == asked)
    free, saving = [], []
    for time in times:
        share = abs(time.width / asked - 1)
        worst = (time.change_s + time.error_s) / base if base else 0.0
        if time.width > asked and worst <= min(_EQUAL, share / 2):
            free.append(time.width)
        elif time.width < asked and -worst >= max(_EQUAL, 2 * share):
            saving.append(time.width)
    return max(free or saving, default=None)  # the one that loses the fewest channels


def _described(times: Mapping[int, list[float]], asked: int) -> tuple[WidthTime, ...]:
    found = []
    for width, row in sorted(times.items()):
        change, error = paired(row, times[asked])
        found.append(
            WidthTime(width=width, median_s=statistics.median(row), change_s=change, error_s=error, repeats=len(row))
        )
    return tuple(found)


def _said(found: WidthTime, asked: int) -> str:
    off = found.change_s / (found.median_s - found.change_s)
    error = found.error_s / found.median_s
    what = "costs no more" if found.width > asked else "is faster by more than the channels it loses"
    return f"{found.width} {what}: {off:+.1%} ± {error:.1%} of the time at {asked}."


def _at(step: Step, width: int, whole: int) -> Step:
    # Keeping all is refused unless it is asked for.
    all_stay = {"anyway": True} if width == whole else {}
    return replace(step, settings=settings({**dict(step.settings), "channels": width, **all_stay}))


class _Bench:
    """The members of one group, as they would be at any width."""

    def __init__(self, model: nn.Module, step: Step, known: Profile, device: torch.device) -> None:
        self._model, self._step, self._known, self._device = model, step, known, device
        group = group_asked(known, step)
        self._whole = group.channels
        self._members = tuple(dict.fromkeys(member.layer for member in group.members if not member.tensor))

    def times(self, widths: tuple[int, ...], seconds: float, *, fresh: bool = False) -> dict[int, list[float]]:
        """Return the seconds of each width, by rounds.

        What was measured for at least as long is remembered, and taken unless it is to be ``fresh``.
        """
        layers = {width: self._layers(width) for width in widths}
        key: Key = (
            tuple(tuple(_made_of(layer) for layer in layers[width]) for width in widths),
            *(widths, str(self._device), torch.get_num_threads()),
        )
        held = None if fresh else _CACHE.pop(key, None)
        if held is not None and held[0] >= seconds:
            _CACHE[key] = held  # at the end again
            return held[1]
        with torch.inference_mode(mode=False), torch.no_grad():
            works = {width: self._work(layers[width], width) for width in widths}
            found = times_of(works, Clock([self._device]), seconds=seconds)
        if not fresh:
            _CACHE[key] = (seconds, found)
        while len(_CACHE) > _MOST:
            _CACHE.pop(next(iter(_CACHE)), None)
        return found

    def _layers(self, width: int) -> tuple[LayerProfile, ...]:
        after = foresee(self._known, _at(self._step, width, self._whole))
        return tuple(after.layer(name) for name in self._members)

    def _work(self, layers: tuple[LayerProfile, ...], width: int) -> Callable[[], object]:
        cut = share(self._model)
        TRANSFORMS[_PRUNE].rewrite(cut, _at(self._step, width, self._whole), self._known)
        drawn = torch.Generator().manual_seed(0)
        calls: list[tuple[nn.Module, Tensor]] = []
        for layer in layers:
            if layer.calls and layer.inputs:
                module = share(find_layer(cut, layer.name)).eval()
                for name, parameter in list(module.named_parameters(recurse=False)):
                    filled = torch.randn(tuple(parameter.shape), generator=drawn).to(parameter)
                    setattr(module, name, nn.Parameter(filled, requires_grad=False))
                calls += [(module, self._given(layer, drawn))] * layer.calls

        def work() -> None:
            for module, given in calls:
                module(given)

        return work

    def _given(self, layer: LayerProfile, drawn: torch.Generator) -> Tensor:
        if layer.kind == "Embedding":
            return torch.zeros(layer.inputs[0], dtype=torch.long, device=self._device)
        held = next((tensor.dtype for tensor in layer.tensors), self._known.dtype)
        dtype: torch.dtype = getattr(torch, held)
        return torch.randn(layer.inputs[0], generator=drawn).to(device=self._device, dtype=dtype)


def _made_of(layer: LayerProfile) -> Key:
    held = tuple((tensor.shape, tensor.dtype) for tensor in layer.tensors)
    return layer.kind, layer.config, layer.inputs[:1], layer.calls, held
