"""`replay`: do what a recipe says to another copy of the same architecture, with values from that copy."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from effwidgets.errors import InputError, RecipeError
from effwidgets.profiling.calls import Inputs
from effwidgets.profiling.shadow import check_module
from effwidgets.records import Plan
from effwidgets.transforms.applied import Applied
from effwidgets.transforms.apply import apply
from effwidgets.transforms.recipes.architecture import architecture_of, difference
from effwidgets.transforms.recipes.recipe import Recipe, read_recipe

__all__ = ["replay"]


def replay(source: str | Path | Recipe, model: nn.Module, inputs: Inputs, *, calibration: object = None) -> Applied:
    """Carry out the edits of a recipe on ``model``: the same architecture, trained otherwise.

    The saved tensors are not read: factors, kept channels and repair come from ``model`` and its calibration data. What
    was skipped when the recipe was made is not tried again.

    Args:
        source: the folder that `save` wrote, or what `read_recipe` made of it.
        model: what to edit; it is not changed.
        inputs: what the model is called with.
        calibration: batches of real inputs; see `apply`.

    Raises:
        RecipeError: the recipe cannot be read, or ``model`` is another architecture; the first layer that differs is
            named.
        InputError: not a module, or inputs or calibration data of an unknown kind.
        ModelError: the forward of ``model`` itself fails.

    >>> import tempfile, torch
    >>> from effwidgets import Plan, Step, apply, save, settings
    >>> step = Step(transform="low_rank", layers=("0",), settings=settings(rank=2))
    >>> applied = apply(nn.Sequential(nn.Linear(8, 8)), Plan(steps=(step,)), torch.ones(1, 8))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save(applied, f"{folder}/small")
    ...     replay(path, nn.Sequential(nn.Linear(8, 8)), torch.ones(1, 8)).model[0][0]
    Linear(in_features=8, out_features=2, bias=False)
    """
    check_module(model)
    recipe = source if isinstance(source, Recipe) else read_recipe(_path(source))
    wrong = difference(architecture_of(model), recipe.dense)
    if wrong:
        raise RecipeError(f"The recipe was made from another architecture than {type(model).__name__}: {wrong}.")
    plan = Plan(steps=tuple(edit.step for edit in recipe.edits))
    return apply(model, plan, inputs, calibration=calibration)


def _path(source: object) -> str | Path:
    if isinstance(source, str | Path):
        return source
    raise InputError(f"{type(source).__name__} came; the folder that save() wrote, or a Recipe, was expected.")
