"""Repair between the steps of a plan that change shapes and those that change how numbers are kept."""

from __future__ import annotations

import torch
from torch import nn

from effwidgets import Plan, Step, apply, settings
from effwidgets.transforms.calibration import calibration_of
from effwidgets.transforms.repair.outputs import output_error


def made() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 24), nn.Tanh(), nn.Linear(24, 16), nn.Tanh(), nn.Linear(16, 4)).eval()


def rows() -> torch.Tensor:
    dice = torch.Generator().manual_seed(1)
    return torch.randn(512, 12, generator=dice) @ torch.randn(12, 12, generator=dice)


PRUNE = Step(transform="channel_prune", layers=("0",), settings=settings(channels=12, criterion="l2"))
SPLIT = Step(transform="low_rank", layers=("2",), settings=settings(rank=4))


def eight(layer: str) -> Step:
    return Step(transform="int8", layers=(layer,), settings=settings(mode="weight_only"))


def test_what_is_rounded_later_is_fitted_before():
    model, data = made(), rows()
    alone = apply(model, Plan(steps=(PRUNE,)), data[:4], calibration=data)
    mixed = apply(model, Plan(steps=(PRUNE, eight("2"))), data[:4], calibration=data)
    assert len(mixed.edits) == 2
    # Without the stage between, layer 2 holds whole numbers when it is to be fitted, and stays as the pruning left it.
    assert [refit.layer for refit in mixed.repaired.refits if refit.kept][:1] == ["2"]
    held = calibration_of(data)
    error = output_error(mixed.model, model, held)
    assert error < 1.1 * output_error(alone.model, model, held)  # 8 bits cost about 1% of what is left
    assert mixed.repaired.seconds > 0
    assert mixed.repaired.error_after < 0.8 * mixed.repaired.error_before


def test_an_edit_is_repaired_after_once():
    model, data = made(), rows()
    found = apply(model, Plan(steps=(PRUNE, eight("4"), SPLIT)), data[:4], calibration=data)
    assert len(found.edits) == 3
    fitted = [refit.layer for refit in found.repaired.refits]
    assert fitted == ["2", "2.1"]  # before the rounding, and after the split that came behind it


def test_steps_of_one_kind_are_repaired_after_at_the_end_alone():
    model, data = made(), rows()
    found = apply(model, Plan(steps=(PRUNE, SPLIT)), data[:4], calibration=data)
    assert [refit.layer for refit in found.repaired.refits] == ["2.1"]
    assert apply(model, Plan(steps=(PRUNE, eight("2"))), data[:4], calibration=data, repair=False).repaired is None
