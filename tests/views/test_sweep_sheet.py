"""A sweep leaves as a table: every number is the record's own."""

from __future__ import annotations

import csv
import dataclasses
import io

import pytest
import torch
from torch import nn

from effwidgets.errors import UnknownNameError
from effwidgets.whatif.sweep import Axis, sweep


@pytest.fixture
def sizes():
    return sweep(nn.Linear(8, 4), lambda n: torch.zeros(n, 8 if n < 4 else 9), Axis(name="size", sizes=(1, 2, 3, 4)))


def test_a_sweep_is_a_table_with_a_row_for_each_size_and_gaps_where_the_model_does_not_run(sizes):
    table = sizes.to_pandas()
    assert list(table["size"]) == [1, 2, 3, 4]
    assert list(table["macs"][:3]) == [32, 64, 96]
    assert bool(table["macs"].isna()[3])
    assert "takes 8 features" in table["note"][3]
    assert table.attrs["growth"]["macs"] == "32·n"
    rows = list(csv.DictReader(io.StringIO(sizes.to_csv())))
    assert [row["macs"] for row in rows] == ["32", "64", "96", ""]


def test_whole_numbers_stay_whole_past_two_to_the_53_beside_a_gap(sizes):
    odd = 2**60 + 1  # a float would give 2^60
    whole = next(point for point in sizes.points if point.cost is not None)
    large = dataclasses.replace(whole, cost=dataclasses.replace(whole.cost, macs=odd))
    table = dataclasses.replace(sizes, points=(large, sizes.points[-1])).to_pandas()
    assert str(table["macs"].dtype) == "Int64"
    assert int(table["macs"][0]) == odd
    assert bool(table["macs"].isna()[1])


def test_a_sweep_in_markdown_ends_with_the_formulas(sizes):
    text = sizes.to_markdown(columns=["macs"])
    assert "64·n" in text  # FLOPs
    assert text.count("\n") == 2 + 4 + 1 + 2
    with pytest.raises(UnknownNameError, match="column"):
        sizes.to_markdown(columns=["flop"])
