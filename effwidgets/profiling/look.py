"""The runs over a private copy of a model that find out what a profile says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from effwidgets.errors import EffError
from effwidgets.profiling.calls import Call, run, tensors_in
from effwidgets.profiling.coupling.coupling import unknown
from effwidgets.profiling.coupling.flow import Flow
from effwidgets.profiling.coupling.saved import Kept
from effwidgets.profiling.doubts import Doubts
from effwidgets.profiling.ends import Trail
from effwidgets.profiling.failures import model_error, python_random_kept, quiet
from effwidgets.profiling.memory import Ledger
from effwidgets.profiling.passes import CountingPass, Keeper, pass_after
from effwidgets.profiling.recorder import Recorder
from effwidgets.profiling.seams import seams_of
from effwidgets.profiling.spans import carried, handed_of, spans_of, staying
from effwidgets.profiling.values import Values
from effwidgets.records import Group, Handed, Seam, Span

__all__ = ["Findings", "Wanted", "look"]


@dataclass(slots=True)
class Findings:
    """What the passes over one model found."""

    recorder: Recorder
    inference: Ledger
    training: Ledger | None = None
    groups: tuple[Group, ...] | None = None
    soft: dict[str, tuple[str, ...]] = field(default_factory=dict)
    seams: tuple[Seam, ...] = ()
    spans: tuple[Span, ...] = ()
    handed: tuple[Handed, ...] = ()
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to find out.

    Attributes:
        train: look at the model in training mode.
        backward: run a backward too.
        groups: follow the channels in the same run; on a shadow alone.
        seams: note what is kept between modules, and what they hand one another.
        strict: a forward that asks for values fails, also where it goes on without them.
    """

    train: bool = False
    backward: bool = True
    groups: bool = False
    seams: bool = False
    strict: bool = False


def look(model: nn.Module, call: Call, values: Values | None, wanted: Wanted) -> Findings:
    """Run the model, which is a private copy, and count."""
    model.train(wanted.train)
    recorder = Recorder(model, Trail() if wanted.seams else None)
    findings = Findings(recorder, Ledger())
    try:
        with quiet(), torch.inference_mode(mode=False):
            if values is None:
                _look_forward(model, call, None, findings, CountingPass)
                _look_back(model, call, findings, wanted)
            else:
                _look_at_shadow(model, call, values, findings, wanted)
        if wanted.seams:
            findings.handed = handed_of(recorder.tallies)
        if recorder.hidden:
            names = ", ".join(name or "the model itself" for name in sorted(recorder.hidden)[:4])
            findings.notes.append(f"The kernel of {names} keeps a workspace out of sight: memory is at least this.")
    except EffError:
        raise
    except Exception as error:  # the model's own forward
        raise model_error(recorder, call, error) from error
    return findings


def _outside(recorder: Recorder, call: Call) -> list[torch.Tensor]:
    return [*recorder.tree.tensors(), *tensors_in(call)]


def _look_at_shadow(model: nn.Module, call: Call, values: Values, findings: Findings, wanted: Wanted) -> None:
    kind: type[CountingPass] = CountingPass
    while (error := _look_at_once(model, call, values, findings, wanted, kind)) is not None:
        findings.recorder.forget()
        another = pass_after(kind, error)
        if another is None:
            findings.notes.append(_no_backward(error))
            _climb_forward(model, call, values, findings, kind)
            return
        kind = another


def _climb_forward(model: nn.Module, call: Call, values: Values, findings: Findings, kind: type[CountingPass]) -> None:
    """Run a shadow without gradients, in the first way that its operations allow."""
    while True:
        try:
            _look_forward(model, call, values, findings, kind)
        except EffError:
            raise
        except Exception as error:
            another = pass_after(kind, error)
            if another is None:
                raise
            findings.recorder.forget()
            kind = another
        else:
            return


def _look_at_once(  # noqa: PLR0913, PLR0917  what look() was given, and how
    model: nn.Module, call: Call, values: Values, findings: Findings, wanted: Wanted, kind: type[CountingPass]
) -> Exception | None:
    """Run a shadow with gradients; what runs without them would hold is seen in the same run."""
    recorder = findings.recorder
    given = _outside(recorder, call)
    ledger = Ledger(given)
    flow = Flow(recorder) if wanted.groups else None
    passing = kind(recorder, ledger, values, flow=flow)
    passing.given = given
    keeper = Keeper(recorder, ledger, passing.answers)
    doubts = passing.doubts = Doubts(ledger, keeper.pack)
    with python_random_kept(), torch.enable_grad(), recorder.watching(ledger), passing:
        try:
            with keeper.hooks():
                outputs = run(model, call)
        except EffError:
            raise
        except Exception as error:  # noqa: BLE001  the model's own forward; in another way it may run
            return error
        findings.inference = ledger
        if wanted.seams:
            findings.seams = seams_of(recorder.tallies, keeper.kept)
            findings.spans = spans_of(recorder.tallies, keeper.kept)
        if passing.refused is not None:
            if wanted.strict:
                raise model_error(recorder, call, passing.refused) from passing.refused
            findings.notes.append(
                f"The forward asked for values ({type(passing.refused).__name__}) and went on without them: with real "
                "numbers it may go another way."
            )
        if flow is not None:
            _follow_up(flow, passing, outputs, findings, keeper.kept)
        doubtful = doubts.remain(outputs)
        if wanted.backward:
            _back(passing, outputs, findings, ledger)
    del outputs
    if doubtful:
        _look_without(model, call, values, findings, kind)
    return None


