from __future__ import annotations

import dataclasses

import pytest

from effwidgets.records import Cost, LayerProfile, Profile, Uncounted, views_of
from effwidgets.views import layers
from effwidgets.views.wire import LayersPayload


@pytest.fixture
def deep(profile):
    """Ten thousand layers in a chain of blocks."""
    one = Cost(params=3, param_bytes=12, macs=5, saved_bytes=7)
    many = tuple(
        LayerProfile(
            name=f"block{index // 100}.layer{index}", kind="Linear", outputs=((1, 4),), cost=one, self_cost=one
        )
        for index in range(10_000)
    )
    whole = Cost(params=30_000, param_bytes=120_000, macs=50_000, saved_bytes=70_000)
    root = LayerProfile(name="", kind="Deep", outputs=((1, 4),), cost=whole)
    return dataclasses.replace(profile, layers=(root, *many), cost=whole)


@pytest.fixture
def partial(profile):
    return dataclasses.replace(profile, inputs=(), notes=("Nothing was run.",), uncounted=())


def test_the_payload_has_the_keys_and_types_of_the_wire(profile, partial, misfits):
    assert misfits(layers.payload(profile), LayersPayload) == []
    assert misfits(layers.payload(partial), LayersPayload) == []


def test_every_row_points_at_the_row_that_holds_it(profile):
    data = layers.payload(profile)
    assert data["parents"][0] == -1
    for name, parent in zip(data["names"][1:], data["parents"][1:], strict=True):
        assert data["names"][parent] == name.rpartition(".")[0]


def test_a_layer_whose_parent_is_not_listed_hangs_below_the_nearest_that_is(profile):
    orphan = LayerProfile(name="block.gone.deep", kind="Linear")
    data = layers.payload(dataclasses.replace(profile, layers=(*profile.layers, orphan)))
    assert data["names"][data["parents"][-1]] == "block"


def test_the_own_costs_of_all_rows_add_up_to_the_total_of_the_first(profile):
    data = layers.payload(profile)
    for key in ("params", "macs", "saved_bytes", "elementwise_ops"):
        assert sum(data["own"][key]) == data["total"][key][0]


def test_before_a_run_what_only_a_run_can_tell_is_not_a_number(partial):
    data = layers.payload(partial)
    assert data["partial"] is True
    assert data["totals"]["inference_peak_bytes"] is data["totals"]["saved_bytes"] is None
    assert data["totals"]["params"] == partial.cost.params


def test_the_text_says_flops_are_twice_the_macs_and_at_least_when_something_was_not_counted(profile):
    text = layers.TEXT.draw(profile)
    macs = profile.cost.macs
    assert f"at least {2 * macs / 1e6:.2f} M FLOPs (2 × MACs)" in text
    assert "Not counted: aten.fft_rfft" in text
    counted = layers.TEXT.draw(dataclasses.replace(profile, uncounted=()))
    assert "at least" not in counted


def test_the_text_names_the_total_first_and_indents_what_is_inside(profile):
    lines = layers.TEXT.draw(profile).splitlines()
    rows = lines[lines.index("") + 3 :]
    assert rows[0].startswith("DigitNet")
    assert rows[1].startswith("  conv1")
    assert any(row.startswith("    conv2") for row in rows)


def test_the_text_of_parameters_only_has_no_flops(partial):
    text = layers.TEXT.draw(partial)
    assert "FLOPs" not in text
    assert "14.6 k parameters" in text


def test_ten_thousand_layers_are_cut_with_a_line_that_says_how_many_more(deep):
    text = layers.TEXT.draw(deep)
    assert len(text.splitlines()) < 80
    assert "9,941 more layers" in text
    page = layers.HTML.draw(deep)
    assert page.count("<tr>") < 210
    assert "9,801 more layers" in page


@pytest.mark.parametrize("medium", ["text", "html", "figure"])
def test_a_layer_name_of_eighty_characters_is_shown_in_part_in_every_medium(profile, medium):
    name = "a" * 40 + "b" * 40
    long = dataclasses.replace(profile, layers=(*profile.layers, LayerProfile(name=name, kind="Linear")))
    [view] = [one for _, one in views_of(long, medium) if one.default and one.draw.__module__.startswith("effwidgets")]
    drawn = view.draw(long)
    assert "aaaaaaaaaa" in (drawn.to_json() if medium == "figure" else drawn)


def test_a_measured_time_brings_its_column_and_without_one_there_is_none(profile, timed, misfits):
    data = layers.payload(timed)
    assert misfits(data, LayersPayload) == []
    assert layers.payload(profile)["times"] is None
    assert data["times"]["total_s"][data["names"].index("block")] == pytest.approx(0.0008)
    assert data["times"]["own_s"][data["names"].index("block")] == pytest.approx(0.00005)
    for view in (layers.TEXT, layers.HTML):
        assert "Latency" in view.draw(timed)
        assert "Latency" not in view.draw(profile)
        assert "800 µs" in view.draw(timed)


