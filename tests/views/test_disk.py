"""How the size of a model as a file is shown."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from effwidgets.checkup.disk import disk
from effwidgets.records import LayerBytes
from effwidgets.views.disk import HTML, TEXT


@pytest.fixture(scope="module")
def found():
    torch.manual_seed(0)
    return disk(nn.Sequential(nn.Linear(100, 50), nn.Linear(50, 2000)))


def test_all_three_sizes_are_said_to_the_byte_with_the_codec(found):
    for shown in (TEXT.draw(found), HTML.draw(found)):
        for size in (found.saved_bytes, found.safetensors_bytes, found.compressed_bytes):
            assert f"{size:,} bytes" in shown
        assert "deflate, level 6" in shown


def test_the_largest_layer_stands_first_in_the_text(found):
    rows = [line.split()[0] for line in TEXT.draw(found).splitlines() if line[:1].isdigit()]
    assert rows == ["1", "0"]


def test_what_is_not_known_is_a_dash_with_its_reason():
    shown = TEXT.draw(disk(nn.Linear(3, 2, device="meta")))
    assert "–" in shown
    assert "stands on meta" in shown


def test_names_never_become_markup_and_many_layers_are_cut(found, markup, stranger):
    layers = tuple(LayerBytes(name=f"{stranger}{index}", data_bytes=4) for index in range(300))
    hostile = dataclasses.replace(found, model=stranger, codec=stranger, layers=layers, notes=(stranger,))
    page = markup(HTML.draw(hostile))
    assert "script" not in page.tags
    assert "100 more layers" in page.text
    assert "270 more layers" in TEXT.draw(hostile)
