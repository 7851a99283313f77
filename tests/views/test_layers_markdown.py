"""The table for a paper."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import effwidgets
from effwidgets.errors import InputError, UnknownNameError
from effwidgets.profiling import parameters_only
from effwidgets.records import Latency
from effwidgets.testing.zoo import specimen


def rows(text):
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("|")
    ]


def test_the_head_has_units_and_the_rows_add_up_to_the_total(profile):
    head, _, *body = rows(profile.to_markdown(columns=["params", "macs", "saved_bytes"]))
    assert head == ["Layer", "Parameters (k)", "MACs (M)", "Saved for backward (kB)"]
    for place in (1, 2, 3):
        cells = [row[place].replace("*", "").replace("≥ ", "") for row in body]
        # "< 0.001" is a half of that, give or take as much, which is what rounding takes from each other cell.
        *parts, total = [float(cell[5:]) / 2 if cell.startswith("&lt; ") else float(cell) for cell in cells]
        digits = len(cells[-1].partition(".")[2])
        assert sum(parts) == pytest.approx(total, abs=0.5 * 10**-digits * len(body))
    assert body[-1][0] == "**Total**"


def test_lines_are_aligned_so_that_the_source_reads_as_a_table(profile):
    lines = [line for line in profile.to_markdown(depth=3).splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1
    assert lines[1].count(":") == len(rows(lines[0])[0])


def test_the_caption_says_the_convention_the_input_and_what_is_missing(profile):
    text = profile.to_markdown()
    assert "FLOPs = 2 × MACs" in text
    assert "input 1 × 3 × 32 × 32, float32" in text
    assert "at least" in text
    assert r"aten.fft\_rfft" in text
    assert "≥ 7.963" in text  # 2 x 3,981,632 = 7.963 M
    counted = dataclasses.replace(profile, uncounted=()).to_markdown()
    assert "at least" not in counted
    assert "≥" not in counted


def test_each_column_is_at_least_for_what_is_missing_in_it_alone(profile):
    fft = profile.uncounted[0]
    columns = ["params", "macs", "backward_macs", "output_bytes", "saved_bytes"]

    def marked(**more):
        text = dataclasses.replace(profile, **more).to_markdown(columns=columns)
        total = rows(text)[-1]
        return {key for key, cell in zip(columns, total[1:], strict=True) if "≥" in cell}, text.splitlines()[-1]

    forward, said = marked(uncounted=(fft,))
    assert (forward, "The totals are at least" in said) == ({"macs"}, True)
    backward, said = marked(uncounted=(dataclasses.replace(fft, backward=True),))
    assert (backward, "The totals are at least" in said) == ({"backward_macs"}, False)
    assert "The work of the backward is at least what it says" in said
    hidden, said = marked(uncounted=(), memory=dataclasses.replace(profile.memory, hidden=("fc",)))
    assert (hidden, "hidden in fc" in said) == ({"saved_bytes"}, True)


def test_work_of_the_model_itself_has_a_row_so_that_the_sum_holds():
    model, x = specimen("raw_parameter").build(), specimen("raw_parameter").inputs()
    text = effwidgets.profile(model, x).to_markdown(columns=["macs"])
    assert "the model's own" in text
    assert "| 288 |" in " ".join(text.split())  # the raw weight: 4 x 12 x 6


def test_depth_and_columns_are_what_was_asked_for(profile):
    assert [row[0] for row in rows(profile.to_markdown(depth=0))[2:]] == ["**Total**"]
    shallow, deep = rows(profile.to_markdown(depth=1)), rows(profile.to_markdown(depth=2))
    assert len(deep) == len(shallow) + 2
    assert "must not be added up" in profile.to_markdown(depth=2)
    assert rows(profile.to_markdown(columns=["kind", "calls"]))[0] == ["Layer", "Kind", "Calls"]
    with pytest.raises(UnknownNameError, match="'flops'"):
        profile.to_markdown(columns=["flop"])
    for bad in (-1, 1.5, True):
        with pytest.raises(InputError, match="depth"):
            profile.to_markdown(depth=bad)
    with pytest.raises(InputError, match="columns"):
        profile.to_markdown(columns="params")


def test_names_never_become_markup_or_columns(profile, stranger):
    hostile = dataclasses.replace(
        profile,
        model=f"{stranger}|x",
        layers=(dataclasses.replace(profile.layers[0], kind="a|b\nc"), *profile.layers[1:]),
    )
    text = hostile.to_markdown(depth=3)
    assert "<script" not in text
    assert len({line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")}) == 1


def test_a_small_part_is_not_written_as_nothing(profile):
    [row] = [row for row in rows(profile.to_markdown(columns=["macs"])) if row[0] == "fc"]
    assert row[1] == "&lt; 0.001"  # 320 MACs of 3.982 M


def test_before_a_run_there_are_parameters_alone():
    text = parameters_only(torch.nn.Linear(4, 3)).to_markdown()
    assert "FLOPs" not in text
    assert "**15**" in text


def test_latency_is_refused_where_it_was_not_measured_and_scaled_where_it_was(profile):
    with pytest.raises(InputError, match="latency=True"):
        profile.to_markdown(columns=["latency_s"])
    timed = Latency(median_s=0.0025, iqr_s=0.0001, repeats=5, device="cpu", threads=1)
    layers = tuple(
        dataclasses.replace(layer, latency=timed) if layer.kind == "Conv2d" else layer for layer in profile.layers
    )
    text = dataclasses.replace(profile, layers=layers, latency=timed).to_markdown(columns=["latency_s"])
    assert "Latency (ms)" in text
    assert "**7.500**" in text  # three convolutions
    assert "Latency on cpu, 1 thread, torch" in text
