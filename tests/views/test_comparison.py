from __future__ import annotations

import dataclasses

import pytest

from effwidgets.records import VIEWS, Comparison, Cost, Latency, LayerProfile, Profile, Uncounted, settings
from effwidgets.testing.contracts import ViewContract
from effwidgets.units import count_text
from effwidgets.views import comparison as view
from effwidgets.views.comparison_rows import ComparisonPayload
from effwidgets.whatif.comparison import compare


def conv(name: str, channels: tuple[int, int], own: Cost, **more: object) -> LayerProfile:
    config = settings(in_channels=channels[0], out_channels=channels[1], kernel_size=(3, 3), stride=(1, 1))
    return LayerProfile(name=name, kind="Conv2d", config=config, calls=1, self_cost=own, cost=own, **more)


@pytest.fixture
def after(profile: Profile, stranger: str) -> Profile:
    """As before, but: conv2 pruned, the strange one split into two, relu gone, a dropout added."""
    narrow = Cost(params=2_880, macs=737_280, param_bytes=11_520, saved_bytes=65_536, output_bytes=20_480)
    one, two = (Cost(params=n, macs=100 * n, param_bytes=4 * n, saved_bytes=n) for n in (960, 1_280))
    pair = f"block.{stranger}"
    old = {layer.name: layer for layer in profile.layers}
    block = old["block"].self_cost
    inside = block + narrow + one + two
    gone = old["relu"].cost
    total = profile.cost - old["block"].cost + inside - gone
    layers = (
        dataclasses.replace(old[""], cost=total),
        old["conv1"],
        old["bn1"],
        LayerProfile(name="drop", kind="Dropout", calls=1),
        dataclasses.replace(old["block"], cost=inside),
        conv("block.conv2", (16, 20), narrow),
        LayerProfile(name=pair, kind="Sequential", calls=1, cost=one + two),
        conv(f"{pair}.0", (20, 8), one),
        conv(f"{pair}.1", (8, 32), two),
        old["fc"],
    )
    memory = dataclasses.replace(profile.memory, param_bytes=40_000, inference_peak_bytes=140_000)
    return dataclasses.replace(profile, layers=layers, cost=total, memory=memory, inputs=((2, 3, 32, 32),))


@pytest.fixture
def found(profile: Profile, after: Profile) -> Comparison:
    timed = [
        dataclasses.replace(one, latency=Latency(median_s=s, iqr_s=0.0, repeats=3, device="cpu", threads=1))
        for one, s in ((profile, 0.004), (after, 0.003))
    ]
    return compare(*timed)


def test_the_payload_has_the_keys_and_types_that_it_states(found, misfits):
    assert misfits(view.payload(found), ComparisonPayload) == []


def test_the_rows_that_stand_for_a_place_add_up_to_the_change_of_the_model(found):
    rows = view.payload(found)["rows"]
    for key in ("params", "macs", "saved_bytes"):
        assert sum(row["place_after"][key] - row["place_before"][key] for row in rows) == getattr(found.change, key)
        assert rows[0]["change"][key] == getattr(found.change, key)


def test_layers_that_are_as_they_were_are_counted_and_not_listed(found):
    data = view.payload(found)
    assert data["same"] == 3  # conv1, bn1, fc
    assert {row["label"] for row in data["rows"]} & {"conv1", "bn1", "fc"} == set()


def test_a_row_says_what_became_of_the_layer_and_parts_say_their_sizes(found, stranger):
    rows = {row["name"]: row for row in view.payload(found)["rows"]}
    assert (rows["relu"]["state"], rows["drop"]["state"]) == ("removed", "added")
    split = rows[f"block.{stranger}"]
    assert (split["state"], split["kind"]) == ("replaced", "Conv2d → Sequential")
    part = rows[f"block.{stranger}.0"]
    assert (part["part"], part["told"]) == (True, "3×3, 20 → 8")


def test_the_text_shows_before_after_change_and_a_bar_to_either_side(found):
    text = view.TEXT.draw(found)
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    assert "–" not in lines["Latency"]
    assert "4.00 ms" in lines["Latency"]
    assert "−1.00 ms" in lines["Latency"]
    assert "−25%" in lines["Latency"]
    assert "131 kB" in lines["Inference peak"]
    assert "+8.93 kB" in lines["Inference peak"]
    assert "at bn1" in lines["Inference peak"]
    assert "! Not the same inputs: 1 × 3 × 32 × 32 before" in text
    assert "█│" in text
    assert "≥" in lines["FLOPs (2 × MACs)"]  # one operation of the block has no formula
    assert "≥" not in lines["Inference peak"]  # what it returns is seen all the same
    assert "the total is at least this" in text


