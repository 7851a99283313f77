"""A recipe rebuilds an edited model anywhere: the edits as JSON, the tensors as safetensors, in one folder, no pickle.

``recipe.json`` holds the plan, each edit, and the dense architecture that it starts from; ``model.safetensors`` holds
the tensors. To load, the dense architecture is built by the caller's own code, the edits are made again by structure,
and the tensors are filled in.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn

from effwidgets.errors import EffError, InputError, RecipeError, UnknownNameError
from effwidgets.profiling.profile import parameters_only
from effwidgets.records import Cost, Edit, Plan, Profile
from effwidgets.transforms.apply import Applied, private_copy
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.recipes.architecture import Line, architecture_of, difference, fingerprint
from effwidgets.transforms.recipes.tensors import read_tensors, write_tensors

__all__ = ["SCHEMA", "Build", "Recipe", "folder_of", "load", "read_recipe", "recipe_text", "save"]

SCHEMA = 1
"""Grows when an older effwidgets could not read what is written."""

_JSON, _TENSORS = "recipe.json", "model.safetensors"

Build: TypeAlias = Callable[[], nn.Module] | nn.Module
"""What makes the dense architecture; its numbers do not matter. A module is copied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What ``recipe.json`` says.

    Attributes:
        model: class name of the model.
        dense: the architecture that the edits start from.
        plan: what was asked for.
        edits: what was done.
        described: for each edit, the index in ``profiles`` of what its rewrite read; None where it read nothing.
        profiles: those profiles.
        training: paths of the modules that were in training mode.
        cost_before: of the dense model.
        cost_after: of the edited model.
        made_with: versions of effwidgets and torch.
    """

    model: str
    dense: tuple[Line, ...]
    plan: Plan
    edits: tuple[Edit, ...]
    described: tuple[int | None, ...]
    profiles: tuple[Profile, ...]
    training: tuple[str, ...]
    cost_before: Cost
    cost_after: Cost
    made_with: tuple[str, str]


def save(applied: Applied, path: str | Path) -> Path:
    """Write an edited model into the folder ``path``, as it is now: fine-tuned weights are saved too.

    The folder is written aside and moved into place when it is whole; an earlier recipe there is replaced then.

    Returns:
        the folder.

    Raises:
        InputError: not what `apply` returned, or no path.
        RecipeError: ``path`` is something else than a recipe, it cannot be written, or the model holds state that is
            no tensor.
    """
    if not isinstance(applied, Applied):
        raise InputError(f"{type(applied).__name__} came; what apply() returned was expected: save(apply(...), path).")
    target = folder_of(path)
    text = recipe_text(applied)
    try:
        _write(applied.model, text, target)
    except OSError as error:
        raise RecipeError(
            f"{target} could not be written: {error}. What stood there before is as it was. Choose another folder, or "
            "make room."
        ) from error
    return target


def recipe_text(applied: Applied) -> str:
    """Return what ``recipe.json`` says of an edited model: how it is made, without its numbers."""
    return json.dumps(_to_json(applied), indent=1, allow_nan=False) + "\n"


def folder_of(path: str | Path) -> Path:
    """Return a path as one.

    Raises:
        InputError: it is something else, or nothing.
    """
    if not isinstance(path, str | Path) or str(path) in ("", "."):
        raise InputError(f"The path is {path!r}; the name of a folder was expected, such as 'small'.")
    return Path(path)


def _write(model: nn.Module, text: str, target: Path) -> None:
    if target.exists() and not (target / _JSON).is_file() and not (target.is_dir() and not any(target.iterdir())):
        raise RecipeError(f"{target} exists and is not a recipe; nothing was written. Choose another folder.")
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    new, old = aside / "new", aside / "old"
    try:
        new.mkdir()
        (new / _JSON).write_text(text, encoding="utf-8")
        write_tensors(model, new / _TENSORS)
        if target.exists():
            target.rename(old)
        new.rename(target)
    finally:
        if not target.exists() and old.exists():
            try:
                old.rename(target)
            except OSError as error:
                raise RecipeError(f"{target} could not be put back ({error}); what stood there is in {old}.") from error
        shutil.rmtree(aside, ignore_errors=True)


def _to_json(applied: Applied) -> dict[str, Any]:
    profiles: list[Profile] = []
    described: list[int | None] = []
    for profile in applied.described:
        if profile is not None and all(profile is not known for known in profiles):
            profiles.append(profile)
        index = next((number for number, known in enumerate(profiles) if known is profile), None)
        described.append(index)
    return {
        "schema": SCHEMA,
        "effwidgets": version("effwidgets"),
        "torch": torch.__version__,
        "model": applied.before.model,
        "fingerprint": fingerprint(applied.dense),
        "dense": [list(line) for line in applied.dense],
        "plan": applied.plan.to_dict(),
        "edits": [edit.to_dict() for edit in applied.edits],
        "described": described,
        "profiles": [profile.to_dict() for profile in profiles],
        "training": [name for name, module in applied.model.named_modules() if module.training],
        "cost": {"before": applied.before.cost.to_dict(), "after": applied.profile.cost.to_dict()},
    }


def read_recipe(path: str | Path) -> Recipe:
    """Read what a recipe says, without building anything.

    Raises:
        RecipeError: no folder, no recipe in it, damaged, or written by a newer effwidgets.
    """
    folder = folder_of(path)
    if not (folder / _JSON).is_file():
        missing = f"has no {_JSON}" if folder.is_dir() else "is not a folder"
        raise RecipeError(f"{folder} {missing}; give the folder that save() wrote.")
    try:
        data = json.loads((folder / _JSON).read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise RecipeError(f"{folder / _JSON} cannot be read: {error}. It is damaged; save the model again.") from error
    schema = data.get("schema") if isinstance(data, Mapping) else None
    if not isinstance(schema, int):
        raise RecipeError(f"{folder / _JSON} is not a recipe of effwidgets: it names no schema.")
    if schema > SCHEMA:
        made = data.get("effwidgets", "a newer version")
        raise RecipeError(
            f"{folder} was written by effwidgets {made} (schema {schema}); this is {version('effwidgets')}, which "
            f"reads up to schema {SCHEMA}. Install a newer effwidgets."
        )
    try:
        return _from_json(data)
    except (KeyError, TypeError, ValueError) as error:
        raise RecipeError(f"{folder / _JSON} is damaged ({error}); save the model again.") from error


def _from_json(data: Mapping[str, Any]) -> Recipe:
    dense = tuple((str(name), str(line)) for name, line in data["dense"])
    if fingerprint(dense) != data["fingerprint"]:
        message = "the dense architecture does not match its fingerprint"
        raise ValueError(message)
    recipe = Recipe(
        model=data["model"],
        dense=dense,
        plan=Plan.from_dict(data["plan"]),
        edits=tuple(Edit.from_dict(edit) for edit in data["edits"]),
        described=tuple(data["described"]),
        profiles=tuple(Profile.from_dict(profile) for profile in data["profiles"]),
        training=tuple(data["training"]),
        cost_before=Cost.from_dict(data["cost"]["before"]),
        cost_after=Cost.from_dict(data["cost"]["after"]),
        made_with=(data["effwidgets"], data["torch"]),
    )
    if len(recipe.described) != len(recipe.edits):
        message = "as many entries in described as in edits were expected"
        raise ValueError(message)
    known = (None, *range(len(recipe.profiles)))
    if any(isinstance(index, bool) or index not in known for index in recipe.described):
        message = f"described names other profiles than the {len(recipe.profiles)} that there are"
        raise ValueError(message)
    return recipe


def load(path: str | Path, build: Build) -> nn.Module:
    """Rebuild an edited model.

    Args:
        path: the folder that `save` wrote.
        build: makes the dense architecture (``lambda: ResNet(depth=20)``), or is one, which is copied.

    Returns:
        the edited model with its tensors and training flags.

    Raises:
        RecipeError: the folder cannot be read, or what ``build`` makes is not the architecture that it was made from;
            the first layer that differs is named.
    """
    recipe = read_recipe(path)
    model = _built(build)
    wrong = difference(architecture_of(model), recipe.dense)
    if wrong:
        raise RecipeError(f"{path} was made from another architecture than {type(model).__name__}: {wrong}.")
    for number in range(len(recipe.edits)):
        _replay(model, recipe, number)
    read_tensors(model, folder_of(path) / _TENSORS)
    training = set(recipe.training)
    for name, module in model.named_modules():
        module.training = name in training
    return model


def _built(build: Build) -> nn.Module:
    if isinstance(build, nn.Module):
        return private_copy(build)
    if not callable(build):
        raise InputError(f"build is {type(build).__name__}; a function that makes the dense model was expected.")
    try:
        model = build()
    except Exception as error:
        raise RecipeError(
            f"build() raised {type(error).__name__}: {error}. A function without arguments that makes the dense model "
            "was expected."
        ) from error
    if not isinstance(model, nn.Module):
        raise RecipeError(f"build() returned {type(model).__name__}; the dense model, a torch.nn.Module, was expected.")
    return model


def _replay(model: nn.Module, recipe: Recipe, number: int) -> None:
    edit, index = recipe.edits[number], recipe.described[number]
    try:
        transform = TRANSFORMS[edit.step.transform]
    except UnknownNameError as error:
        raise RecipeError(
            f"Edit {number + 1} needs the transformation {edit.step.transform!r}, which no installed package brings. "
            "Install the one that it was made with."
        ) from error
    try:
        profile = parameters_only(model) if index is None else recipe.profiles[index]
        transform.rewrite(model, edit.step, profile)
    except (EffError, IndexError) as error:
        raise RecipeError(f"Edit {number + 1}, {edit.step}, cannot be made again: {error}") from error
