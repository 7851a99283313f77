"""Layers whose channels must change together, and why some may not change at all."""

from __future__ import annotations

from typing import Any

import torch

from effwidgets.profiling.calls import Call, run
from effwidgets.profiling.flow import Flow
from effwidgets.profiling.kinds import Rule
from effwidgets.profiling.observer import Observer
from effwidgets.profiling.recorder import Recorder
from effwidgets.profiling.shadow import Shadow
from effwidgets.profiling.values import Values
from effwidgets.records import Group

__all__ = ["coupling_of", "groups_of", "second_opinion_on", "unknown"]


class _FlowPass(Observer):  # type: ignore[no-untyped-call]
    """A run for nothing but the channels."""

    def __init__(self, flow: Flow, values: Values) -> None:
        super().__init__(values)
        self._flow = flow

    def observe(self, rule: Rule, given: tuple[Any, Any, Any], inputs: list[Any], outputs: list[Any]) -> None:
        self._flow.observe(rule, given, inputs, outputs)


def groups_of(shadow: Shadow, call: Call) -> tuple[Group, ...]:
    """Return the groups of layers whose channels change together, in the order of the forward; never raises.

    Each group has the layers that make its channels (side "out"), the layers that keep one number for each channel
    (norms, depthwise convolutions; side "out" too), and the layers that read them (side "in").
    """
    return coupling_of(shadow, call)[0]


def coupling_of(shadow: Shadow, call: Call, *, second: bool = True) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Return the groups, and notes on what could not be found out; ``second``: ask torch-pruning too."""
    training = [(module, module.training) for module in shadow.model.modules()]
    shadow.model.eval()
    try:
        recorder = Recorder(shadow.model)
        given = shadow.fake(call)
        with shadow.mode, torch.inference_mode(mode=False), torch.no_grad():
            flow = Flow(recorder)
            with recorder.watching(), _FlowPass(flow, Values(shadow.mode)):
                outputs = run(shadow.model, given)
            flow.end(outputs)
        groups = tuple(flow.groups())
        return second_opinion_on(groups, shadow, call) if second else (groups, ())
    except Exception as error:  # noqa: BLE001  anybody's forward; a profile without groups is still a profile
        return (), (unknown(error),)
    finally:
        for module, flag in training:
            module.training = flag


def second_opinion_on(
    groups: tuple[Group, ...], shadow: Shadow, call: Call
) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Return the groups, barred where torch-pruning names other layers, and notes."""
    from effwidgets.profiling.opinion import second_opinion

    return second_opinion(shadow, call, groups)


def unknown(error: Exception) -> str:
    """Say why the groups are not known."""
    reason = str(error).partition("\n")[0][:160]
    return f"Which layers' channels change together is not known ({type(error).__name__}: {reason})."
