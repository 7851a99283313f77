"""Verbs about what can be done to a model, and about what was done: take it back, look at it, hand it on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from effwidgets.errors import InputError
from effwidgets.profiling import Inputs, ProfileOptions
from effwidgets.records import Difference, Sites, Step
from effwidgets.session.session import adopt, session_of
from effwidgets.transforms import Applied, Written
from effwidgets.transforms import diff as compare_trees
from effwidgets.transforms import export as write
from effwidgets.transforms import replay as carry_out
from effwidgets.transforms import undo as take_back
from effwidgets.transforms.base import TRANSFORMS

if TYPE_CHECKING:
    from effwidgets.transforms.exports.export import Format
    from effwidgets.transforms.recipes.recipe import Recipe

__all__ = ["diff", "download_bytes", "export", "replay", "sites", "undo"]


def sites(model: nn.Module, inputs: Inputs | None = None, *, technique: str | Iterable[str] | None = None) -> Sites:
    """Say where each technique can be applied, with which settings, and why not elsewhere: expert choices too.

    `suggest` tries and ranks what is advised; this lists all that a `Plan` may name. Nothing is tried.

    Args:
        model: any ``torch.nn.Module``.
        inputs: as in `profile`; left out: the call seen last.
        technique: the name of one, or of several; left out: all.

    Returns:
        `Sites`: by technique, the sites with their settings and the skips with their reasons.

    Raises:
        UnknownNameError: no such technique; the message lists the known ones.

    Example:
        >>> import torch
        >>> from effwidgets import sites
        >>> found = sites(torch.nn.Sequential(torch.nn.Linear(64, 64)), torch.ones(1, 64), technique="low_rank")
        >>> found.sites[0].layers, found.sites[0].knobs[0].break_even
        (('0',), 31)
    """
    names = _names(technique)
    for name in names or ():
        TRANSFORMS[name]
    session = session_of(model)
    profile = session.profile(inputs, ProfileOptions(second_opinion=True))
    from effwidgets.transforms.offers import sites_of

    return dataclasses.replace(sites_of(profile, names), origin=session.name)


def undo(applied: Applied, step: Step | int | None = None, *, last: int = 1) -> Applied:
    """Return ``applied`` without a step, or without the last ones; ``applied`` and its model stay as they are.

    The layers of the step are what they were before it, to the bit; all others stay, with what repair and training
    made of them. Later steps on the same layers are done again from there.

    Args:
        applied: what `apply` returned.
        step: which one: a step of ``applied.edits``, or its number there; None for the last ones.
        last: how many of the last edits, where no step is named.

    Raises:
        InputError: not what `apply` returned, or fewer edits than ``last``.
        UnknownNameError: no such step was done.
        TransformError: ``applied`` does not hold any more what its edits replaced, or the model does not run after it.

    Example:
        >>> import torch
        >>> from effwidgets import Step, apply, settings, undo
        >>> model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 8))
        >>> steps = [Step(transform="low_rank", layers=(name,), settings=settings(rank=2)) for name in "01"]
        >>> undo(apply(model, steps, torch.ones(1, 8)), 0).model[0]
        Linear(in_features=8, out_features=8, bias=True)
    """
    left = take_back(applied, step, last=last)
    history = left.history
    return left if history is None else adopt(left, history.call, history.calibration)


def diff(before: nn.Module | Applied, after: nn.Module | Applied | None = None) -> Difference:
    """Compare two module trees: which modules go and which come, with what they are set to and hold.

    Values are not compared: two models with other weights in the same modules do not differ.

    Args:
        before: a model, or what `apply` returned, whose edited model is meant.
        after: the same; left out: what was applied to ``before`` last.

    Raises:
        InputError: something else, or nothing was applied.

    Example:
        >>> import torch
        >>> from effwidgets import Step, apply, diff, settings
        >>> model = torch.nn.Sequential(torch.nn.Linear(8, 8))
        >>> step = Step(transform="low_rank", layers=("0",), settings=settings(rank=2))
        >>> [str(line)[:10] for line in diff(model, apply(model, step, torch.ones(1, 8))).lines]
        ['- 0: Linea', '+ 0.0: Lin', '+ 0.1: Lin']
    """
    if after is None:
        after = session_of(before).applied if isinstance(before, nn.Module) else None
        if after is None:
            raise InputError("Nothing was applied to it, so there is nothing to compare: diff(before, after).")
    return compare_trees(before, after)


def replay(
    source: str | Path | Recipe, model: nn.Module, inputs: Inputs | None = None, *, calibration: object = None
) -> Applied:
    """Carry out the edits of a saved recipe on another model: the same architecture, trained otherwise.

    The saved tensors are not read: factors, kept channels and repair come from ``model`` and its calibration data.

    Args:
        source: the folder that `save` wrote.
        model: what to edit; it is not changed.
        inputs: as in `profile`; left out: the call seen last.
        calibration: real inputs; see `apply`.

    Raises:
        RecipeError: the recipe cannot be read, or ``model`` is another architecture; the first layer that differs is
            named.

    Example:
        >>> import tempfile, torch
        >>> from effwidgets import Step, apply, replay, save, settings
        >>> build = lambda: torch.nn.Sequential(torch.nn.Linear(8, 8))
        >>> step = Step(transform="low_rank", layers=("0",), settings=settings(rank=2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = save(apply(build(), step, torch.ones(1, 8)), f"{folder}/small")
        ...     replay(path, build(), torch.ones(1, 8)).model[0][0]
        Linear(in_features=8, out_features=2, bias=False)
    """
    session = session_of(model)
    call = session.call(inputs)
    data = session.data(calibration, call)
    done = carry_out(source, model, call, calibration=data)
    session.seen, session.calibration = call, data
    return session.keep(adopt(done, call, data))


def export(
    model: nn.Module | Applied,
    inputs: Inputs | None = None,
    path: str | Path = "",
    *,
    format: Format = "torch",  # noqa: A002  the word that everybody expects here
    dynamic: bool = True,
) -> Written:
    """Write a model as a program that runs without its Python code, read it back, and compare the answers.

    ``"torch"`` is what `torch.export.load` reads (``.pt2``); ``"onnx"`` needs ``pip install effwidgets[onnx]``.

    Args:
        model: a module, or what `apply` returned.
        inputs: as in `profile`; the first dimension of the first tensor is the batch. Left out: the call seen last.
        path: the file to write; an earlier one there is replaced when the new one is whole.
        format: "torch" or "onnx".
        dynamic: let batches of other sizes in; where the model cannot have that, `Written.notes` says why.

    Raises:
        InputError: no path, inputs of an unknown kind, an extra that is not installed.
        UnknownNameError: another format.
        TransformError: the model cannot be exported, or what was written answers otherwise; nothing was left at
            ``path``.

    Example:
        >>> import tempfile, torch
        >>> from effwidgets import export
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = export(torch.nn.Linear(4, 2), torch.ones(2, 4), path=f"{folder}/model.pt2")
        ...     tuple(torch.export.load(written.path).module()(torch.ones(5, 4)).shape)
        (5, 2)
    """
    session = session_of(model.model if isinstance(model, Applied) else model)
    return write(model, session.call(inputs), path, format=format, dynamic=dynamic)


def download_bytes(applied: Applied) -> int:
    """Return the bytes of an edited model as a download, with the weights that `codebook` or `unstructured` made coded.

    All else counts as it is. The codes (run lengths and Huffman's) are measured on the values that each edit left.

    Raises:
        InputError: not what `apply` returned.

    Example:
        >>> import torch
        >>> from effwidgets import apply, download_bytes, sparsity_plan
        >>> model, x = torch.nn.Sequential(torch.nn.Linear(100, 100)), torch.ones(1, 100)
        >>> applied = apply(model, sparsity_plan(model, x, 0.95), x)
        >>> applied.profile.cost.param_bytes, download_bytes(applied) < 3300
        (40400, True)
    """
    given: object = applied
    if not isinstance(given, Applied):
        raise InputError(f"{type(given).__name__} came; what apply() returned was expected.")
    from effwidgets.transforms.formats.download import download_bytes as coded_bytes

    return coded_bytes(applied.profile, applied.edits)


def _names(technique: object) -> list[str] | None:
    if technique is None or isinstance(technique, str):
        return None if technique is None else [technique]
    held = list(technique) if isinstance(technique, Iterable) else []
    if not held or not all(isinstance(name, str) for name in held):
        raise InputError(f"technique is {technique!r}; a name such as 'low_rank', or several, were expected.")
    return held