def test_only_the_whole_measured_brings_no_column(profile, timed):
    whole = dataclasses.replace(profile, latency=timed.latency)
    assert layers.payload(whole)["times"] is None
    assert layers.payload(whole)["totals"]["latency_s"] == 0.002


def test_the_time_of_a_row_has_its_spread_beside_and_one_without_is_a_dash(timed, markup):
    page = markup(layers.HTML.draw(timed))
    titles = [found.get("title") for tag, found in page.attributes if tag == "td"]
    assert "± 20.0 µs, 12 runs" in titles  # half of a tenth of 400 µs
    row = next(line for line in layers.TEXT.draw(timed).splitlines() if line.lstrip().startswith("relu"))
    assert "–" in row


def test_the_residual_and_the_warning_stand_in_every_medium(timed):
    for view in (layers.TEXT, layers.HTML):
        drawn = " ".join(view.draw(timed).split())
        assert "70% of the whole forward; the residual of 600 µs" in drawn
        assert "not scaled to the whole, as some have no time" in drawn
        assert "spreads over 40% of the median; the layers timed alone take 70% of the whole" in drawn


def test_layers_that_take_longer_alone_and_add_up_to_the_whole_are_said_so(timed):
    scale = 0.002 / sum(layer.self_latency.median_s for layer in timed.layers if layer.self_latency)

    def scaled(one):
        own = one.self_latency
        return own and dataclasses.replace(own, median_s=scale * own.median_s)

    fast = dataclasses.replace(timed.latency, residual_s=-0.0001, iqr_s=0.0)
    every = tuple(dataclasses.replace(one, self_latency=scaled(one)) for one in timed.layers)
    text = " ".join(layers.TEXT.draw(dataclasses.replace(timed, latency=fast, layers=every)).split())
    assert "105% of the whole forward; 100 µs more than it" in text
    assert "Times are scaled to the whole." in text
    assert "Take care" not in text


def test_names_of_layers_never_become_markup(profile, markup, stranger):
    page = markup(layers.HTML.draw(profile))
    assert "script" not in page.tags
    assert stranger in page.text
    assert any(found.get("title") == f"block.{stranger}" for _, found in page.attributes)


def test_a_hostile_origin_or_model_name_never_becomes_markup(profile, markup, stranger):
    hostile = dataclasses.replace(profile, model=stranger, origin=stranger, notes=(stranger,))
    page = markup(layers.HTML.draw(hostile))
    assert "script" not in page.tags
    assert page.attributes[0][1]["data-effdl-origin"] == stranger


def test_the_page_carries_what_a_live_view_needs_to_hide_it_and_loads_nothing(profile, markup):
    page = layers.HTML.draw(profile)
    _, root = markup(page).attributes[0]
    assert root["class"] == "effdl-static"
    assert (root["data-effdl-origin"], root["data-effdl-view"]) == ("DigitNet-00000001", "layers")
    assert not {"script", "link", "img", "iframe"} & set(markup(page).tags)
    assert "http" not in page
    assert "url(" not in page


def test_the_treemap_holds_each_layers_own_work_so_that_areas_add_up(profile):
    [trace] = layers.FIGURE.draw(profile).data
    assert trace.branchvalues == "remainder"
    assert sum(trace.values) == 2 * profile.cost.macs
    assert "FLOPs (2 × MACs)" in trace.hovertemplate


def test_names_are_escaped_in_the_figure(profile):
    [trace] = layers.FIGURE.draw(profile).data
    assert any("&lt;script&gt;" in label for label in trace.labels)
    assert not any("<script" in label for label in trace.labels)


def test_a_model_of_one_layer_is_drawn_in_every_medium(profile):
    root = dataclasses.replace(profile.layers[0], name="", kind="Linear")
    single: Profile = dataclasses.replace(profile, layers=(root,), model="Linear")
    assert "Linear" in layers.TEXT.draw(single)
    assert "0 layers below the model" in layers.HTML.draw(single)
    assert len(layers.FIGURE.draw(single).data[0].ids) == 1


def test_what_only_the_backward_could_not_count_leaves_the_forward_whole(profile):
    missing = Uncounted(op="_fft_c2c", times=2, layer="", backward=True)
    told = dataclasses.replace(profile, uncounted=(missing,))
    assert layers.payload(told)["uncounted"] == []
    assert "_fft_c2c (2× in the model itself)" in layers.payload(told)["notes"][-1]
    assert "at least" not in repr(told)
