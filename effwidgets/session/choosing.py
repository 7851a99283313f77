"""The verb that chooses a plan under budgets, carries it out and says what is true of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import nn

from effwidgets.errors import InputError
from effwidgets.profiling import Inputs
from effwidgets.records import Chosen, Option, Progress, Sensitivity
from effwidgets.session.session import session_of

if TYPE_CHECKING:
    from effwidgets.search import Evaluate

__all__ = ["choose"]


def choose(  # noqa: PLR0913  a verb of the package: each has a plain meaning, all but the first a default
    model: nn.Module,
    inputs: Inputs | None = None,
    budgets: Mapping[str, float | str] | None = None,
    *,
    evaluate: Evaluate | None = None,
    calibration: object = None,
    options: Sensitivity | Sequence[Option] | None = None,
) -> Chosen:
    """Choose what to do so that the model keeps several budgets at once, at the least predicted loss.

    Each place is tried with a few settings, alone and repaired (`sensitivity`); a knapsack over the places adds up what
    they lose. Such sums are rough, so the plan is carried out, and what is true stands beside what was predicted. A
    plan that misses a budget corrects the prediction, and another is chosen.

    Args:
        model: any ``torch.nn.Module``; it is not changed.
        inputs: as in `profile`; left out: the call seen last.
        budgets: the most that each cost may be: ``{"macs": 0.5, "latency_s": "3 ms", "bytes": "1.2 MB"}``. Up to 1
            it is a share of what the model takes now ("60%"). Costs: "macs", "params", "bytes", "peak_bytes",
            "latency_s" (measured on this machine) and every registered metric.
        evaluate: scores a model; only the model as it is and the one that was chosen are scored.
        calibration: real inputs, no labels (see `calibration_of`); left out: those given last for this model.
        options: what to choose among, where it was measured already: a `Sensitivity`, or its options.

    Returns:
        A `Chosen`: predicted and true for each budget, loss and scores; ``.plan`` is for `apply`.

    Raises:
        InputError: budgets that leave nothing, or that no plan keeps: the message says the least that each can reach.
        UnknownNameError: no such cost.
        ModelError: the model's forward fails.

    Example:
        >>> import torch
        >>> from effwidgets import choose
        >>> model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8))
        >>> found = choose(model, torch.eye(64), {"macs": 0.6, "params": 0.7})
        >>> found.met, found.budget("macs").true <= 0.6 * found.budget("macs").now
        (True, True)
    """
    from effwidgets.search.selection.select import SelectOptions, select

    if not isinstance(budgets, Mapping) or not budgets:
        raise InputError(f"budgets is {budgets!r}; something like {{'macs': 0.5, 'latency_s': '60%'}} was expected.")
    session = session_of(model)
    call = session.call(inputs)
    data = session.data(calibration, call)
    known = options.options if isinstance(options, Sensitivity) else options
    asked = SelectOptions(options=known, calibration=data, evaluate=evaluate)
    session.bench.progress(Progress(state="working", message="Chooses under budgets"))
    try:
        found, _ = select(model, call, budgets, asked, session.check)
    except BaseException:
        session.bench.progress(Progress(state="failed", message="No plan was chosen."))
        raise
    session.seen, session.calibration = call, data
    session.bench.progress(Progress(state="done"))
    return dataclasses.replace(found, origin=session.name)