def test_the_backward_is_shown_in_flops_which_are_twice_its_macs(found):
    said = [count_text(2 * side.cost.backward_macs) for side in (found.before, found.after)]
    line = next(line for line in view.TEXT.draw(found).splitlines() if line.startswith("Backward FLOPs"))
    page, paper = view.HTML.draw(found), found.to_markdown()
    assert all(text in line for text in said)
    assert all(text in page.split("Backward FLOPs")[1].split("</tr>")[0] for text in said)
    assert all(text in paper.split("Backward FLOPs")[1].split("\n")[0] for text in said)


def test_each_total_is_at_least_for_what_is_missing_in_it_alone(profile):
    fft = Uncounted(op="fft", times=1, layer="")
    lone = {
        "forward": dataclasses.replace(profile, uncounted=(fft,)),
        "backward": dataclasses.replace(profile, uncounted=(dataclasses.replace(fft, backward=True),)),
        "memory": dataclasses.replace(
            profile, uncounted=(), memory=dataclasses.replace(profile.memory, hidden=("block",))
        ),
    }
    whole = dataclasses.replace(profile, uncounted=())
    marked = {
        name: {row["key"] for row in view.payload(compare(whole, one))["totals"] if row["after_least"]}
        for name, one in lone.items()
    }
    assert marked["forward"] == {"macs", "elementwise_ops", "moved_bytes"}
    assert marked["backward"] == {"backward_macs"}
    assert marked["memory"] == {"inference_peak_bytes", "saved_bytes", "training_peak_bytes"}
    assert not view.payload(compare(whole, whole))["least"]


def test_two_equal_profiles_say_that_no_layer_differs_in_every_medium(profile):
    same = compare(profile, profile)
    assert "No layer differs." in view.TEXT.draw(same)
    assert "No layer differs." in view.HTML.draw(same)
    assert len(view.FIGURE.draw(same).data) == 6


def test_names_of_layers_never_become_markup(found, markup, stranger):
    page = markup(view.HTML.draw(found))
    assert "script" not in page.tags
    assert stranger in page.text
    assert "<script>" not in view.FIGURE.draw(found).to_json()


@pytest.mark.parametrize("medium", ["text", "html", "figure"])
def test_the_views_keep_the_promises_of_a_view(found, medium):
    ViewContract(VIEWS[f"comparison_{medium}"]).check(found)


def test_a_change_is_green_when_it_is_less_and_red_when_it_is_more_and_never_by_colour_alone(found):
    page = view.HTML.draw(found)
    assert '<td class="n good">−1.00 ms</td>' in page
    assert '<td class="n bad">+8.93 kB</td>' in page


def test_parameters_only_shows_parameters_only(profile):
    partial = dataclasses.replace(
        profile, layers=tuple(dataclasses.replace(layer, calls=0) for layer in profile.layers)
    )
    titles = [row["title"] for row in view.payload(compare(partial, profile))["totals"]]
    assert titles[0] == "Parameters"
    assert not any("FLOPs" in title for title in titles)


def test_ten_thousand_layers_that_differ_are_cut_with_a_line_that_says_how_many_more(profile):
    def deep(params: int) -> Profile:
        one = Cost(params=params)
        many = tuple(LayerProfile(name=f"l{i}", kind="Linear", calls=1, cost=one, self_cost=one) for i in range(10_000))
        root = LayerProfile(name="", kind="Deep", calls=1, cost=Cost(params=params * 10_000))
        return dataclasses.replace(profile, layers=(root, *many), cost=root.cost)

    found = compare(deep(2), deep(3))
    text = view.TEXT.draw(found)
    assert len(text.splitlines()) < 90
    assert "9,941 more layers that differ" in text
    assert "9,800 more layers that differ" in view.HTML.draw(found)
    bars = [trace for trace in view.FIGURE.draw(found).data if trace.visible]
    assert len(bars) == 2
    assert all(len(trace.y) == 24 for trace in bars)


def test_the_figure_pairs_before_and_after_of_each_place_and_counts_flops_twice_the_macs(found):
    figure = view.FIGURE.draw(found)
    before, after = (trace for trace in figure.data if trace.visible)
    assert (before.name, after.name) == ("Before", "After")
    assert list(before.y) == list(after.y)
    macs = {place.name: place for place in found.places() if place.whole_change.macs}
    row = list(before.y).index("block.conv2")
    assert before.x[row] == 2 * macs["block.conv2"].before.macs
    assert after.x[row] == 2 * macs["block.conv2"].after.macs


def test_shapes_that_only_follow_the_inputs_are_not_said_at_every_layer(profile):
    def shaped(batch: int) -> Profile:
        layers = tuple(dataclasses.replace(layer, outputs=((batch, 8),)) for layer in profile.layers)
        return dataclasses.replace(profile, layers=layers, inputs=((batch, 3),))

    rows = view.payload(compare(shaped(1), shaped(2)))["rows"]
    assert len(rows) == len(profile.layers)
    assert {row["told"] for row in rows} == {""}
    other = compare(shaped(1), dataclasses.replace(shaped(2), inputs=((1, 3),)))
    assert {row["told"] for row in view.payload(other)["rows"]} == {"outputs 1 × 8 → 2 × 8"}