def _look_without(model: nn.Module, call: Call, values: Values, findings: Findings, kind: type[CountingPass]) -> None:
    """Count the forward again, without gradients; what the run with them found stays where that does not run."""
    recorder, inference = findings.recorder, findings.inference
    before = recorder.forget_forward()
    try:
        _look_forward(model, call, values, findings, kind)
    except EffError:
        raise
    except Exception:  # noqa: BLE001  the model's own forward
        findings.inference = inference
        recorder.bring_back(before)


def _follow_up(flow: Flow, passing: CountingPass, outputs: Any, findings: Findings, kept: Sequence[Kept]) -> None:
    if passing.flow_error is None:
        try:
            flow.end(outputs)
            follow = staying(findings.recorder.tallies, kept, findings.spans)
            findings.groups, findings.spans = carried(flow.groups([*kept, *follow]), findings.spans)
            findings.soft = flow.soft
            if not findings.groups and _might_couple(findings.recorder):
                findings.notes.append(
                    "No layer's channels could be followed: the weights are cast or computed before they are used "
                    "(autocast, a parametrization)."
                )
        except Exception as error:  # noqa: BLE001  anybody's outputs
            passing.flow_error = error
    if passing.flow_error is not None:
        findings.groups = ()
        findings.notes.append(unknown(passing.flow_error))


def _might_couple(recorder: Recorder) -> bool:
    ran = (module for name, module in recorder.tree.modules.items() if recorder.tallies[name].calls)
    return sum(isinstance(module, nn.Linear | nn.modules.conv._ConvNd) for module in ran) > 1


def _look_forward(
    model: nn.Module, call: Call, values: Values | None, findings: Findings, kind: type[CountingPass]
) -> None:
    recorder = findings.recorder
    ledger = findings.inference = Ledger(_outside(recorder, call))
    passing = kind(recorder, ledger, values)
    with python_random_kept(), torch.no_grad(), recorder.watching(ledger), passing:
        run(model, call)


def _look_back(model: nn.Module, call: Call, findings: Findings, wanted: Wanted) -> None:
    """Run real numbers with gradients, after a run without."""
    recorder = findings.recorder
    given = _outside(recorder, call)
    ledger = Ledger(given)
    keeper = Keeper(recorder, ledger, None)
    passing = CountingPass(recorder, ledger, None, counts=False)
    passing.given = given
    with python_random_kept(), torch.enable_grad(), recorder.watching(), passing:
        try:
            with keeper.hooks():
                outputs = run(model, call)
        except EffError:
            raise
        except Exception as error:  # noqa: BLE001  the model's own forward
            findings.notes.append(_no_backward(error))
            return
        if wanted.backward:
            _back(passing, outputs, findings, ledger)


def _back(passing: CountingPass, outputs: Any, findings: Findings, ledger: Ledger) -> None:
    tensors = findings.recorder.tree.tensors()
    try:
        worked = any(tally.macs for tally in findings.recorder.tallies.values())
        if passing.backward(outputs) or not (worked and any(tensor.requires_grad for tensor in tensors)):
            findings.training = ledger
        else:
            findings.notes.append(
                "The outputs hold no tensor that asks for a gradient (one inside an object of your own is not found), "
                "so no backward was run."
            )
        if passing.foreign:
            findings.notes.append(
                "The forward uses parameters that are not the model's own: their work is counted where it is called "
                "from, they are no parameters of this model, and no gradient goes to them."
            )
    except EffError:
        raise
    except Exception as error:  # noqa: BLE001  a backward that does not exist
        findings.notes.append(_no_backward(error))
    finally:
        for tensor in tensors:
            tensor.grad = None


def _no_backward(error: Exception) -> str:
    reason = str(error).partition("\n")[0][:160]
    return (
        f"With gradients the model does not run ({type(error).__name__}: {reason}): what is said about the "
        "backward is incomplete."
    )
