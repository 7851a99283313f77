"""Prepare a search."""

from __future__ import annotations

from torch import nn

from effwidgets.errors import InputError
from effwidgets.profiling.calls import Inputs, as_call
from effwidgets.search.crews.hire import check_executor
from effwidgets.search.engine.options import Evaluate, SearchOptions
from effwidgets.search.engine.study import Study
from effwidgets.search.engine.workshop import Workshop

__all__ = ["explore"]


def explore(
    model: nn.Module,
    inputs: Inputs,
    *,
    evaluate: Evaluate,
    options: SearchOptions | None = None,
    origin: str = "",
) -> Study:
    """Prepare a search; nothing runs before `Study.start` or `Study.run`.

    The study works on a copy of ``model`` made here, so you may go on training yours.

    Args:
        model: the dense model.
        inputs: what it is called with, as for `profile`.
        evaluate: scores a model in evaluation mode: a number, or a dict of numbers of which the first is the main one.
            It is called on threads of the study, or where ``options.executor`` is; one that raises or returns no finite
            number fails that candidate only.
        options: plans, how many trials and by whom, calibration, fine-tuning, budgets, store, limits.
        origin: name of the session that shows it.

    Raises:
        InputError: no module, one that cannot be copied, or an ``evaluate`` that cannot be called.

    Example:
        >>> import torch
        >>> from effwidgets.records import Plan, Step, settings
        >>> model = torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4)).eval()
        >>> x = torch.eye(16)
        >>> target = model(x).argmax(1)
        >>> def agreement(candidate):
        ...     return (candidate(x).argmax(1) == target).double().mean().item()
        >>> step = Step(transform="low_rank", layers=("0",), settings=settings(rank=4))
        >>> study = explore(model, x, evaluate=agreement, options=SearchOptions(plans=(Plan(steps=(step,)),)))
        >>> [candidate.cost.macs for candidate in study.run().candidates()]
        [5120, 3072]
    """
    from effwidgets.search.store.open import store_of

    chosen = options or SearchOptions()
    if not isinstance(chosen, SearchOptions):
        raise InputError(f"options is {type(chosen).__name__}; SearchOptions(calibration=..., ...) was expected.")
    check_executor(chosen.executor)
    store = store_of(chosen.store)
    workshop = Workshop(model, as_call(inputs), evaluate, chosen)
    return Study(workshop, chosen, store, title=type(model).__name__, origin=origin)
