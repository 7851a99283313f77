"""The same model by fewer and larger kernels: `torch.compile`, compared and timed where there are data to run it on."""

from __future__ import annotations

import os
import shutil
import statistics
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar, Final, Literal

import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.profiling.calls import Call, map_tensors, run, tensors_in
from effwidgets.profiling.timing.clock import Clock
from effwidgets.records import Cost, Edit, Piece, Profile, Site, Skip, Step, settings
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.foresee import Foreseen
from effwidgets.transforms.surgery import find_layer
from effwidgets.transforms.trial import quiet_random, stand_in
from effwidgets.transforms.verify import tolerance

__all__ = ["FUSE", "Fuse", "compiler"]

BACKEND = "inductor"
"""What torch compiles with."""

_ROUNDS: Final = 9
_COPIES: Final = "torch leaves what it compiled out of copies and pickles: compile a copy again. A recipe does so."
_UNMEASURED: Final = "It was not run compiled: hand in calibration data to have answers compared and times measured."
_NO_PROMISE: Final = "Parameters, MACs and kept bytes stay; what time it saves only a measurement tells."


class Fuse:
    """Compile the model, or one module of it, in place. Nothing is promised; time is measured.

    ``Step(transform="fuse", layers=("",))`` names the model itself. No settings. With calibration data the answers are
    compared, the step is undone where they differ, and `Edit.measured` holds ``plain_s`` and ``compiled_s``: medians of
    calls in turn, after the compilation.
    """

    name: ClassVar[str] = "fuse"
    family: ClassVar[str] = "fuse"
    phase: ClassVar[Literal["structure", "format", "schedule"]] = "schedule"
    exact: ClassVar[frozenset[str]] = frozenset({"params", "param_bytes", "macs", "backward_macs", "saved_bytes"})
    reads: ClassVar[frozenset[str]] = frozenset()
    repairs: ClassVar[frozenset[str]] = frozenset()
    compiles: ClassVar[bool] = True

    def sites(self, profile: Profile) -> Iterator[Site | Skip]:
        """Yield the model itself, or why nothing can be compiled here."""
        device = profile.environment.device
        if device.startswith("cpu") and compiler() is None:
            reason = "torch.compile needs a C++ compiler (g++, clang++, or the one that CXX names), and none is here"
            yield Skip(transform=self.name, layers=("",), reason=reason)
            return
        yield Site(
            transform=self.name,
            layers=("",),
            knobs=(),
            reason="the whole model by torch.compile: fewer, larger kernels and less Python between them",
            warnings=(
                _NO_PROMISE,
                "The first call compiles, which takes seconds to minutes; other shapes compile again.",
            ),
            advised=False,
        )

    def estimate(self, profile: Profile, step: Step) -> Cost:
        """Return no change: the work stays, and its time is not told by arithmetic."""
        profile.layer(self._target(step))
        return Cost()

    def foresee(self, profile: Profile, step: Step) -> Foreseen:
        """Tell that all stands as it stood."""
        profile.layer(self._target(step))
        return Foreseen()

    def rewrite(self, model: nn.Module, step: Step, profile: Profile) -> Edit:
        """Have the module compiled when it is called first."""
        del profile
        name = self._target(step)
        module = find_layer(model, name)
        _compile(module)
        kind = type(module).__name__
        before, after = Piece(layer=name, text=kind), Piece(layer=name, text=f"{kind}, compiled")
        return Edit(step=step, before=(before,), after=(after,), notes=(_NO_PROMISE, _COPIES))

    def fit(self, model: nn.Module, original: nn.Module, edit: Edit, calibration: Calibration | None) -> Edit:
        """Compare and time on the first batch of the calibration data, on stand-ins."""
        del model
        if calibration is None:
            return replace(edit, notes=(*edit.notes, _UNMEASURED))
        name = self._target(edit.step)
        plain, fast = stand_in(original), stand_in(original)
        _compile(find_layer(fast, name))
        call = calibration.batches[0]
        with torch.inference_mode(mode=False), torch.no_grad(), warnings.catch_warnings(), quiet_random():
            warnings.simplefilter("ignore")  # the compiler's own
            try:
                answers = _answers(fast, call)
            except Exception as error:
                reason = str(error).strip().partition("\n")[0][:200]
                raise TransformError(
                    f"{edit.step}: it cannot be compiled ({type(error).__name__}: {reason})."
                ) from error
            _same(answers, _answers(plain, call), edit.step)
            seconds = _in_turn(plain, fast, call)
        slower = seconds[1] >= seconds[0]
        note = (f"It is not faster here: {seconds[0]:.3g} s before, {seconds[1]:.3g} s compiled.",) if slower else ()
        measured = settings({**dict(edit.measured), "plain_s": seconds[0], "compiled_s": seconds[1]})
        return replace(edit, measured=measured, notes=(*edit.notes, *note))

    def witness(self, original: nn.Module, edit: Edit, model: nn.Module) -> None:
        """Change nothing: the answers are the same."""

    def _target(self, step: Step) -> str:
        step.check_settings(())
        if len(step.layers) != 1:
            raise TransformError(f"{step}: fuse takes one module, '' for the model itself; {len(step.layers)} came.")
        return step.layers[0]


def compiler() -> str | None:
    """Return the C++ compiler that is here; None where there is none."""
    named = os.environ.get("CXX")
    return next(
        (found for name in (named, "g++", "clang++", "c++", "cl") if name and (found := shutil.which(name))), None
    )


def _compile(module: nn.Module) -> None:
    # As `nn.Module.compile` does it, which passes torch's own containers by: their code is not looked at unless another
    # function calls it. Nothing is compiled, and no compiler imported, before the first call.
    made: list[Callable[..., object]] = []

    def call(*args: object, **kwargs: object) -> object:
        if not made:
            from torch._dynamo.external_utils import wrap_inline

            made.append(torch.compile(wrap_inline(module._call_impl), backend=BACKEND))  # noqa: SLF001
        return made[0](*args, **kwargs)

    module._compiled_call_impl = call  # noqa: SLF001  where compile() puts it


def _answers(model: nn.Module, call: Call) -> list[Tensor]:
    return list(tensors_in(run(model, map_tensors(call, lambda tensor: tensor.detach().clone()))))


def _same(came: list[Tensor], expected: list[Tensor], step: Step) -> None:
    for new, old in zip(came, expected, strict=True):
        if not old.is_floating_point():
            continue
        off = float((new.double().nan_to_num() - old.double().nan_to_num()).norm())
        scale = float(old.double().nan_to_num().norm())
        if off > tolerance(old.dtype) * scale:
            message = (
                f"{step}: compiled, it answers {off / scale if scale else off:.2g} (relative) apart; it was not kept."
            )
            raise TransformError(message)


def _in_turn(plain: nn.Module, fast: nn.Module, call: Call) -> tuple[float, float]:
    # One call of each in turn, so that a busy moment of the machine meets both.
    clock = Clock({tensor.device for tensor in (*tensors_in(call), *plain.parameters())})
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for model, found in zip((plain, fast), times, strict=True):
            own = map_tensors(call, lambda tensor: tensor.detach().clone())
            found.append(clock.time(model, own.args, dict(own.kwargs)))
    return statistics.median(times[0]), statistics.median(times[1])


FUSE: Final = Fuse()
"""The one instance that is registered."""
