"""The face's verbs refuse what they cannot use."""

import pytest
import torch
from torch import nn

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.records import COMMANDS, Command, Step, settings
from effwidgets.session import (
    apply,
    diff,
    download_bytes,
    estimate_plan,
    export,
    profile,
    rank_plan,
    replay,
    report,
    rounded,
    session_of,
    sites,
    sparsity_plan,
    suggest,
    undo,
)
from effwidgets.transforms import save


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(4, 4))


def test_a_report_that_cannot_be_written_is_said(model, tmp_path):
    found = profile(model, torch.ones(1, 4))
    with pytest.raises(InputError, match="could not be written"):
        report(found, tmp_path / "nowhere" / "report.html")
    with pytest.raises(InputError, match="could not be written"):
        report(found, tmp_path)
    with pytest.raises(InputError, match="the name of a file was expected"):
        report(found, 3)
    assert report(found, tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_something_else_than_options_is_refused(model):
    with pytest.raises(InputError, match="options is int"):
        profile(model, torch.ones(1, 4), options=3)


@pytest.mark.parametrize("chosen", [3, None, 1.5, True])
def test_a_selection_that_is_no_list_selects_nothing(model, chosen):
    session = session_of(model)
    args = settings(view="layers", chosen=chosen)
    COMMANDS[session.name](Command(origin=session.name, verb="select", args=args, id=""))
    assert session.selection() == ()


class Two(nn.Module):
    """Called with two tensors, which a loader yields beside a label."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, one, other):
        return self.b(torch.relu(self.a(one))) + other


def halves(*layers):
    return [Step(transform="low_rank", layers=(name,), settings=settings(rank=2)) for name in layers]


def test_calibration_batches_are_read_as_the_model_is_called():
    model, x = Two(), torch.randn(4, 8)
    loader = [(torch.randn(4, 8), torch.randn(4, 8), torch.ones(4, dtype=torch.long))]
    applied = apply(model, halves("a"), (x, x), calibration=loader)
    assert applied.repaired is not None
    assert suggest(model, calibration=loader, goal="params").suggestions is not None


def test_the_verbs_of_a_plan_take_steps_ranks_and_widths_and_remember_the_call():
    model, x = Two(), torch.randn(4, 8)
    ranks = rank_plan(model, (x, x), rule="energy", value=0.3)
    assert len(ranks.plan) > 0
    assert apply(model, ranks).plan == ranks.plan
    assert estimate_plan(model, ranks) == estimate_plan(profile(model), list(ranks.plan))
    assert rounded(model, ranks).plan == ranks.plan
    assert {step.transform for step in sparsity_plan(model, share=0.5)} == {"unstructured"}
    with pytest.raises(InputError, match=r"site\.step\(rank=8\)"):
        apply(model, sites(model, technique="low_rank").sites[0])
    assert apply(model, sites(model, technique="low_rank").sites[0].step(rank=2)).edits


def test_one_step_is_taken_back_and_the_session_holds_the_rest():
    model, x = Two(), torch.randn(4, 8)
    whole = apply(model, halves("a", "b"), (x, x))
    left = session_of(model).undo(0)
    assert [edit.step.layers for edit in left.edits] == [("b",)]
    assert len(whole.edits) == 2
    assert [line.layer for line in diff(model).lines] == ["b", "b.0", "b.1"]
    with pytest.raises(UnknownNameError, match="There is no edit 7"):
        session_of(model).undo(7)
    assert session_of(model).applied is left
    assert session_of(model).undo() is None
    with pytest.raises(InputError, match="Nothing was applied"):
        diff(model)


def test_what_is_undone_replayed_or_exported_knows_its_call(tmp_path):
    model, x = Two(), torch.randn(4, 8)
    applied = apply(model, halves("a", "b"), (x, x))
    assert profile(undo(applied, 1).model).cost.macs > applied.profile.cost.macs
    again = replay(save(applied, tmp_path / "small"), Two(), (x, x))
    assert profile(again.model).cost == applied.profile.cost
    assert export(applied, path=tmp_path / "small.pt2").path.exists()
    assert "low_rank" in report(applied, tmp_path / "applied.html").read_text(encoding="utf-8")


def test_a_download_is_of_what_apply_returned():
    model, x = nn.Sequential(nn.Linear(64, 64)), torch.ones(1, 64)
    applied = apply(model, sparsity_plan(model, x, 0.95), x)
    assert download_bytes(applied) == applied.account().download_bytes < 4 * 64 * 65
    assert apply(model, halves("0"), x).account().download_bytes is None
    with pytest.raises(InputError, match="what apply"):
        download_bytes(model)
