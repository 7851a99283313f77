from __future__ import annotations

import dataclasses

import pytest

from effwidgets.records import Memory
from effwidgets.views import layers
from effwidgets.views.memory import held, memory_figures


def figures_of(profile):
    return {one.title: one for one in memory_figures(layers.payload(profile))}


def test_each_number_names_its_layer(profile, stranger):
    data = layers.payload(profile)
    found = {title: one.where for title, one in figures_of(profile).items()}
    assert held(data) == f"largest: block.{stranger}"
    assert found == {
        "Inference peak": "at bn1",
        "Saved for backward": "largest: bn1",
        "Training peak, SGD": f"at block.{stranger}",
    }


def test_the_model_itself_is_named_by_its_class(profile):
    own = dataclasses.replace(profile.memory, param_at="", saved_at="", inference_peak_at="")
    found = dataclasses.replace(profile, memory=own)
    assert held(layers.payload(found)) == "largest: DigitNet"
    assert figures_of(found)["Inference peak"].where == "at DigitNet"


def test_of_nothing_nobody_has_the_largest_share(profile):
    none = Memory(param_bytes=0, inference_peak_bytes=8, inference_peak_at="", saved_bytes=0)
    found = dataclasses.replace(profile, memory=none)
    assert held(layers.payload(found)) == figures_of(found)["Saved for backward"].where == ""


def test_before_a_run_there_are_no_figures_but_who_holds_the_parameters_is_known(profile, stranger):
    data = layers.payload(dataclasses.replace(profile, inputs=()))
    assert memory_figures(data) == []
    assert held(data) == f"largest: block.{stranger}"


def test_memory_out_of_sight_makes_three_numbers_at_least_and_never_the_parameters(masked, profile):
    assert {one.least for one in memory_figures(layers.payload(profile))} == {""}
    assert all("more is hidden in block" in one.least for one in memory_figures(layers.payload(masked)))
    lines = layers.TEXT.draw(masked).splitlines()
    assert [line.split("  ")[0] for line in lines if "  ≥ " in line] == [
        "Inference peak",
        "Saved for backward",
        "Training peak, SGD",
    ]


@pytest.mark.parametrize("view", [layers.TEXT, layers.HTML], ids=["text", "html"])
def test_text_and_page_show_all_four_with_their_layers(profile, view, markup, stranger):
    drawn = view.draw(profile)
    text = drawn if view is layers.TEXT else markup(drawn).text
    assert f"58.5 kB with buffers{',' if view is layers.TEXT else ';'} largest: block.{stranger}" in text
    for said in ("at bn1", "largest: bn1", f"at block.{stranger}"):
        assert said in text
