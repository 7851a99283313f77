"""A run for nothing but the channels."""

from __future__ import annotations

from typing import Any

import torch

from effwidgets.profiling.calls import Call, run
from effwidgets.profiling.coupling.flow import Flow
from effwidgets.profiling.kinds import Rule
from effwidgets.profiling.observer import Observer
from effwidgets.profiling.recorder import Recorder
from effwidgets.profiling.shadow import Shadow
from effwidgets.profiling.values import Values
from effwidgets.records import Group

__all__ = ["follow"]


class _FlowPass(Observer):  # type: ignore[no-untyped-call]
    def __init__(self, flow: Flow, values: Values) -> None:
        super().__init__(values)
        self._flow = flow

    def observe(self, rule: Rule, given: tuple[Any, Any, Any], inputs: list[Any], outputs: list[Any]) -> None:
        self._flow.observe(rule, given, inputs, outputs)


def follow(shadow: Shadow, call: Call) -> tuple[tuple[Group, ...], dict[str, tuple[str, ...]]]:
    """Run a shadow as it is, without gradients.

    Returns:
        the groups; and by the name of a group, the layers whose forward cuts its channels by numbers.

    Raises:
        Exception: whatever the forward raises.
    """
    recorder = Recorder(shadow.model)
    given = shadow.fake(call)
    with shadow.mode, torch.inference_mode(mode=False), torch.no_grad():
        flow = Flow(recorder)
        with recorder.watching(), _FlowPass(flow, Values(shadow.mode)):
            outputs = run(shadow.model, given)
        flow.end(outputs)
    groups = tuple(flow.groups())
    return groups, flow.soft
