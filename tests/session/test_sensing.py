"""The verb that remembers what an interrupted call measured, and its word of the magic."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

import effwidgets
from effwidgets import Sensitivity, SensitivityOptions, sensitivity, session_of
from effwidgets.errors import InputError
from effwidgets.magics import effdl


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 8)).eval()


@pytest.fixture
def x():
    return torch.randn(64, 32, generator=torch.Generator().manual_seed(1))


def test_it_takes_the_call_and_the_calibration_seen_last(model, x):
    with pytest.raises(InputError, match="No inputs were given"):
        sensitivity(model)
    session = session_of(model)
    first = sensitivity(model, x[:1], options=SensitivityOptions(calibration=x, levels=1))
    again = sensitivity(model, options=SensitivityOptions(levels=1))
    assert first.origin == session.name
    assert again.fitted == first.fitted == 48
    assert [point.divergence for point in again.points] == [point.divergence for point in first.points]


def test_what_an_interrupted_call_measured_is_not_measured_again(model, x):
    steps = []

    def stop(progress):
        if len(steps) == 2:
            raise KeyboardInterrupt
        steps.append(progress.step)

    options = SensitivityOptions(calibration=x, levels=2, progress=stop)
    with pytest.raises(KeyboardInterrupt):
        sensitivity(model, x[:1], options=options)
    again = []
    whole = dataclasses.replace(options, progress=lambda progress: again.append(progress.step))
    found = sensitivity(model, x[:1], options=whole)
    assert found.complete
    assert set(again).isdisjoint(steps)
    assert len(again) - 1 + len(steps) == len(found.points)  # the last call says that it is done
    fresh = []
    sensitivity(model, x[:1], options=dataclasses.replace(whole, progress=lambda told: fresh.append(told.step)))
    assert len(fresh) - 1 == len(found.points)  # what was complete is not held on to


def test_what_was_measured_of_other_data_is_left_alone(model, x):
    def stop(progress):
        if progress.done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sensitivity(model, x[:1], options=SensitivityOptions(calibration=x, levels=1, progress=stop))
    begun = []
    options = SensitivityOptions(calibration=x + 1, levels=1, progress=lambda told: begun.append(told.step))
    assert len(begun) == 0
    found = sensitivity(model, x[:1], options=options)
    assert len(begun) - 1 == len(found.points)


def test_options_of_another_kind_are_refused(model, x):
    with pytest.raises(InputError, match="SensitivityOptions"):
        sensitivity(model, x, options={"levels": 3})


def test_the_magic_measures_and_says_how_far_it_is(model, x, capsys, tmp_path):
    path = tmp_path / "sense.jsonl"
    names = {"model": model, "x": x, "score": lambda _: 0.5}
    line = f"sensitivity model x --calibration x --levels 2 --family prune --evaluate score --path {path}"
    found = effdl(line, names=names)
    assert isinstance(found, Sensitivity)
    assert {row.family for row in found} == {"prune"}
    assert found.base[0].value == 0.5
    assert len(path.read_text().splitlines()) == len(found.points) + 1
    said = capsys.readouterr().out
    assert f"{len(found.points)} of {len(found.points)} settings" in said
    named = effdl("sensitivity model x --technique low_rank --layers 0 --levels 1", names=names)
    assert [row.site for row in named] == [("low_rank", ("0",))]


def test_a_report_of_it_is_one_page(model, x, tmp_path):
    found = sensitivity(model, x, options=SensitivityOptions(levels=1))
    assert "effdl-static" in effwidgets.report(found, tmp_path / "report.html").read_text("utf-8")
