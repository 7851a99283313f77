"""How far outputs are apart."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from effwidgets.profiling.calls import Call
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.repair.outputs import output_error, quick_reference
from effwidgets.transforms.trial import apart, relative_error


def line(*weights: float) -> nn.Module:
    layer = nn.Linear(len(weights), 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([weights]))
    return layer


def test_there_is_one_relative_error_for_all_who_ask():
    zero, one = torch.zeros(3), torch.ones(3)
    assert relative_error([2 * one, zero], [2 * one, one]) == pytest.approx(0.5)
    assert relative_error([zero], [zero]) == 0.0
    assert relative_error([zero], [one]) is None
    assert apart({"a": 3 * one, "b": one}, {"a": 2 * one, "c": one}) == pytest.approx(0.5)  # what both have
    assert apart({"a": one}, {"b": one}) is None


def test_the_error_is_over_all_batches_together():
    data = Calibration(batches=(Call((torch.tensor([[3.0]]),)), Call((torch.tensor([[4.0]]),))))
    assert output_error(line(1.5), line(1.0), data) == pytest.approx(0.5)
    assert output_error(line(1.0), line(1.0), data) == 0.0


def test_a_quick_look_takes_the_first_samples_where_the_model_lets_it():
    batch = Call((torch.cat([torch.ones(32, 1), torch.full((32, 1), 100.0)]),))
    model = nn.Sequential(line(1.0), nn.Hardtanh(0, 10))
    half = nn.Sequential(line(0.5), nn.Hardtanh(0, 10))
    # The outputs are 1 in the first half and 10, cut off, in the second, where the two models agree.
    assert quick_reference(model, batch).error(half) == pytest.approx(0.5)

    class Whole(nn.Module):
        def forward(self, value: torch.Tensor) -> torch.Tensor:
            return value.view(64, 1)

    assert quick_reference(Whole(), batch).error(Whole()) == 0.0
