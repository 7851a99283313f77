"""The verbs that read every weight, and their words of the magic."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import effwidgets
from effwidgets import disk, health, session_of
from effwidgets.errors import InputError
from effwidgets.magics import effdl


def test_the_record_says_which_session_it_came_from_and_takes_the_call_seen_last():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    with pytest.raises(InputError, match="No inputs were given"):
        health(model)
    effwidgets.profile(model, torch.rand(40, 4))
    found = health(model)
    assert found.origin == session_of(model).name == disk(model).origin
    assert found.inputs == ((40, 4),)


def test_the_magic_takes_a_loss_a_target_and_a_mode():
    names = {"model": nn.Linear(4, 3), "x": torch.rand(40, 4), "y": torch.zeros(40, dtype=torch.long)}
    found = effdl("health model x --target y --eval", names=names)
    assert (found.loss, found.train) == ("cross-entropy with the target", False)
    lost = effdl("health model x --loss 'lambda out: out.sum()'", names=names)
    assert lost.loss == "<lambda>"
    assert lost.loss_value == pytest.approx(float(names["model"](names["x"]).detach().sum()), rel=1e-5)


def test_the_magic_measures_the_file_and_leaves_the_compression_out_on_request():
    names = {"model": nn.Linear(4, 3)}
    whole, quick = effdl("disk model", names=names), effdl("disk model --no-compress", names=names)
    assert whole.saved_bytes == quick.saved_bytes
    assert whole.compressed_bytes is not None
    assert quick.compressed_bytes is None


def test_a_report_of_either_is_one_page(tmp_path):
    model = nn.Linear(4, 3)
    for found in (health(model, torch.rand(40, 4)), disk(model)):
        page = effwidgets.report(found, tmp_path / "report.html").read_text("utf-8")
        assert "effdl-static" in page
