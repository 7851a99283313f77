"""The second moments of what layers are given."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from effwidgets.errors import TransformError, UnknownNameError
from effwidgets.profiling.calls import Call
from effwidgets.testing.untouched import state_of
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.moments import input_moments


def data(*shapes: tuple[int, ...]) -> Calibration:
    dice = torch.Generator().manual_seed(0)
    return Calibration(batches=tuple(Call((torch.randn(shape, generator=dice),)) for shape in shapes))


def test_they_are_those_of_the_rows_that_the_layer_multiplies():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    batches = data((5, 3), (7, 3))
    found = input_moments(model, ["2", "0"], batches)
    assert list(found) == ["2", "0"]
    with torch.no_grad():
        rows = torch.cat([model[1](model[0](*batch.args)) for batch in batches.batches]).double()
    assert found["2"].rows == 12
    torch.testing.assert_close(found["2"].gram, rows.T @ rows)
    torch.testing.assert_close(found["2"].mean, rows.mean(0))


def test_a_convolution_is_looked_at_by_patches_in_the_order_of_its_weight():
    layer = nn.Conv2d(3, 4, (3, 2), stride=2, padding=1, dilation=(1, 2))
    batches = data((2, 3, 9, 8))
    found = input_moments(nn.Sequential(layer), ["0"], batches)["0"]
    (value,) = batches.batches[0].args
    patches = functional.unfold(value.double(), (3, 2), dilation=(1, 2), padding=1, stride=2)
    rows = patches.transpose(1, 2).flatten(0, 1)
    assert found.gram.shape == (layer.weight.flatten(1).shape[1],) * 2
    torch.testing.assert_close(found.gram, rows.T @ rows)
    torch.testing.assert_close(found.mean, rows.mean(0))


def test_each_group_has_its_own():
    layer = nn.Conv2d(4, 4, 3, groups=2, padding=1, bias=False)
    batches = data((2, 4, 5, 5))
    found = input_moments(nn.Sequential(layer), ["0"], batches)["0"]
    (value,) = batches.batches[0].args
    for group, own in enumerate(value.double().split(2, dim=1)):
        rows = functional.unfold(own, 3, padding=1).transpose(1, 2).flatten(0, 1)
        torch.testing.assert_close(found.gram[group], rows.T @ rows)
        torch.testing.assert_close(found.mean[group], rows.mean(0))


def test_a_layer_that_runs_twice_is_looked_at_twice_and_one_that_never_runs_is_not_there():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(3, 3)
            self.idle = nn.Linear(3, 3)

        def forward(self, value: torch.Tensor) -> torch.Tensor:
            return self.one(input=self.one(value))

    model, batches = Twice(), data((5, 3))
    found = input_moments(model, ["one", "idle"], batches)
    assert list(found) == ["one"]
    (value,) = batches.batches[0].args
    with torch.no_grad():
        rows = torch.cat([value, model.one(value)]).double()
    torch.testing.assert_close(found["one"].gram, rows.T @ rows)


def test_too_many_rows_are_sampled_and_stand_for_the_rest():
    layer = nn.Conv2d(2, 2, 3, padding=1)
    batches = data((16, 2, 32, 32), (16, 2, 32, 32))
    model = nn.Sequential(layer)
    whole, some, again = (input_moments(model, ["0"], batches, limit=rows)["0"] for rows in (10**9, 8000, 8000))
    assert (whole.rows, some.rows) == (2 * 16 * 32 * 32, 8000)
    assert torch.equal(some.gram, again.gram)
    # Entries are means of 8,000 products of size 1: they scatter by 1/sqrt(8000) = 0.011. Five of these.
    assert (some.gram / some.rows - whole.gram / whole.rows).abs().max() < 0.06


def test_the_model_is_as_it_was_and_dropout_does_not_disturb():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.9), nn.Linear(3, 3)).train()
    before = state_of(model)
    batches = data((64, 3))
    found = input_moments(model, ["3"], batches)["3"]
    assert before.differences(state_of(model)) == []
    with torch.no_grad():
        rows = model[1].eval()(model[0](*batches.batches[0].args)).double()
    torch.testing.assert_close(found.gram, rows.T @ rows)


def test_half_precision_is_added_up_in_double():
    model = nn.Sequential(nn.Linear(3, 3)).bfloat16()
    batches = Calibration(batches=(Call((torch.full((5000, 3), 1.0, dtype=torch.bfloat16),)),))
    found = input_moments(model, ["0"], batches, limit=5000)["0"]
    assert found.gram.dtype == torch.float64
    assert found.gram.unique().tolist() == [5000.0]  # in bfloat16 the sum would stop at 256


def test_what_is_no_linear_layer_is_said():
    model = nn.Sequential(nn.BatchNorm1d(3))
    with pytest.raises(TransformError, match="0 is a BatchNorm1d"):
        input_moments(model, ["0"], data((5, 3)))
    with pytest.raises(UnknownNameError, match="'1'"):
        input_moments(model, ["1"], data((5, 3)))


def test_rows_that_are_not_numbers_are_left_out():
    rows = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    spoiled = torch.cat([rows, torch.tensor([[0.0, torch.nan, 0.0], [torch.inf, 0.0, 0.0]])])
    found = input_moments(nn.Sequential(nn.Linear(3, 4)), ["0"], Calibration(batches=(Call((spoiled,)),)))["0"]
    assert found.rows == 8
    assert torch.allclose(found.gram, rows.double().T @ rows.double())
    nothing = input_moments(nn.Sequential(nn.Linear(3, 4)), ["0"], Calibration(batches=(Call((spoiled[8:],)),)))["0"]
    assert nothing.rows == 0
    assert not nothing.gram.any()
