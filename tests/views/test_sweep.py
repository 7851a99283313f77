from __future__ import annotations

import dataclasses

import pytest

from effwidgets.records import VIEWS, Cost, Memory, Sweep, SweepPoint, Uncounted
from effwidgets.testing.contracts import ViewContract
from effwidgets.views import sweep as view
from effwidgets.views.sweep_rows import SweepPayload
from effwidgets.whatif.growth import growth_of, growths_of_model


def point(n: int, stranger: str, **more: object) -> SweepPoint:
    return SweepPoint(
        size=n,
        inputs=((2, n),),
        cost=Cost(macs=64 * n * n + 100 * n, saved_bytes=500 * n, moved_bytes=7 * n + 3, params=9),
        memory=Memory(
            param_bytes=36,
            inference_peak_bytes=1_000 * n,
            inference_peak_at="head" if n > 100 else f"block.{stranger}",
            saved_bytes=500 * n,
            training_peak_bytes=int(2_000 * n**1.5),
            training_peak_at="fc",
            optimizer="sgd",
        ),
        **more,
    )


@pytest.fixture
def found(stranger: str) -> Sweep:
    points = (
        *(point(n, stranger) for n in (64, 128, 256, 512)),
        SweepPoint(size=1024, inputs=((2, 1024),), note=f"block.{stranger}: the table has 512 rows"),
    )
    layer = f"block.{stranger}"
    return Sweep(
        model="LittleGpt",
        axis="sequence",
        changed=("input_ids, dimension 1",),
        dtype="float32",
        train=False,
        points=points,
        growth=growths_of_model(points),
        layers=(growth_of("macs", [(n, 64 * n * n) for n in (64, 128, 256, 512)], layer=layer, share=0.97),),
        notes=("A note.",),
        origin="LittleGpt-00000001",
    )


def test_the_payload_has_the_keys_and_types_that_it_states(found, misfits):
    assert misfits(view.payload(found), SweepPayload) == []


def test_formulas_of_work_are_those_of_flops_which_are_twice_the_macs(found):
    rows = {row["key"]: row for row in view.payload(found)["growth"]}
    assert rows["macs"]["formula"] == "128·n² + 200·n"
    assert rows["saved_bytes"]["formula"] == "500·n"
    assert rows["macs"]["remark"] == "exact at 4 sizes from 64 on"
    assert (rows["training_peak_bytes"]["kind"], rows["training_peak_bytes"]["exact"]) == ("like n^1.50", False)
    assert "off by up to 0.0%" in rows["training_peak_bytes"]["remark"]
    assert "backward_macs" not in rows  # nothing to say of what is zero everywhere


def test_the_text_says_each_size_its_growth_and_why_one_does_not_run(found):
    text = view.TEXT.draw(found)
    assert "LittleGpt over the length of the sequence · input_ids, dimension 1" in text
    row = next(line for line in text.splitlines() if line.lstrip().startswith("128 "))
    assert "2.12 M" in row  # 2 × (64 × 128² + 100 × 128)
    assert "At 1,024: block." in text
    assert "the table has 512 rows" in text
    assert "128·n² + 200·n" in text
    assert "97%" in text


def test_what_was_not_counted_makes_the_numbers_at_least(found, stranger):
    least = point(64, stranger, uncounted=(Uncounted(op="fft", times=1, layer=""),))
    some = dataclasses.replace(found, points=(least, *found.points[1:]))
    assert "≥ 537 k" in view.TEXT.draw(some)
    assert "≥ 537 k" in view.HTML.draw(some)
    assert "≥" not in view.TEXT.draw(found)


def test_each_number_of_a_size_is_at_least_for_what_is_missing_in_it_alone(found, stranger):
    fft = Uncounted(op="fft", times=1, layer="")
    hidden = point(64, stranger)
    assert hidden.memory is not None
    hidden = dataclasses.replace(hidden, memory=dataclasses.replace(hidden.memory, hidden=("fc",)))
    points = (
        point(64, stranger, uncounted=(fft,)),
        point(64, stranger, uncounted=(dataclasses.replace(fft, backward=True),)),
        hidden,
    )
    rows = view.payload(dataclasses.replace(found, points=points))["rows"]
    marked = [{key for key, least in row["least"].items() if least} for row in rows]
    assert marked[0] == {"macs", "elementwise_ops", "moved_bytes"}
    assert marked[1] == {"backward_macs"}
    assert marked[2] == {"inference_peak_bytes", "saved_bytes", "training_peak_bytes"}
    for drawn in (view.TEXT.draw, view.HTML.draw):
        alone = drawn(dataclasses.replace(found, points=(hidden,)))
        assert "≥ 64.0 kB" in alone  # the inference peak
        assert "≥ 537 k" not in alone  # the work is whole


def test_the_layer_of_a_peak_is_named_again_only_where_it_is_another(found, markup):
    text = markup(view.HTML.draw(found)).text
    assert text.count("at fc") == 1
    assert text.count("at head") == 1


def test_names_of_layers_never_become_markup(found, markup, stranger):
    page = markup(view.HTML.draw(found))
    assert "script" not in page.tags
    assert stranger in page.text
    assert "<script>" not in view.FIGURE.draw(found).to_json()


@pytest.mark.parametrize("medium", ["text", "html", "figure"])
def test_the_views_keep_the_promises_of_a_view(found, medium):
    ViewContract(VIEWS[f"sweep_{medium}"]).check(found)


def test_the_figure_is_logarithmic_where_the_range_is_wide_and_leaves_out_what_does_not_run(found):
    wide = view.FIGURE.draw(found)
    assert wide.layout.xaxis.type == "log"
    assert list(wide.data[0].x) == [64, 128, 256, 512]
    assert list(wide.data[0].y) == [2 * (64 * n * n + 100 * n) for n in (64, 128, 256, 512)]
    narrow = view.FIGURE.draw(dataclasses.replace(found, points=found.points[:3]))
    assert narrow.layout.xaxis.type == "linear"


def test_a_sweep_of_which_nothing_runs_is_shown_in_every_medium(found):
    failed = dataclasses.replace(found, points=found.points[-1:], growth=(), layers=())
    assert "does not run" in view.TEXT.draw(failed)
    assert "Too few sizes run" in view.HTML.draw(failed)
    assert len(view.FIGURE.draw(failed).data) == 0
