"""Why layers are left alone: each reason names an obstacle, and without it the technique applies."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from effwidgets.profiling import profile as look
from effwidgets.records import Plan, Profile, Site, Skip
from effwidgets.testing.contracts import TransformContract
from effwidgets.transforms import TRANSFORMS, apply
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.obstacles import unplain
from tests.transforms.obstacles.attention import ATTENTION
from tests.transforms.obstacles.case import FLATTENED, Case
from tests.transforms.obstacles.shapes import SHAPES
from tests.transforms.obstacles.weights import WEIGHTS

CASES = (*WEIGHTS, *ATTENTION, *SHAPES)
TABLE = Path(__file__).with_name("table.txt")

# Behind these stands another obstacle: what torch's own attention reads directly was never a flattened picture.
BEHIND = {
    (f"its parent {parent} reads its weight directly", name)
    for parent in ("MultiheadAttention", "TransformerEncoderLayer")
    for name in FLATTENED
}

_OUTPUT = "it reaches the model's output, whose shape must stay"
# What compression.md, 4.1, has as exact for whole-model pruning, by the names of our zoo: all groups but the outputs'.
# AlexNet's first layer is the one that the towers' response norm keeps; without it it applies, see the case in shapes.
EXACT = {
    **dict.fromkeys(("residual", "inverted_residual", "dense_concat", "fire", "u_net", "squeeze_excite"), ()),
    **dict.fromkeys(("shared_conv", "resnext", "flatten_head", "view_head"), ()),
    "two_towers": ("conv1",),
}
# What is wrong, raises or does nothing there, and what must apply here all the same.
WRONG_ELSEWHERE = (
    ("channel_shuffle", "group1"),
    ("pixel_shuffle", "second"),
    ("stated_view_head", "conv1"),
    ("vit", "block.fc1"),
    ("transformer_encoder", "layers.0.linear1"),
    ("gpt", "block.fc1"),
    ("gpt_split", "h.0.c_fc"),
    ("separate_attention", "query"),
    ("gated_input", "gate_proj"),
    ("frozen", "0"),
)


def _pairs(*, quick: bool) -> list[tuple[Case, str]]:
    return [(case, name) for case in CASES for place, name in enumerate(case.techniques) if quick is (place == 0)]


def _named(value: Case | str) -> str:
    return value if isinstance(value, str) else value.reason[:40]


def _found(known: Profile, name: str, layer: str) -> Site | Skip:
    found = [one for one in TRANSFORMS[name].sites(known) if layer in one.layers]
    assert len(found) == 1, f"{name} says {len(found)} things of {layer!r}: {found}"
    return found[0]


def _check(case: Case, name: str) -> None:
    skip = _found(look(*case.blocked()), name, case.at)
    assert isinstance(skip, Skip)
    assert case.says(skip.reason), skip.reason
    model, inputs = case.freed()
    known = look(model, inputs)
    site = _found(known, name, case.then or case.at)
    assert isinstance(site, Site), site.reason
    transform = TRANSFORMS[name]
    step = TransformContract(transform).steps(site, known)[0]
    data = Calibration(batches=(inputs,)) if getattr(transform, "needs_calibration", False) else None
    applied = apply(model, Plan(steps=(step,)), inputs, calibration=data, repair=False, known=known)
    assert not applied.skipped
    estimate, change = transform.estimate(known, step), applied.profile.cost - known.cost
    for field in transform.exact:
        assert getattr(estimate, field) == getattr(change, field), field


@pytest.mark.parametrize(("case", "name"), _pairs(quick=True), ids=_named)
def test_without_the_obstacle_the_technique_applies_exactly(case: Case, name: str):
    _check(case, name)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "name"), _pairs(quick=False), ids=_named)
def test_without_the_obstacle_every_technique_that_named_it_applies_exactly(case: Case, name: str):
    _check(case, name)


def _table() -> list[tuple[str, str, str, str]]:
    rows = []
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        model, name, layers, said = line.split(" | ", 3)
        rows.append((model, name, layers, said))
    return rows


def test_every_reason_of_the_table_has_a_case_that_removes_it():
    skips = {(said.removeprefix("skip: "), name) for _, name, _, said in _table() if said.startswith("skip: ")}
    assert skips
    without = {
        (reason, name)
        for reason, name in skips - BEHIND
        if not any(case.says(reason) and name in case.techniques for case in CASES)
    }
    assert not without, "write a case for each of these in tests/transforms/obstacles"


def test_every_case_is_about_a_reason_of_the_table():
    """So that a case does not outlive its reason."""
    skips = {(said.removeprefix("skip: "), name) for _, name, _, said in _table() if said.startswith("skip: ")}
    idle = [
        (case.reason, name)
        for case in CASES
        for name in case.techniques
        if not any(name == one and case.says(reason) for reason, one in skips)
    ]
    assert not idle


@pytest.mark.parametrize("model", EXACT)
def test_what_whole_model_pruning_is_known_to_do_exactly_applies_here(model: str):
    said = {layers: said for one, name, layers, said in _table() if (one, name) == (model, "channel_prune")}
    kept = {layers for layers, what in said.items() if what.startswith("skip: ") and what != f"skip: {_OUTPUT}"}
    assert kept == set(EXACT[model])
    assert any(what.startswith("apply: ") for what in said.values())


@pytest.mark.parametrize(("model", "layer"), WRONG_ELSEWHERE)
def test_what_whole_model_pruning_is_known_to_break_applies_here(model: str, layer: str):
    said = [said for one, name, layers, said in _table() if (one, name, layers) == (model, "channel_prune", layer)]
    assert len(said) == 1
    assert said[0].startswith("apply: ")


class Turned(nn.Module):
    """A linear layer of somebody else's: its weight lies the other way round, as in GPT-2."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.register_parameter(name, nn.Parameter(torch.ones(8, 16)))
        self.name = name

    def forward(self, x):
        return x @ getattr(self, self.name)


@pytest.mark.parametrize("name", ["weight", "kernel"])
def test_a_layer_of_a_foreign_class_that_does_work_is_listed_with_the_reason(name: str):
    found = look(nn.Sequential(Turned(name), nn.Linear(16, 16)), torch.ones(2, 8))
    skips = [one for one in TRANSFORMS["low_rank"].sites(found) if isinstance(one, Skip)]
    assert [(skip.layers, "Turned, is not one of torch.nn's" in skip.reason) for skip in skips] == [(("0",), True)]


def test_a_weight_that_is_neither_masked_nor_normalised_is_told_by_what_is_held():
    assert unplain(["scale", "bias"]) == "its weight is not a plain parameter: it holds bias, scale"
    assert unplain([]) == "its weight is not a plain parameter: it holds no tensor"
