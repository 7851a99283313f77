"""Statistics estimated anew after an edit."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from effwidgets.profiling.calls import Call
from effwidgets.records import Plan, Step, settings
from effwidgets.testing.untouched import state_of
from effwidgets.transforms.apply import apply
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.repair.batch_norm import reestimate_batch_norm
from effwidgets.transforms.repair.outputs import output_error


def trained() -> tuple[nn.Module, Calibration]:
    """Return a model whose statistics are those of its data, as after training, and such data."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 4, 1),
    )
    batches = tuple(Call((torch.randn(32, 3, 8, 8) * 2 + 1,)) for _ in range(3))
    for layer in (model[1], model[5]):
        layer.momentum = None
    with torch.no_grad():
        model.train()
        model[3].eval()
        for batch in batches:
            model(*batch.args)
    return model.eval(), Calibration(batches=batches)


PRUNE = Plan(steps=(Step(transform="channel_prune", layers=("0",), settings=settings(channels=8)),))


def test_statistics_estimated_anew_bring_the_outputs_nearer():
    model, data = trained()
    (batch,) = data.batches[0].args
    plain = apply(model, PRUNE, batch, calibration=data, repair=False)
    repaired = apply(model, PRUNE, batch, calibration=data, repair=("batch_norm",))
    assert output_error(repaired.model, model, data) < output_error(plain.model, model, data)
    done = "2 batch-norm layers were estimated anew on 3 calibration batches"
    assert [done in " ".join(made.notes) for made in (plain, repaired)] == [False, True]


def test_the_statistics_are_the_mean_over_the_batches():
    model, data = trained()
    edited = apply(model, PRUNE, *data.batches[0].args, calibration=data, repair=("batch_norm",)).model
    with torch.no_grad():
        means = torch.stack([edited[0](*batch.args).mean((0, 2, 3)) for batch in data.batches])
    assert torch.allclose(edited[1].running_mean, means.mean(0), atol=1e-5)  # means of 2,048 numbers of size 1


def test_nothing_but_the_statistics_moves():
    model, data = trained()
    edited = apply(model, PRUNE, *data.batches[0].args).model
    before, original = state_of(edited), state_of(model)
    reestimate_batch_norm(edited, model, data)
    moved = before.differences(state_of(edited))
    assert len(moved) == 4
    assert all("running_" in name for name in moved)
    assert original.differences(state_of(model)) == []


def test_statistics_that_would_be_worse_are_left():
    model, data = trained()
    edited = apply(model, PRUNE, *data.batches[0].args).model
    # These data are not what the model was trained on. The outputs of the original on them are what counts.
    odd = Calibration(batches=(Call((torch.cat([torch.randn(8, 3, 8, 8) * 50, torch.zeros(8, 3, 8, 8)]),)),))
    before = state_of(edited)
    note = reestimate_batch_norm(edited, model, odd)
    assert "are as they were: estimated anew on the calibration data they would raise the output error" in note
    assert before.differences(state_of(edited)) == []


def test_a_batch_that_has_no_variance_is_no_calamity():
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 4)).eval()
    one = Calibration(batches=(Call((torch.ones(1, 4),)),))
    before = state_of(model)
    assert "ValueError on calibration data" in reestimate_batch_norm(model, model, one)
    assert before.differences(state_of(model)) == []


def test_a_model_without_batch_norm_has_nothing_to_repair():
    model: nn.Module = nn.Sequential(nn.Linear(4, 4))
    inputs: Tensor = torch.ones(2, 4)
    assert reestimate_batch_norm(model, model, Calibration(batches=(Call((inputs,)),))) == ""


def test_a_batch_norm_that_does_not_run_keeps_its_statistics():
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.BatchNorm1d(3), nn.BatchNorm1d(3)

        def forward(self, value: Tensor) -> Tensor:
            return self.used(value)

    original = Branches().eval()
    original.idle.running_mean.fill_(7.0)
    original.used.running_mean.fill_(5.0)
    model = copy.deepcopy(original)
    model.used.running_mean.fill_(-5.0)
    (value,) = torch.randn(64, 3, generator=torch.Generator().manual_seed(0)).split(64)
    data = Calibration(batches=(Call((value + 5,)),))
    assert "were estimated anew" in reestimate_batch_norm(model, original, data)
    torch.testing.assert_close(model.used.running_mean, value.mean(0) + 5)
    assert model.idle.running_mean.tolist() == [7.0] * 3
