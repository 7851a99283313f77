"""Who takes part: a plain forward, ours in three ways, and the peers, each made ready to run on one model.

A peer is imported where it is made ready, in a process of its own; one that is not installed says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from effwidgets.profiling import Call, ProfileOptions, profile, run
from effwidgets.profiling.calls import map_tensors, tensors_in
from effwidgets.testing.specimen import Specimen

Count = Callable[[], int | None]
"""Runs once; returns MACs, or None when it counts nothing."""
Prepare = Callable[[Specimen, nn.Module], Count]

COUNTS: Final = ProfileOptions(groups=False, backward=False)
BACKWARD: Final = ProfileOptions(groups=False)


class FirstTensor(nn.Module):
    """A model that returns one tensor: what tracing peers need of those that return a mapping."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: torch.Tensor) -> torch.Tensor:
        return next(iter(tensors_in(self.model(*args))))


def forward(found: Specimen, model: nn.Module) -> Count:
    call = found.inputs()

    def count() -> None:
        with torch.no_grad():
            run(model, call)

    return count


def ours(options: ProfileOptions) -> Prepare:
    def prepare(found: Specimen, model: nn.Module) -> Count:
        call = found.inputs()
        return lambda: profile(model, call, options=options).cost.macs

    return prepare


def counter_mode(model: nn.Module, call: Call) -> Count:
    def count() -> int:
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            run(model, call)
        return int(counter.get_total_flops()) // 2  # two FLOPs a MAC

    return count


def counter_mode_real(found: Specimen, model: nn.Module) -> Count:
    return counter_mode(model, found.inputs())


def counter_mode_meta(found: Specimen, _model: nn.Module) -> Count:
    with torch.device("meta"):
        model = found.build()
    return counter_mode(model, map_tensors(found.inputs(), lambda tensor: tensor.to("meta")))


def fvcore(found: Specimen, model: nn.Module) -> Count:
    from fvcore.nn import FlopCountAnalysis

    wrapped, args = FirstTensor(model), tuple(found.inputs().args)

    def count() -> int:
        analysis = FlopCountAnalysis(wrapped, args).unsupported_ops_warnings(enabled=False)
        return int(analysis.uncalled_modules_warnings(enabled=False).total())  # one of its FLOPs is a MAC

    return count


def torchinfo(found: Specimen, model: nn.Module) -> Count:
    from torchinfo import summary

    args = list(found.inputs().args)
    return lambda: int(summary(model, input_data=args, verbose=0).total_mult_adds)


def torchprofile(found: Specimen, model: nn.Module) -> Count:
    from torchprofile import profile_macs

    wrapped, args = FirstTensor(model), tuple(found.inputs().args)
    return lambda: int(profile_macs(wrapped, args))


def calflops(found: Specimen, model: nn.Module) -> Count:
    from calflops import calculate_flops

    args = list(found.inputs().args)

    def count() -> int:
        found = calculate_flops(model, args=args, print_results=False, print_detailed=False, output_as_string=False)
        return int(found[1])

    return count


def ptflops(found: Specimen, model: nn.Module) -> Count:
    from ptflops import get_model_complexity_info

    (x,) = found.inputs().args

    def count() -> int:
        macs, _ = get_model_complexity_info(
            model, (1,), print_per_layer_stat=False, as_strings=False, input_constructor=lambda _: x, verbose=False
        )
        return int(macs) * len(x)  # its MACs are those of one of the batch

    return count


FORWARD: Final = "forward"
OURS: Final = "ours"
META: Final = "FCM meta"
CONTENDERS: Final[Mapping[str, Prepare]] = {
    FORWARD: forward,
    OURS: ours(COUNTS),
    "+backward": ours(BACKWARD),
    "default": ours(ProfileOptions()),
    "FCM": counter_mode_real,
    META: counter_mode_meta,
    "fvcore": fvcore,
    "torchinfo": torchinfo,
    "torchprof": torchprofile,
    "calflops": calflops,
    "ptflops": ptflops,
}
OWN: Final = (OURS, "+backward", "default")
FAST: Final = (FORWARD, *OWN, "FCM", META)  # without peers that have to be installed
