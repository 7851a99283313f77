"""A file that grows point by point, is killed, damaged, and gone on with."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest

from effwidgets.errors import InputError, SearchError
from effwidgets.records import Cost, Sensitivity
from effwidgets.search.sensitivity import journal
from effwidgets.search.sensitivity.journal import Journal, read_sensitivity
from effwidgets.search.sensitivity.measure import sensitivity
from effwidgets.search.sensitivity.options import SensitivityOptions


@pytest.fixture
def options(x, tmp_path):
    return SensitivityOptions(calibration=x, samples=64, levels=2, path=tmp_path / "sense.jsonl")


def counted(options):
    """Options whose progress notes the steps that are measured."""
    steps = []
    return dataclasses.replace(options, progress=lambda told: told.step and steps.append(told.step)), steps


def test_the_file_has_what_was_measured_and_a_second_call_measures_nothing(model, x, options):
    found = sensitivity(model, x[:1], options=options)
    read = read_sensitivity(options.path)
    assert read.points == found.points
    assert read.complete
    again, steps = counted(options)
    assert sensitivity(model, x[:1], options=again).points == found.points
    assert steps == []


def test_a_last_line_that_is_cut_short_costs_one_point(model, x, options):
    found = sensitivity(model, x[:1], options=options)
    whole = options.path.read_bytes()
    for cut in (1, 40):
        options.path.write_bytes(whole[:-cut])
        assert len(read_sensitivity(options.path).points) == len(found.points) - 1
        again, steps = counted(options)
        mended = sensitivity(model, x[:1], options=again)
        assert len(steps) == 1
        assert [point.divergence for point in mended.points] == [point.divergence for point in found.points]
        assert len(options.path.read_bytes().splitlines()) == len(whole.splitlines())


def test_a_file_cut_in_its_first_line_is_begun_anew(model, x, options):
    sensitivity(model, x[:1], options=options)
    options.path.write_bytes(options.path.read_bytes()[:50])
    again, steps = counted(options)
    assert sensitivity(model, x[:1], options=again).complete
    assert steps


def test_damage_in_the_middle_is_refused_and_says_where(model, x, options):
    sensitivity(model, x[:1], options=options)
    lines = options.path.read_text().splitlines(keepends=True)
    lines[2] = lines[2][:30] + "\n"
    options.path.write_text("".join(lines))
    with pytest.raises(InputError, match=r"Line 3 of .*sense\.jsonl is damaged"):
        sensitivity(model, x[:1], options=options)
    assert options.path.read_text() == "".join(lines)  # nothing was emptied


def test_a_file_of_another_model_or_of_something_else_is_refused_and_kept(model, x, options):
    sensitivity(model, x[:1], options=options)
    before = options.path.read_bytes()
    model[0].bias.data.add_(1)
    with pytest.raises(InputError, match=r"sense\.jsonl is of another Sequential"):
        sensitivity(model, x[:1], options=options)
    assert options.path.read_bytes() == before
    options.path.write_text("my diary\nof many lines\n")
    with pytest.raises(InputError, match="no JSON"):
        sensitivity(model, x[:1], options=options)
    assert options.path.read_text().startswith("my diary")


@pytest.mark.parametrize("text", ["my diary", '{"weights": [1, 2', "import torch"])
def test_a_file_of_somebodys_without_a_line_end_is_refused_and_kept(model, x, options, text):
    options.path.write_text(text)
    with pytest.raises(InputError, match="no JSON"):
        sensitivity(model, x[:1], options=options)
    assert options.path.read_text() == text


@pytest.mark.parametrize("indent", [None, 2])
def test_a_record_written_by_to_json_is_gone_on_with_too(model, x, options, indent):
    found = sensitivity(model, x[:1], options=dataclasses.replace(options, path=None))
    rows = tuple(dataclasses.replace(row, points=row.points[:1]) for row in found.rows)
    dataclasses.replace(found, rows=rows, complete=False).to_json(options.path, indent=indent)
    again, steps = counted(options)
    assert len(sensitivity(model, x[:1], options=again).points) == len(found.points)
    assert len(steps) == len(found.points) - len(rows)
    assert read_sensitivity(options.path).points == read_sensitivity(str(options.path)).points
    assert len(read_sensitivity(options.path).points) == len(found.points)


def test_a_full_disk_ends_it_with_the_file_whole(model, x, options, monkeypatch):
    true, calls = os.fsync, []

    def full(number):
        calls.append(number)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        true(number)

    monkeypatch.setattr(journal.os, "fsync", full)
    with pytest.raises(SearchError, match="No space left on device") as caught:
        sensitivity(model, x[:1], options=options)
    assert len(caught.value.partial.points) == 4
    assert len(read_sensitivity(options.path).points) == 3
    assert options.path.read_bytes().endswith(b"}\n")


KILLED = """
import os, sys, torch
from torch import nn
from effwidgets.search import SensitivityOptions, sensitivity
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 8)).eval()
x = torch.randn(64, 64)
steps = []
def tell(progress):
    if progress.step is not None:
        steps.append(progress.step)
        if len(steps) == int(sys.argv[2]):
            os.kill(os.getpid(), 9)
found = sensitivity(model, x[:1], options=SensitivityOptions(calibration=x, levels=2, path=sys.argv[1], progress=tell))
print(len(steps), len(found.points), found.complete)
"""


@pytest.mark.slow
def test_a_killed_process_loses_nothing_that_it_had_measured(tmp_path):
    path = tmp_path / "sense.jsonl"
    first = subprocess.run([sys.executable, "-c", KILLED, str(path), "4"], check=False)
    assert first.returncode == -9
    held = read_sensitivity(path)
    assert len(held.points) == 3
    assert not held.complete
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), "0"], check=True, capture_output=True, text=True)
    measured, points, complete = done.stdout.split()
    assert int(measured) == int(points) - 3
    assert complete == "True"


def test_other_places_and_settings_join_those_that_the_file_has(model, x, options):
    first = sensitivity(model, x[:1], options=dataclasses.replace(options, layers=("0",)))
    whole = sensitivity(model, x[:1], options=options)
    assert len(first) < len(whole)
    assert read_sensitivity(options.path).points == whole.points
    again, steps = counted(dataclasses.replace(options, layers=("0",), shares=(0.2,)))
    more = sensitivity(model, x[:1], options=again)
    assert len(steps) == len(first)
    assert len(more.points) == len(first.points) + len(steps) == sum(row.planned for row in more)
    assert len(read_sensitivity(options.path).points) == len(whole.points) + len(steps)


def test_a_journal_of_no_file_yet_holds_nothing(tmp_path):
    assert Journal(tmp_path / "new.jsonl").earlier is None
    with pytest.raises(InputError, match="there is no folder"):
        Journal(tmp_path / "nowhere" / "new.jsonl").begin(Sensitivity(model="Net", cost=Cost(), divergence="kl"))
    (tmp_path / "empty.jsonl").write_text("")
    assert Journal(tmp_path / "empty.jsonl").earlier is None
