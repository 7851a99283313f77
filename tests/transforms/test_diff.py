"""Two module trees as a text of what goes and what comes."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from effwidgets.errors import InputError
from effwidgets.records import Difference, Plan, Step, settings
from effwidgets.transforms.apply import apply
from effwidgets.transforms.diff import diff


def model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 10))


def test_a_layer_that_was_split_goes_and_its_factors_come():
    step = Step(transform="low_rank", layers=("3",), settings=settings(rank=4))
    dense = model()
    found = diff(dense, apply(dense, Plan(steps=(step,)), torch.ones(1, 3, 6, 6)))
    assert str(found).splitlines() == [
        "--- Sequential",
        "+++ Sequential",
        "@@ 1.51 k -> 786 params @@",
        "- 3: Linear(in_features=128, out_features=10, bias=True)  # weight 10 × 128, bias 10",
        "+ 3.0: Linear(in_features=128, out_features=4, bias=False)  # weight 4 × 128",
        "+ 3.1: Linear(in_features=4, out_features=10, bias=True)  # weight 10 × 4, bias 10",
    ]
    assert repr(found) == "Difference(Sequential: 1 module gone, 2 come, 1.51 k -> 786 params)"
    assert [line.params for line in found.lines] == [1290, 512, 50]


def test_models_that_differ_in_values_only_do_not_differ():
    found = diff(model(), model())
    assert len(found) == 0
    assert "no module differs" in str(found)


def test_it_survives_json_and_shows_itself_as_text():
    found = diff(model(), nn.Sequential(nn.Conv2d(3, 4, 3)))
    assert Difference.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert found._repr_mimebundle_()["text/plain"] == str(found)


def test_a_module_that_holds_tensors_beside_its_children_is_a_line():
    class Scaled(nn.Module):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(size))
            self.fc = nn.Linear(4, 4)

    found = diff(Scaled(1), Scaled(2))
    assert [(line.sign, line.layer, line.shapes) for line in found.lines] == [
        ("-", "", "scale 1"),
        ("+", "", "scale 2"),
    ]
    assert "- (the model): Scaled()" in str(found)


def test_what_is_no_model_is_refused():
    with pytest.raises(InputError, match="str came"):
        diff("model", model())
