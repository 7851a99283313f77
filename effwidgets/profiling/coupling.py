"""Layers whose channels must change together, and why some may not change at all."""

from __future__ import annotations

import torch

from effwidgets.profiling.calls import Call, run
from effwidgets.profiling.flow import FlowPass
from effwidgets.profiling.recorder import Recorder
from effwidgets.profiling.shadow import Shadow
from effwidgets.profiling.values import Values
from effwidgets.records import Group

__all__ = ["coupling_of", "groups_of"]


def groups_of(shadow: Shadow, call: Call) -> tuple[Group, ...]:
    """Return the groups of layers whose channels change together, in the order of the forward; never raises.

    Each group has the layers that make its channels (side "out"), the layers that keep one number for each channel
    (norms, depthwise convolutions; side "out" too), and the layers that read them (side "in").
    """
    return coupling_of(shadow, call)[0]


def coupling_of(shadow: Shadow, call: Call, *, second: bool = True) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Return the groups, and notes on what could not be found out; ``second``: ask torch-pruning too."""
    recorder = Recorder(shadow.model)
    training = [(module, module.training) for module in shadow.model.modules()]
    shadow.model.eval()
    try:
        given = shadow.fake(call)
        with shadow.mode, torch.inference_mode(mode=False), torch.no_grad():
            flow = FlowPass(shadow.model, recorder, Values(shadow.mode))
            with recorder.watching(), flow:
                outputs = run(shadow.model, given)
            flow.end(outputs)
        groups = tuple(flow.groups())
        if not second:
            return groups, ()
        from effwidgets.profiling.opinion import second_opinion

        return second_opinion(shadow, call, groups)
    except Exception as error:  # noqa: BLE001  anybody's forward; a profile without groups is still a profile
        reason = str(error).partition("\n")[0][:160]
        return (), (f"Which layers' channels change together is not known ({type(error).__name__}: {reason}).",)

    finally:
        for module, flag in training:
            module.training = flag
