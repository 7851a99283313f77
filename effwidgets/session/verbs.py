"""The verbs of the package's face: each finds the model's session and lets it work."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from effwidgets.errors import InputError
from effwidgets.profiling import Inputs, ProfileOptions
from effwidgets.reconcile import ReconcileOptions
from effwidgets.reconcile import reconcile as reconcile_model
from effwidgets.records import Comparison, Profile, Reconciliation, Shown, Suggestions, write_page
from effwidgets.session.planned import Planned, plan_of
from effwidgets.session.session import session_of
from effwidgets.transforms import Applied
from effwidgets.transforms.apply import check_plan, options_for

if TYPE_CHECKING:
    from effwidgets.search import Evaluate, SearchOptions, Study
    from effwidgets.search.advice.suggest import Budgets

__all__ = ["apply", "explore", "preview", "profile", "reconcile", "report", "suggest"]


def profile(model: nn.Module, inputs: Inputs | None = None, *, options: ProfileOptions | None = None) -> Profile:
    """Count what every layer of ``model`` costs in one call, without running it for real.

    The count is made on a shadow of the model that holds no data; the model itself is not touched.

    Args:
        model: any ``torch.nn.Module``.
        inputs: what the model is called with: a tensor, a tuple of positional inputs, a dict of keyword inputs,
            a `Call`, or a batch as a loader yields it. Left out: the call seen last.
        options: training mode, measured latency, optimizer for the training peak.

    Returns:
        A `Profile`: parameters, MACs, bytes and the four memory numbers, for each layer and in total.

    Raises:
        InputError: ``model`` is no module, or there are no inputs.
        ModelError: the forward failed; the message names the layer.

    Example:
        >>> import torch
        >>> from effwidgets import profile
        >>> profile(torch.nn.Linear(8, 4), torch.zeros(2, 8)).cost.macs
        64
    """
    given: object = options
    if not isinstance(given, ProfileOptions | None):
        raise InputError(f"options is {type(given).__name__}; ProfileOptions(train=True, ...) was expected.")
    return session_of(model).profile(inputs, options)


def suggest(  # noqa: PLR0913  a verb of the package: all but two have a default
    model: nn.Module,
    inputs: Inputs | None = None,
    *,
    goal: str = "macs",
    budget: Budgets | None = None,
    calibration: object = None,
    evaluate: Evaluate | None = None,
) -> Suggestions:
    """Rank what could be done to the model: each step with what it saves, its measured time, and what it costs.

    Args:
        model: any ``torch.nn.Module``.
        inputs: as in `profile`; left out: the call seen last.
        goal: what to save: "macs", "params", "param_bytes", "inference_peak_bytes", "saved_bytes" or
            "training_peak_bytes" (memory of training), "download_bytes", "latency_s" (measured on this machine), or a
            registered metric that is better when lower. Each gives another list.
        budget: what the goal may be afterwards: a share (0.4 or "40%") or an amount ("1.2M"); or these by cost, of
            which all are kept. The suggestions that keep it are `Suggestions.chosen`.
        calibration: real inputs, on which the change of the outputs is measured: a batch, a list of batches or a
            ``DataLoader``. Left out: those given last for this model; where there were none, ``inputs`` themselves.
        evaluate: scores a model; then each suggestion is carried out alone, repaired and scored.

    Returns:
        `Suggestions`, best first, and a `Skip` with a reason for each place where nothing is offered.
    """
    return session_of(model).suggest(inputs, goal=goal, budget=budget, calibration=calibration, evaluate=evaluate)


def apply(
    model: nn.Module,
    plan: Planned,
    inputs: Inputs | None = None,
    *,
    calibration: object = None,
    repair: bool | Collection[str] = True,
) -> Applied:
    """Apply a plan to a copy of the model, verify each step, repair what can be repaired without labels.

    Args:
        model: the model; it is not changed.
        plan: a plan, a step or a list of steps; suggestions, ranks by rule, measured widths.
        inputs: as in `profile`.
        calibration: real inputs, for choosing and for repair. Left out: those given last for this model, so that a step
            is fitted as it was before; ``effwidgets.transforms.apply`` remembers nothing.
        repair: bring the model back afterwards where there are calibration data: True for what helps after each step,
            False for nothing, or names: "least_squares", "bias", "batch_norm".

    Returns:
        `Applied`: ``.model``, ``.profile``, ``.edits``, and ``.skipped`` with what was rolled back and why.

    Raises:
        UnknownNameError: the plan names a transformation or a layer that does not exist.
    """
    return session_of(model).apply(plan_of(plan), inputs, calibration=calibration, repair=repair)


def preview(model: nn.Module, plan: Planned, inputs: Inputs | None = None) -> Comparison:
    """Say what a plan would change, layer by layer, without building it: no weight is copied or computed.

    The numbers are those of `apply`, to the integer. A step that cannot be done is left out, and a warning says so.

    Args:
        model: the model; it is not changed.
        plan: a plan, a step or a list of steps; suggestions, ranks by rule, measured widths.
        inputs: as in `profile`; left out: the call seen last.

    Returns:
        A `Comparison` of the model as it is with what it would be.

    Raises:
        UnknownNameError: the plan names a transformation or a layer that does not exist.

    Example:
        >>> import torch
        >>> from effwidgets import Step, preview, settings
        >>> step = Step(transform="low_rank", layers=("0",), settings=settings(rank=2))
        >>> preview(torch.nn.Sequential(torch.nn.Linear(16, 16)), step, torch.ones(1, 16)).change.macs
        -192
    """
    session, wanted = session_of(model), plan_of(plan)
    check_plan(model, wanted)
    options = ProfileOptions(second_opinion=options_for(wanted).second_opinion)
    from effwidgets.transforms.preview import preview as preview_plan

    return preview_plan(model, wanted, session.call(inputs), known=session.profile(inputs, options))


def explore(
    model: nn.Module, inputs: Inputs | None = None, *, evaluate: Evaluate, options: SearchOptions | None = None
) -> Study:
    """Prepare a search over plans; nothing runs before ``study.start()`` or ``study.run()``.

    A search of the same model that is still running is cancelled; what it finished is kept.

    Args:
        model: the dense model; the study works on a copy.
        inputs: as in `profile`.
        evaluate: scores a model: returns a number, or a dict of numbers of which the first is the main one.
        options: plans, calibration, direction of the score, fine-tuning.

    Returns:
        A `Study`: show it in a notebook for the live Pareto view.
    """
    from effwidgets.search import SearchOptions
    from effwidgets.search import explore as prepare

    session = session_of(model)
    call = session.call(inputs)
    study = prepare(model, call, evaluate=evaluate, options=options or SearchOptions())
    session.watch(study, call)
    return study


def reconcile(
    model: nn.Module,
    inputs: Inputs | None = None,
    *,
    with_: str | Iterable[str] = ("fvcore", "flop_counter"),
    options: ReconcileOptions | None = None,
) -> Reconciliation:
    """Count a model beside fvcore and torch's ``FlopCounterMode``, and explain every difference, layer by layer.

    fvcore's numbers stand in many papers; this says how they come from the same model. The other counters run on a
    full copy with real numbers, a forward each (fvcore traces it, which takes about as long again); the model itself
    is not touched.

    Args:
        model: any ``torch.nn.Module``.
        inputs: as in `profile`; left out: the call seen last.
        with_: one or more of "fvcore", "flop_counter" and "flop_counter_meta" (the last needs no memory and no run).
        options: training mode; the backward too.

    Returns:
        A `Reconciliation`: for each layer ours minus theirs is the sum of its items, to the integer.

    Raises:
        UnknownNameError: no such counter.
        ModelError: the forward failed; the message names the layer.

    Example:
        >>> import torch
        >>> from effwidgets import reconcile
        >>> found = reconcile(torch.nn.Bilinear(3, 4, 5), (torch.zeros(2, 3), torch.zeros(2, 4)), with_="fvcore")
        >>> found.peer("fvcore").layer("").items[0].words
        'They have no formula for this operation: counted as zero.'
    """
    given: object = options
    if not isinstance(given, ReconcileOptions | None):
        raise InputError(f"options is {type(given).__name__}; ReconcileOptions(backward=True, ...) was expected.")
    session = session_of(model)
    call = session.call(inputs)
    named = dataclasses.replace(options or ReconcileOptions(), origin=session.name)
    found = reconcile_model(model, call, with_=with_, options=named)
    session.seen = call
    return found


def report(thing: Shown, path: str | Path) -> Path:
    """Write what has a view (a profile, suggestions, what was applied, a study) as one HTML file without a network.

    A study's holds its fronts, each candidate with its recipe, the environment, and how to do the search again.

    Returns:
        The path written.

    Raises:
        InputError: none of these, or a file that cannot be written.
    """
    if not isinstance(thing, Shown):
        raise InputError(
            f"A profile, suggestions, what was applied or a study was expected, and {type(thing).__name__} came."
        )
    return write_page(thing, path)
