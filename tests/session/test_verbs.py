"""The face's verbs refuse what they cannot use."""

import pytest
import torch
from torch import nn

from effwidgets.errors import InputError
from effwidgets.records import COMMANDS, Command, settings
from effwidgets.session import profile, report, session_of


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
