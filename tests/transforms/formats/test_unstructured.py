"""Zeros: as many as asked for, where they should be, in plain dense parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from effwidgets import profile
from effwidgets.errors import TransformError, UnknownNameError
from effwidgets.profiling.sparsity import sparsity_of
from effwidgets.records import Cost, Plan, Site, Skip, Step, settings
from effwidgets.transforms.apply import apply
from effwidgets.transforms.formats.unstructured import UNSTRUCTURED


def _step(layer: str, **values: object) -> Step:
    return Step(transform="unstructured", layers=(layer,), settings=settings(values))


def _model() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 3)), torch.randn(8, 12)


def test_the_smallest_numbers_become_zero_and_the_others_stay() -> None:
    model, x = _model()
    applied = apply(model, Plan(steps=(_step("0", share=0.7),)), x)
    old, new = model[0].weight, applied.model.get_parameter("0.weight")
    gone = new == 0
    assert int(gone.sum()) == 84  # 0.7 x 120
    assert old.abs()[gone].max() < old.abs()[~gone].min()
    assert torch.equal(new[~gone], old[~gone])


def test_nothing_but_the_numbers_changes_and_the_cost_says_so() -> None:
    model, x = _model()
    model[0].weight.requires_grad_(requires_grad=False)
    step = _step("0", share=0.5)
    applied = apply(model, Plan(steps=(step,)), x)
    assert UNSTRUCTURED.estimate(profile(model, x), step) == Cost()
    assert applied.profile.cost == applied.before.cost
    assert list(applied.model.state_dict()) == list(model.state_dict())
    assert not applied.model.get_parameter("0.weight").requires_grad
    assert any("not faster" in note for note in applied.edits[0].notes)


def test_wanda_takes_the_same_share_of_each_row_by_size_times_norm() -> None:
    model, x = _model()
    x = x * torch.tensor([100.0] * 6 + [0.01] * 6)  # half of the inputs hardly matter
    plan = Plan(steps=(_step("0", share=0.5, criterion="wanda"),))
    applied = apply(model, plan, x, calibration=x)
    gone = applied.model.get_parameter("0.weight") == 0
    assert gone.sum(1).tolist() == [6] * 10
    worth = model[0].weight.abs() * x.norm(dim=0)
    for row, lost in zip(worth, gone, strict=True):
        assert row[lost].max() < row[~lost].min()


def test_wanda_moves_the_outputs_less_than_size_where_inputs_differ() -> None:
    model, x = _model()
    x = x * torch.logspace(-2, 2, 12)[torch.randperm(12, generator=torch.Generator().manual_seed(0))]
    errors = {}
    for criterion in ("magnitude", "wanda"):
        plan = Plan(steps=(_step("0", share=0.5, criterion=criterion),))
        applied = apply(model, plan, x, calibration=x, repair=False)
        errors[criterion] = applied.edits[0].error or 0.0
    assert errors["wanda"] < errors["magnitude"] / 2


def test_wanda_without_real_inputs_is_left_out_with_the_reason() -> None:
    model, x = _model()
    applied = apply(model, Plan(steps=(_step("0", share=0.5, criterion="wanda"),)), x)
    assert "hand some in as calibration=" in applied.skipped[0].reason
    assert torch.equal(applied.model.get_parameter("0.weight"), model[0].weight)


@pytest.mark.parametrize("share", [0, 1, -0.5, 0.001, 0.9999, True, "half"])
def test_a_share_that_makes_no_sense_is_refused(share: object) -> None:
    model, x = _model()
    with pytest.raises(TransformError, match="share"):
        UNSTRUCTURED.estimate(profile(model, x), _step("0", share=share))


def test_an_unknown_criterion_is_answered_with_the_known_ones() -> None:
    model, x = _model()
    with pytest.raises(UnknownNameError, match="'magnitude', 'wanda'"):
        UNSTRUCTURED.estimate(profile(model, x), _step("0", share=0.5, criterion="taylor"))


def test_what_is_measured_is_what_stands_there() -> None:
    model, x = _model()
    applied = apply(model, Plan(steps=(_step("0", share=0.8),)), x)
    measured = dict(applied.edits[0].measured)
    found = next(zeros for zeros in sparsity_of(applied.model) if zeros.name == "0.weight")
    assert (measured["zeros"], measured["entries"]) == (found.zeros, found.entries) == (96, 120)
    assert measured["csr_bytes"] == 24 * 8 + 4 * 11
    assert measured["bitmask_bytes"] == 24 * 4 + 15


def test_each_matrix_is_a_site_or_has_a_reason() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(20, 8)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.norm = nn.LayerNorm(8)
            self.cell = nn.GRU(8, 8, batch_first=True)
            self.tied = nn.Linear(8, 20, bias=False)
            self.tied.weight = self.table.weight
            self.masked = nn.Linear(8, 8)
            prune.random_unstructured(self.masked, "weight", 0.5)
            self.plain = nn.Linear(8, 8)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            x = self.table(ids)
            x = self.norm(self.attention(x, x, x)[0])
            return self.tied(self.plain(self.masked(self.cell(x)[0])))

    found = {site.layers[0]: site for site in UNSTRUCTURED.sites(profile(Odd(), torch.zeros(2, 5, dtype=torch.long)))}
    sites = {name for name, site in found.items() if isinstance(site, Site)}
    reasons = {name: site.reason for name, site in found.items() if isinstance(site, Skip)}
    assert sites == {"attention.out_proj", "plain"}  # only numbers change: its parent may read them
    assert "tied" in reasons["table"]
    assert "tied" in reasons["tied"]
    assert "raw parameter" in reasons["attention"]
    assert "recurrent" in reasons["cell"]
    assert "masked" in reasons["masked"]
    assert all(not site.advised for site in found.values() if isinstance(site, Site))


def test_a_model_that_is_one_layer_can_be_made_sparse() -> None:
    layer = nn.Linear(4, 4)
    applied = apply(layer, Plan(steps=(_step("", share=0.5),)), torch.ones(1, 4))
    assert int((applied.model.get_parameter("weight") == 0).sum()) == 8
