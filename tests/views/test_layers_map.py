"""Treemap, icicle and bars."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import effwidgets
from effwidgets.errors import InputError, UnknownNameError
from effwidgets.profiling import parameters_only
from effwidgets.records import Latency, LayerProfile
from effwidgets.testing.zoo import specimen
from effwidgets.views.measures import MEASURES, values_of
from effwidgets.views.roles import ROLES

COUNTED = [key for key in MEASURES if key not in ("latency_s", "flops")]


def part(profile, key):
    return [getattr(layer.cost, key) for layer in profile.layers]


@pytest.mark.parametrize("view", ["treemap", "icicle"])
@pytest.mark.parametrize("key", COUNTED)
def test_areas_are_the_numbers_of_the_record(profile, view, key):
    [trace] = profile.to_plotly(view, by=key).data
    assert trace.branchvalues == "total"
    values = {int(row): value for row, value in zip(trace.ids, trace.values, strict=True)}
    expected = part(profile, key)
    assert values == {row: value for row, value in enumerate(expected) if value or row == 0}
    for row, parent in zip(trace.ids, trace.parents, strict=True):
        assert (parent == "") is (row == "0")
    for row in trace.ids:  # plotly draws nothing where children outgrow their parent
        inside = [values[int(one)] for one, parent in zip(trace.ids, trace.parents, strict=True) if parent == row]
        assert sum(inside) <= values[int(row)]


@pytest.mark.parametrize("name", ["residual", "gpt", "lstm", "shared_conv", "transformer_encoder"])
def test_in_real_models_what_is_gathered_is_the_cost_of_each_layer(name):
    one = specimen(name)
    profile = effwidgets.profile(one.build(), one.inputs())
    [trace] = profile.to_plotly("treemap", by="macs").data
    assert max(trace.values) == one.macs
    assert dict(zip(trace.ids, trace.values, strict=True)) == {
        str(row): value for row, value in enumerate(part(profile, "macs")) if value or row == 0
    }


@pytest.mark.parametrize("key", [*COUNTED, "flops"])
def test_bars_add_up_to_the_whole_also_when_most_layers_share_one(profile, key):
    many = tuple(dataclasses.replace(profile.layers[1], name=f"more{index}") for index in range(50))
    for one in (profile, dataclasses.replace(profile, layers=(*profile.layers, *many))):
        [trace] = one.to_plotly("bars", by=key).data
        own = [2 * layer.self_cost.macs if key == "flops" else getattr(layer.self_cost, key) for layer in one.layers]
        assert sum(trace.x) == sum(own)
        assert len(trace.x) <= 31


def test_flops_are_twice_the_macs_and_the_title_says_so(profile):
    flops, macs = (profile.to_plotly("treemap", by=key) for key in ("flops", "macs"))
    assert flops.data[0].values[0] == 2 * macs.data[0].values[0]
    assert "FLOPs (2 × MACs), at least 7.96 M in all" in flops.layout.title.text
    assert "(2 × MACs)" not in macs.layout.title.text


def test_a_title_says_at_least_only_of_what_is_missing_in_its_own_measure(profile):
    later = tuple(dataclasses.replace(one, backward=True) for one in profile.uncounted)
    whole = dataclasses.replace(profile, uncounted=later)
    assert "at least" not in whole.to_plotly("treemap", by="flops").layout.title.text
    assert "at least" in whole.to_plotly("treemap", by="backward_macs").layout.title.text
    assert "at least" not in profile.to_plotly("treemap", by="saved_bytes").layout.title.text
    hidden = dataclasses.replace(whole, memory=dataclasses.replace(whole.memory, hidden=("fc",)))
    assert "at least" in hidden.to_plotly("treemap", by="saved_bytes").layout.title.text


def test_names_are_chosen_by_their_end_and_unknown_ones_are_answered(profile):
    assert profile.to_plotly("layers_icicle").data[0].type == profile.to_plotly("icicle").data[0].type == "icicle"
    with pytest.raises(UnknownNameError, match="layers_treemap"):
        profile.to_plotly("treemop")
    with pytest.raises(UnknownNameError, match="'params'"):
        profile.to_plotly("treemap", by="parms")
    with pytest.raises(InputError, match="latency=True"):
        profile.to_plotly("bars", by="latency_s")


@pytest.mark.parametrize("everywhere", [True, False])
def test_time_is_drawn_whether_leaves_alone_or_all_layers_were_timed(profile, everywhere):
    def timed(seconds):
        return Latency(median_s=seconds, iqr_s=0.0, repeats=3, device="cpu", threads=1)

    leaves = {"conv1": 0.5, "block.conv2": 0.25, "fc": 0.125}
    whole = {"": 1.0, "block": 0.375} if everywhere else {}
    times = {**leaves, **whole}
    layers = tuple(
        dataclasses.replace(one, latency=timed(times[one.name])) if one.name in times else one for one in profile.layers
    )
    [trace] = dataclasses.replace(profile, layers=layers).to_plotly("icicle", by="latency_s").data
    found = {profile.layers[int(row)].name: value for row, value in zip(trace.ids, trace.values, strict=True)}
    assert found[""] == (1.0 if everywhere else 0.875)
    assert found["block"] == (0.375 if everywhere else 0.25)
    assert found["block.conv2"] == 0.25


def test_own_time_is_what_was_measured_and_row_0_has_what_no_layer_was_timed_with(timed):
    [trace] = timed.to_plotly("icicle", by="latency_s").data
    found = {timed.layers[int(row)].name: value for row, value in zip(trace.ids, trace.values, strict=True)}
    # bn1 as slow as all of the block: medians need not nest, so block minus its children is not its own time.
    odd = [
        dataclasses.replace(one, latency=dataclasses.replace(one.latency, median_s=0.0001))
        if one.name == "block"
        else one
        for one in timed.layers
    ]
    own = values_of(dataclasses.replace(timed, layers=tuple(odd)), "latency_s")
    by_name = {one.name: value for one, value in zip(timed.layers, own, strict=True)}
    assert by_name["block"] == 0.00005
    assert sum(own) == pytest.approx(0.002, rel=1e-12)
    assert by_name[""] == pytest.approx(0.0006, rel=1e-9)  # 2.0 ms less 1.4 ms of the layers
    assert found["block"] == pytest.approx(0.0008, rel=1e-12)
    assert found[""] == pytest.approx(0.002, rel=1e-12)


def test_before_a_run_areas_are_parameters():
    profile = parameters_only(torch.nn.Sequential(torch.nn.Linear(4, 3)))
    figure = profile.to_plotly("treemap")
    assert figure.data[0].values[0] == 15
    assert "FLOPs" not in figure.data[0].hovertext[0]


@pytest.mark.parametrize("view", ["treemap", "icicle", "bars"])
def test_names_never_become_markup_or_formulas(profile, view, stranger):
    name = "$x^2$"
    layers = (
        *profile.layers,
        LayerProfile(name=name, kind=stranger, cost=profile.layers[1].cost, self_cost=profile.layers[1].self_cost),
    )
    text = dataclasses.replace(profile, model=stranger, layers=layers).to_plotly(view).to_json()
    assert "<script" not in text
    assert "\\u003cscript" not in text
    assert "$x" not in text


def test_the_hover_holds_all_numbers_own_and_inside(profile):
    [trace] = profile.to_plotly("treemap").data
    hover = trace.hovertext[trace.ids.index("4")]
    assert hover.startswith("<b>block</b><br>Residual")
    for words in (
        "Parameters 13.8 k (0 its own)",
        "MACs 3.54 M",
        "FLOPs 7.08 M",
        "Saved for backward 98.3 kB",
        "Elementwise 8.19 k",
    ):
        assert words in hover


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("view", ["treemap", "icicle", "bars"])
def test_it_is_readable_on_a_light_and_on_a_dark_ground(profile, view):
    figure = profile.to_plotly(view)
    assert figure.layout.paper_bgcolor == "rgba(0,0,0,0)"
    for role in ROLES.values():
        assert contrast(role.colour, "#ffffff") >= 4.5  # white text on a tile, as WCAG asks for small text
        assert contrast(role.colour, "#111111") >= 3  # the tile on a dark page, as it asks for graphics
    for ground in ("#ffffff", "#111111"):
        assert contrast(figure.layout.font.color, ground) >= 4.2  # the best that one grey can be on both
