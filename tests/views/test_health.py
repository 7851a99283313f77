"""How the health of a model is shown."""

from __future__ import annotations

import dataclasses
import io

import pandas as pd
import pytest
import torch
from torch import nn

from effwidgets.checkup.health import health
from effwidgets.errors import InputError, UnknownNameError
from effwidgets.records import Finding
from effwidgets.views.health import HTML, TEXT


@pytest.fixture(scope="module")
def sick():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 4), nn.Sigmoid(), nn.Linear(4, 2))
    model[2].requires_grad_(requires_grad=False)
    with torch.no_grad():
        model[0].bias[:5] = -100.0
    return health(model, 3 * torch.randn(64, 6))  # both signs, so that no unit is off by chance


@pytest.fixture
def hostile(sick, stranger):
    layers = (*sick.layers[:-1], dataclasses.replace(sick.layers[-1], name=stranger, kind=stranger))
    found = (*sick.findings, Finding(kind="dead", severity="problem", layers=(stranger,), text=stranger))
    return dataclasses.replace(sick, model=stranger, loss=stranger, layers=layers, findings=found, notes=(stranger,))


def test_the_text_says_the_findings_the_loss_and_a_line_for_each_layer(sick):
    text = TEXT.draw(sick)
    assert "! 5 of 20 units of relu ('1', after '0') pass on nothing for the whole batch, 64 values each." in text
    assert "· 1 layer is frozen" in text
    assert "training mode" in text
    assert "signed mean" in text
    rows = [line.split()[:2] for line in text.splitlines() if line[:1].isdigit()]
    assert rows == [["0", "Linear"], ["1", "ReLU"], ["2", "Linear"], ["3", "Sigmoid"], ["4", "Linear"]]
    assert "25%" in text


def test_a_healthy_model_is_said_to_be_so():
    assert "Nothing was found." in TEXT.draw(health(nn.Linear(3, 2), torch.rand(40, 3)))


def test_the_page_and_the_figure_never_take_text_for_markup(hostile, markup, stranger):
    page = markup(HTML.draw(hostile))
    assert "script" not in page.tags
    assert stranger in page.text
    text = hostile.to_plotly().to_json()
    assert "<script" not in text
    assert "\\u003cscript" not in text
    assert "<script" not in hostile.to_markdown(depth=9)


def test_the_page_counts_problems_and_warnings(sick, markup):
    page = markup(HTML.draw(sick))
    assert "Problems0" in page.text
    assert "Warnings1" in page.text
    assert page.attributes[0][1]["data-effdl-view"] == "health"


def test_a_page_of_many_findings_and_layers_is_cut_and_says_so(sick):
    many = tuple(dataclasses.replace(sick.layers[1], name=f"layer{index}") for index in range(500))
    findings = tuple(dataclasses.replace(sick.findings[0], text=f"finding {index}") for index in range(100))
    page = HTML.draw(dataclasses.replace(sick, layers=many, findings=findings))
    assert "300 more layers" in page
    assert "70 more findings" in page


def test_the_figure_holds_the_numbers_of_the_record(sick):
    figure = sick.to_plotly()
    traces = {trace.name: list(trace.y) for trace in figure.data}
    rows = [layer for layer in sick.layers if layer.name]
    assert traces["Gradient of the weights"] == [layer.gradient_norm for layer in rows]
    assert traces["Gradient by the outputs"] == [layer.signal_norm for layer in rows]
    assert traces["Dead units"] == [100 * layer.dead / layer.units if layer.units else None for layer in rows]
    assert figure.layout.yaxis.type == "log"


def test_the_table_has_a_row_for_each_module_and_reads_back_equal(sick):
    table = sick.to_pandas()
    assert table["layer"].tolist() == [layer.name for layer in sick.layers]
    assert table["dead"].tolist() == [layer.dead for layer in sick.layers]
    read = pd.read_csv(io.StringIO(sick.to_csv()), keep_default_na=False)
    for name in ("weight_norm", "gradient_norm", "signal_norm"):
        cells = [None if cell == "" else float(cell) for cell in read[name]]
        assert cells == [getattr(layer, name) for layer in sick.layers]
    assert table.attrs["findings"] == [one.text for one in sick.findings]


def test_the_markdown_has_the_columns_that_were_asked_for(sick):
    text = sick.to_markdown(columns=["dead", "gradient"])
    assert text.splitlines()[0].split(" | ")[1:] == ["Dead", "Gradient |"]
    assert "| 1     |  25% | none     |" in text
    with pytest.raises(UnknownNameError, match="'dead'"):
        sick.to_markdown(columns=["deed"])
    with pytest.raises(InputError, match="depth"):
        sick.to_markdown(depth=-1)
