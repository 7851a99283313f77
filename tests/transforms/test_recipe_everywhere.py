"""Every registered transformation comes back from a recipe bit for bit, in a process that has only the code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from effwidgets.profiling.calls import tensors_in
from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Site, Step, settings
from effwidgets.testing.contracts import settings_of
from effwidgets.testing.zoo import MODELS, Specimen, specimen
from effwidgets.transforms.apply import apply
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.recipes.architecture import architecture_of
from effwidgets.transforms.recipes.recipe import load, save
from effwidgets.transforms.trial import answer, stand_in

FRESH = """
import json, pickle, sys
import torch

def stop(*args, **kwargs):
    raise AssertionError("a pickle was read")

from effwidgets.profiling.calls import tensors_in
from effwidgets.testing.zoo import specimen
from effwidgets.transforms.recipes.recipe import load
from effwidgets.transforms.trial import answer, stand_in

found = {}
for folder, name in json.loads(sys.argv[1]).items():
    special = specimen(name)
    kept = torch.load, pickle.load, pickle.loads
    torch.load = pickle.load = pickle.loads = stop
    model = load(folder, special.build)
    torch.load, pickle.load, pickle.loads = kept
    outputs = tensors_in(answer(stand_in(model), special.inputs()))
    found[folder] = [tensor.double().flatten().tolist() for tensor in outputs]
print(json.dumps(found))
"""


def _first_place(name: str) -> tuple[Specimen, list[Step]]:
    """A model of the zoo where it applies, and a step for each way to set it there."""
    for found in MODELS:
        sites = [
            site for site in TRANSFORMS[name].sites(profile(found.build(), found.inputs())) if isinstance(site, Site)
        ]
        if sites:
            lowest = dict(settings_of(sites[0])[0])
            chosen = [settings(lowest)]
            for knob in sites[0].knobs:
                chosen += [settings({**lowest, knob.name: choice}) for choice in knob.choices]
            return found, [Step(transform=name, layers=sites[0].layers, settings=way) for way in dict.fromkeys(chosen)]
    pytest.fail(f"{name} applies nowhere in the zoo")


def test_a_fresh_process_answers_bit_for_bit_as_this_one_whatever_was_done(tmp_path: Path):
    folders: dict[str, str] = {}
    right: dict[str, list[list[float]]] = {}
    for name in TRANSFORMS:
        found, steps = _first_place(name)
        for number, step in enumerate(steps):
            applied = apply(found.build(), Plan(steps=(step,)), found.inputs(), calibration=found.inputs())
            assert not applied.skipped, applied.skipped
            folder = str(save(applied, tmp_path / f"{name}-{number}"))
            folders[folder] = found.name
            made = tensors_in(answer(stand_in(applied.model), found.inputs()))
            right[folder] = [tensor.double().flatten().tolist() for tensor in made]
    run = subprocess.run([sys.executable, "-c", FRESH, json.dumps(folders)], capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    answered = json.loads(run.stdout)
    assert sorted(answered) == sorted(right)
    for folder, outputs in right.items():
        assert str(answered[folder]) == str(outputs), folder  # as text: NaN is no number that equals itself


def test_a_compiled_model_is_saved_and_loaded(tmp_path: Path):
    def build() -> nn.Module:
        torch.manual_seed(1)
        return torch.compile(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)), backend="eager")

    step = Step(transform="low_rank", layers=("_orig_mod.0",), settings=settings(rank=2))
    applied = apply(build(), Plan(steps=(step,)), torch.ones(2, 8))
    loaded = load(save(applied, tmp_path / "compiled"), build)
    assert torch.equal(loaded(torch.ones(2, 8)), applied.model(torch.ones(2, 8)))
    assert type(loaded) is type(applied.model)


@pytest.mark.parametrize(
    "steps",
    [
        (("channel_prune", "stem.0", {"channels": 5}), ("bf16", "block2.conv2", {})),
        (("low_rank", "head", {"rank": 4}), ("codebook", "head.0", {"bits": 4})),
        (("spatial_svd", "block2.conv2", {"rank": 9}), ("int8", "block2.conv2.0", {"mode": "weight_only"})),
        (("fold_bn", ("block2.conv2", "block2.bn2"), {}), ("spatial_svd", "block2.conv2", {"rank": 9})),
    ],
    ids=lambda steps: " then ".join(name for name, *_ in steps),
)
def test_steps_of_several_phases_come_back(steps, tmp_path: Path):
    found = specimen("residual")
    plan = Plan(
        steps=tuple(
            Step(transform=name, layers=(at,) if isinstance(at, str) else at, settings=settings(values))
            for name, at, values in steps
        )
    )
    applied = apply(found.build(), plan, found.inputs())
    assert not applied.skipped, applied.skipped
    loaded = load(save(applied, tmp_path / "small"), found.build)
    assert architecture_of(loaded) == architecture_of(applied.model)
    for one, other in zip(
        *(tensors_in(answer(stand_in(net), found.inputs())) for net in (loaded, applied.model)), strict=True
    ):
        assert torch.equal(one, other)
