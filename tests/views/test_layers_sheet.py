"""The table of layers: for pandas and for a spreadsheet."""

from __future__ import annotations

import csv
import dataclasses
import io

import pandas as pd
import pytest
import torch

import effwidgets
from effwidgets.errors import InputError, UnknownNameError
from effwidgets.records import Cost, Latency, LayerProfile
from effwidgets.testing.zoo import MODELS
from effwidgets.views import layers_sheet
from effwidgets.views.sheet import Field, csv_text, escaped

COSTS = [part.name for part in dataclasses.fields(Cost)]


def test_every_number_of_every_layer_is_in_the_table(profile):
    table = profile.to_pandas()
    assert list(table["layer"]) == [layer.name for layer in profile.layers]
    for key in COSTS:
        assert table[key].tolist() == [getattr(layer.cost, key) for layer in profile.layers]
        assert table[f"own_{key}"].tolist() == [getattr(layer.self_cost, key) for layer in profile.layers]
        assert table[f"own_{key}"].sum() == table[key].iloc[0] == getattr(profile.cost, key)


@pytest.mark.parametrize(
    "one", [one for one in MODELS if one.name in ("residual", "gpt", "shared_conv", "lstm")], ids=lambda one: one.name
)
def test_in_real_models_what_is_inside_is_the_sum_of_the_layers_below(one):
    table = effwidgets.profile(one.build(), one.inputs()).to_pandas()
    assert table["macs"].iloc[0] == one.macs
    for row in table.itertuples():
        inside = table[
            (table["layer"] == row.layer) | table["layer"].str.startswith(f"{row.layer}.") | (row.layer == "")
        ]
        for key in COSTS:
            assert inside[f"own_{key}"].sum() == getattr(row, key)


def test_columns_are_typed_and_the_table_says_of_what_it_is(profile):
    table = profile.to_pandas()
    assert {str(table[key].dtype) for key in (*COSTS, "depth", "calls")} == {"int64"}
    assert {str(table[key].dtype) for key in ("latency_s", "own_latency_s", "latency_iqr_s")} == {"Float64"}
    assert {str(table[key].dtype) for key in ("layer", "kind", "output_shapes")} == {"string"}
    assert pd.isna(table["parent"].iloc[0])
    assert table["output_shapes"].iloc[1] == "1x16x32x32"
    assert table.attrs["model"] == "DigitNet"
    assert table.attrs["at_least"] is True
    assert "FLOPs = 2 x MACs" in table.attrs["conventions"]


def test_what_was_not_counted_is_counted_in_the_layers_that_hold_it(profile):
    table = profile.to_pandas().set_index("layer")
    assert table.loc["block", "own_uncounted_ops"] == 2
    assert table.loc["", "uncounted_ops"] == 2
    assert table.loc["", "own_uncounted_ops"] == 0
    assert table.loc["conv1", "uncounted_ops"] == 0


def test_a_measured_time_is_in_seconds_and_an_unmeasured_one_is_missing(profile):
    timed = Latency(median_s=0.25, iqr_s=0.01, repeats=5, device="cpu", threads=1)
    first = dataclasses.replace(profile.layers[1], latency=timed, self_latency=timed)
    layers = (profile.layers[0], first, *profile.layers[2:])
    table = dataclasses.replace(profile, layers=layers).to_pandas()
    assert table["latency_s"].iloc[1] == table["own_latency_s"].iloc[1] == 0.25
    assert table["latency_s"].isna().sum() == len(layers) - 1


def test_the_csv_reads_back_as_the_same_table(profile):
    table = profile.to_pandas()
    read = pd.read_csv(io.StringIO(profile.to_csv()), keep_default_na=False, dtype=str)
    assert list(read.columns) == list(table.columns)
    for key in COSTS:
        assert read[key].astype("int64").tolist() == table[key].tolist()
    assert read["layer"].tolist() == table["layer"].tolist()


@pytest.mark.parametrize(
    "name", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "  =1", "\r=1", "\uff1d1", "|x", "%x"]
)
def test_a_name_that_a_spreadsheet_would_read_as_a_formula_is_text(profile, name):
    strange = dataclasses.replace(profile, layers=(*profile.layers, LayerProfile(name=name, kind=name)))
    row = list(csv.reader(io.StringIO(strange.to_csv(), newline="")))[-1]
    assert row[0] == row[1] == f"'{name}"


def test_names_with_commas_quotes_and_line_breaks_stay_one_cell(profile, stranger):
    name = 'a,"b"\nc'
    strange = dataclasses.replace(profile, layers=(*profile.layers, LayerProfile(name=name, kind="Linear")))
    rows = list(csv.reader(io.StringIO(strange.to_csv(), newline="")))
    assert rows[-1][0] == name
    assert len({len(row) for row in rows}) == 1
    assert rows[7][0] == f"block.{stranger}"


def test_a_file_with_letters_beyond_ascii_says_that_it_is_utf_8(profile, tmp_path):
    assert profile.to_csv(tmp_path / "plain.csv") is None
    assert (tmp_path / "plain.csv").read_bytes() == profile.to_csv().encode()
    strange = dataclasses.replace(profile, layers=(*profile.layers, LayerProfile(name="größe", kind="Linear")))
    strange.to_csv(str(tmp_path / "wide.csv"))
    assert (tmp_path / "wide.csv").read_bytes().startswith(b"\xef\xbb\xbflayer,")
    assert pd.read_csv(tmp_path / "wide.csv")["layer"].iloc[-1] == "größe"


@pytest.mark.parametrize("path", ["", 3, "no/such/folder/file.csv"])
def test_a_path_that_cannot_be_written_is_refused(profile, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        profile.to_csv(path)


def test_a_record_without_a_table_says_which_have_one():
    found = effwidgets.disk(torch.nn.Linear(2, 2))
    with pytest.raises(UnknownNameError, match="figure of 'DiskBytes'"):
        found.to_plotly()
    health = effwidgets.health(torch.nn.Linear(2, 2), torch.rand(4, 2))
    with pytest.raises(UnknownNameError, match=r"tree of 'Health'.*'Profile'"):
        health.tree()


def test_floats_are_written_so_that_they_read_back_equal():
    values = [0.1, 1e-300, 1 / 3, None]
    rows = csv_text([Field("x", "float", values)]).split("\r\n")[1:-1]
    assert [float(row) for row in rows[:-1]] == values[:-1]
    assert rows[-1] in ("", '""')


def test_markdown_never_takes_a_name_for_markup():
    assert escaped("a|b*c_d`e<f>&[g](h)$i") == r"a\|b\*c\_d\`e&lt;f&gt;&amp;\[g\](h)\$i"
    assert "\n" not in escaped("a\nb")


def test_the_views_are_announced(profile):
    assert layers_sheet.FRAME.draw(profile).equals(profile.to_pandas())
