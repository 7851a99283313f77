"""A comparison leaves as a table: every number is the record's own."""

from __future__ import annotations

import csv
import io

import pytest
import torch
from torch import nn

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.profiling.profile import profile
from effwidgets.whatif.comparison import compare


@pytest.fixture
def comparison():
    wide, narrow = (nn.Sequential(nn.Linear(8, n), nn.Linear(n, 2)) for n in (16, 12))
    return compare(profile(wide, torch.zeros(4, 8)), profile(narrow, torch.zeros(4, 8)))


def test_a_comparison_is_a_table_with_a_row_for_each_layer(comparison):
    table = comparison.to_pandas()
    assert list(table["layer"]) == ["", "0", "1"]
    for name in ("params", "macs", "saved_bytes"):
        assert list(table[f"{name}_change"]) == [getattr(layer.change, name) for layer in comparison.layers]
    assert table["own_macs_change"].sum() == comparison.change.macs
    assert "out_features 16 → 12" in table["facts"][1]
    rows = list(csv.DictReader(io.StringIO(comparison.to_csv())))
    assert [int(row["macs_after"].lstrip("'")) for row in rows] == [layer.after.macs for layer in comparison.layers]


def test_a_comparison_in_markdown_goes_as_deep_as_asked(comparison):
    whole = comparison.to_markdown(depth=0)
    assert "| Parameters " in whole
    assert "out\\_features" not in whole
    deep = comparison.to_markdown(depth=1, columns=["params"])
    assert "out\\_features 16 → 12" in deep
    assert "Saved, before" not in deep
    with pytest.raises(UnknownNameError, match="column"):
        comparison.to_markdown(columns=["flop"])
    with pytest.raises(InputError, match="depth is -1"):
        comparison.to_markdown(depth=-1)
