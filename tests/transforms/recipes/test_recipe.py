"""A recipe rebuilds an edited model anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from effwidgets.errors import InputError, RecipeError
from effwidgets.records import Plan, Step, settings
from effwidgets.testing.zoo import specimen
from effwidgets.transforms.apply import Applied, apply
from effwidgets.transforms.recipes.recipe import SCHEMA, load, read_recipe, save

PLAN = Plan(
    steps=(
        Step(transform="channel_prune", layers=("stem.0",), settings=settings(channels=5)),
        Step(transform="spatial_svd", layers=("block2.conv2",), settings=settings(rank=9)),
        Step(transform="channel_prune", layers=("block1.conv1",), settings=settings(channels=3, criterion="bn")),
        Step(transform="bottleneck", layers=("block2.conv1",), settings=settings(rank_in=3, rank_out=7)),
        Step(transform="low_rank", layers=("head",), settings=settings(rank=4)),
    )
)
FRESH = """
import sys, torch
from effwidgets.transforms.recipes.recipe import load
from effwidgets.testing.zoo import specimen
found = specimen("residual")
model = load(sys.argv[1], found.build)
assert not any(module.training for module in model.modules())
with torch.no_grad():
    outputs = model(*found.inputs().args)
sys.stdout.buffer.write(outputs.numpy().tobytes())
"""


def build() -> nn.Module:
    return specimen("residual").build()


def image() -> Tensor:
    (found,) = specimen("residual").inputs().args
    return found


@pytest.fixture(scope="module")
def applied() -> Applied:
    done = apply(build(), PLAN, image(), calibration=[image()])
    assert not done.skipped
    return done


@pytest.fixture
def folder(applied, tmp_path) -> Path:
    return save(applied, tmp_path / "small")


def test_a_fresh_process_answers_bit_for_bit_as_this_one(applied, folder):
    with torch.no_grad():
        expected = applied.model(image())
    run = subprocess.run([sys.executable, "-c", FRESH, str(folder)], capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    assert run.stdout == expected.numpy().tobytes()


def test_the_folder_holds_json_and_safetensors_and_no_pickle(folder, monkeypatch):
    assert sorted(file.name for file in folder.iterdir()) == ["model.safetensors", "recipe.json"]
    import pickle

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, lambda *_: pytest.fail("a pickle was read"))
    monkeypatch.setattr(torch, "load", lambda *_: pytest.fail("torch.load was called"))
    load(folder, build)


def test_a_recipe_can_be_read_without_building_anything(applied, folder):
    recipe = read_recipe(folder)
    assert recipe.plan == PLAN
    assert recipe.edits == applied.edits
    assert (recipe.cost_before, recipe.cost_after) == (applied.before.cost, applied.profile.cost)


def test_fine_tuned_weights_training_flags_and_frozen_parameters_are_saved(applied, tmp_path):
    model = applied.model
    try:
        with torch.no_grad():
            model.head[0].weight.add_(1)
        model.block1.train()
        loaded = load(save(applied, tmp_path / "tuned"), build())
        assert torch.equal(loaded.head[0].weight, model.head[0].weight)
        flags = {name: module.training for name, module in model.named_modules()}
        assert {name: module.training for name, module in loaded.named_modules()} == flags
    finally:
        model.eval()
        with torch.no_grad():
            model.head[0].weight.sub_(1)


def test_saving_again_replaces_the_recipe(applied, folder):
    assert save(applied, folder) == folder
    assert sorted(file.name for file in folder.iterdir()) == ["model.safetensors", "recipe.json"]
    assert list(folder.parent.iterdir()) == [folder]


def test_a_save_that_fails_loses_nothing(applied, folder, monkeypatch):
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    monkeypatch.setattr(Path, "rename", lambda *_: pytest.fail("it was moved too early"))

    class Odd(nn.Module):
        def get_extra_state(self) -> str:
            return "state"

        def set_extra_state(self, state: str) -> None:
            pass

    applied.model.add_module("odd", Odd())
    try:
        with pytest.raises(RecipeError, match=r"odd\._extra_state is a str"):
            save(applied, folder)
    finally:
        del applied.model.odd
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert list(folder.parent.iterdir()) == [folder]


def test_something_else_at_the_place_is_not_overwritten(applied, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RecipeError, match="is not a recipe; nothing was written"):
        save(applied, tmp_path)
    with pytest.raises(RecipeError, match="is not a recipe; nothing was written"):
        save(applied, tmp_path / "thesis.tex")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_tied_weights_are_written_once_and_tied_again(tmp_path):
    found = specimen("gpt")
    step = Step(transform="low_rank", layers=("block.fc1",), settings=settings(rank=4))
    done = apply(found.build(), Plan(steps=(step,)), found.inputs())
    folder = save(done, tmp_path / "gpt")
    loaded = load(folder, found.build)
    assert loaded.head.weight is loaded.words.weight
    assert torch.equal(loaded(*found.inputs().args), done.model(*found.inputs().args))
    weights = sum(parameter.numel() * 4 for parameter in done.model.parameters())
    assert (folder / "model.safetensors").stat().st_size < weights + 4 * found.build().words.weight.numel()


def test_a_model_in_another_dtype_than_it_was_edited_in_comes_back_so(tmp_path):
    found = specimen("perceptron")
    step = Step(transform="low_rank", layers=("0",), settings=settings(rank=4))
    done = apply(found.build(), Plan(steps=(step,)), found.inputs())
    done.model.double()
    loaded = load(save(done, tmp_path / "double"), found.build)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float64}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "cannot be read: .* It is damaged"),
        (lambda _: "[]", "names no schema"),
        (lambda text: text.replace(f'"schema": {SCHEMA}', '"schema": 99'), r"schema 99\).* Install a newer effwidgets"),
        (lambda text: text.replace('"rank": 9', '"rank": 900'), "cannot be made again: .* rank is 900"),
        (lambda text: text.replace('"bottleneck"', '"crystal"'), "needs the transformation 'crystal'"),
        (lambda text: text.replace('"plan"', '"plane"'), "is damaged .*'plan'"),
        (lambda text: text.replace("8x3x3x3", "8x3x3x4"), "does not match its fingerprint"),
        (lambda text: text.replace('"described": [', '"described": [0, '), "as many entries in described"),
    ],
)
def test_a_damaged_recipe_says_what_is_wrong(folder, damage, message):
    file = folder / "recipe.json"
    damaged = damage(file.read_text())
    assert damaged != file.read_text()
    file.write_text(damaged)
    with pytest.raises(RecipeError, match=message):
        load(folder, build)


def test_missing_or_damaged_tensors_are_said(folder):
    tensors = folder / "model.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-100])
    with pytest.raises(RecipeError, match=r"model\.safetensors cannot be read"):
        load(folder, build)
    tensors.unlink()
    with pytest.raises(RecipeError, match=r"model\.safetensors is missing"):
        load(folder, build)


@pytest.mark.parametrize("tied", ["null", "[1]", '{"5.weight": 3}', '{"5.weight": "nowhere"}'])
def test_ties_to_tensors_that_are_not_there_are_damage(folder, tied):
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    save_file(load_file(file), file, metadata={"tied": tied})
    with pytest.raises(RecipeError, match="ties names to tensors that it does not hold"):
        load(folder, build)


def test_no_folder_or_no_recipe_in_it_is_said(tmp_path):
    with pytest.raises(RecipeError, match="is not a folder"):
        load(tmp_path / "nowhere", build)
    with pytest.raises(RecipeError, match=r"has no recipe\.json"):
        load(tmp_path, build)


def test_another_architecture_is_refused_and_the_first_difference_named(folder):
    def wider() -> nn.Module:
        model = build()
        model.block2.conv1 = nn.Conv2d(8, 17, 3, stride=2, padding=1, bias=False)
        return model

    with pytest.raises(
        RecipeError, match=r"block2\.conv1 is Conv2d\(weight 17x8x3x3 .*weight 16x8x3x3 .* was expected"
    ):
        load(folder, wider)
    with pytest.raises(RecipeError, match="the model itself is LittleGpt"):
        load(folder, specimen("gpt").build)


def test_what_builds_no_model_is_said(folder):
    with pytest.raises(RecipeError, match=r"build\(\) returned NoneType"):
        load(folder, lambda: None)
    with pytest.raises(InputError, match="build is str"):
        load(folder, "resnet18")


def test_the_model_that_is_handed_in_as_architecture_is_copied(folder):
    dense = build()
    kept = json.dumps([list(tensor.shape) for tensor in dense.state_dict().values()])
    assert load(folder, dense) is not dense
    assert json.dumps([list(tensor.shape) for tensor in dense.state_dict().values()]) == kept


@pytest.mark.parametrize("described", ['["a"]', "[true]", "[-1]", "[7]"])
def test_a_recipe_whose_edits_point_at_no_profile_is_damaged(folder, described):
    file = folder / "recipe.json"
    data = json.loads(file.read_text())
    data["described"] = json.loads(described) * len(data["edits"])
    file.write_text(json.dumps(data))
    with pytest.raises(RecipeError, match="is damaged"):
        load(folder, build)


def test_what_build_raises_is_wrapped(folder):
    with pytest.raises(RecipeError, match=r"build\(\) raised ZeroDivisionError"):
        load(folder, lambda: 1 // 0)
    with pytest.raises(RecipeError, match=r"without arguments"):
        load(folder, lambda size: build())


@pytest.mark.parametrize("path", [3, None, "", b"x"])
def test_a_path_that_is_none_is_said(applied, path):
    with pytest.raises(InputError, match="the name of a folder was expected"):
        save(applied, path)
    with pytest.raises(InputError, match="the name of a folder was expected"):
        load(path, build)


def test_only_what_was_applied_can_be_saved(tmp_path):
    with pytest.raises(InputError, match=r"save\(apply\(\.\.\.\), path\)"):
        save(build(), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_place_where_nothing_can_be_written_is_said(applied, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RecipeError, match="could not be written"):
        save(applied, tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("call", range(5))
def test_a_disk_that_fills_up_while_saving_leaves_the_earlier_recipe_as_it_was(folder, applied, monkeypatch, call):
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    calls = iter(range(100))

    def full(work):
        def fails(*args, **kwargs):
            if next(calls) == call:
                raise OSError(28, "No space left on device")
            return work(*args, **kwargs)

        return fails

    for name in ("write_text", "rename", "mkdir"):
        monkeypatch.setattr(Path, name, full(getattr(Path, name)))
    with pytest.raises(RecipeError, match="No space left"):
        save(applied, folder)
    monkeypatch.undo()
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert [entry.name for entry in folder.parent.iterdir()] == [folder.name]


def test_a_recipe_that_cannot_be_put_back_says_where_it_lies(folder, applied, monkeypatch):
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    real = Path.rename

    def once(self, target):
        if Path(target).name != "old":
            raise OSError(5, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", once)
    with pytest.raises(RecipeError, match=r"what stood there is in (\S+)old\.") as caught:
        save(applied, folder)
    left = Path(str(caught.value).rpartition(" ")[2].removesuffix("."))
    assert {file.name: file.read_bytes() for file in left.iterdir()} == before


def test_tensors_that_cannot_be_written_leave_the_earlier_recipe_as_it_was(folder, applied, monkeypatch):
    import safetensors.torch

    def full(*args, **kwargs):
        raise safetensors.SafetensorError("No space left on device")

    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(RecipeError, match="No space left"):
        save(applied, folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
