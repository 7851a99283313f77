from __future__ import annotations

import dataclasses

import pytest

from effwidgets.records import LayerProfile, Profile, TensorInfo, Zeros
from effwidgets.views import layers
from effwidgets.views.wire import LayersPayload
from effwidgets.views.zeros import zeros


def having(profile: Profile, *found: Zeros, tensors: tuple[TensorInfo, ...] = ()) -> Profile:
    extra = LayerProfile(name="extra", kind="Linear", tensors=tensors)
    return dataclasses.replace(profile, layers=(*profile.layers, extra), zeros=found)


def info(name: str, *shape: int) -> TensorInfo:
    return TensorInfo(name=name, shape=shape, dtype="float32", kind="parameter", trainable=True)


def test_where_nobody_asked_nothing_is_said(profile):
    assert zeros(profile) is None
    for view in (layers.TEXT, layers.HTML):
        assert "Zeros" not in view.draw(profile)


def test_what_stands_behind_a_mask_is_not_counted_twice(masked, misfits):
    found = zeros(masked)
    # 160 of 320 behind the mask, 10 of 10 in the bias, 4,608 of 9,216 parametrized; weight_orig is not read itself.
    assert found["summary"].startswith("Zeros: 4,778 of 9,546 ")
    assert misfits(layers.payload(masked), LayersPayload) == []


def test_a_parametrized_tensor_stands_for_its_original_at_any_depth(profile):
    named = [("fc.parametrizations.weight.original0", "fc.weight"), ("parametrizations.weight.original", "weight")]
    for original, read in named:
        pair = (
            Zeros(name=original, entries=8, zeros=0),
            Zeros(name=read, entries=8, zeros=6, source="parametrization"),
        )
        assert "6 of 8 " in zeros(having(profile, *pair))["summary"]


def test_a_plain_parameter_whose_name_ends_like_an_original_is_counted(profile):
    assert "3 of 8 " in zeros(having(profile, Zeros(name="fc.weight_orig", entries=8, zeros=3)))["summary"]


def test_every_medium_says_that_the_kernel_multiplies_all_the_same(masked, markup):
    wanted = "fc.weight: 50% zeros behind a mask, in the 2:4 pattern; its kernel multiplies by them all the same"
    assert wanted in " ".join(layers.TEXT.draw(masked).split())
    assert wanted in markup(layers.HTML.draw(masked)).text


def test_the_most_zeros_stand_first_and_none_at_all_are_not_told(profile):
    found = [Zeros(name=f"a{n}.weight", entries=100, zeros=n, source="mask") for n in (0, 5, 50)]
    assert [text.partition(":")[0] for text in zeros(having(profile, *found))["tensors"]] == ["a50.weight", "a5.weight"]


@pytest.mark.parametrize(("shape", "count", "told"), [((10, 10), 1, True), ((10, 11), 1, False), ((100,), 100, False)])
def test_zeros_in_the_numbers_themselves_are_told_from_one_percent_on_and_never_of_a_bias(profile, shape, count, told):
    entries = shape[0] * shape[-1] if len(shape) > 1 else shape[0]
    one = Zeros(name="extra.weight", entries=entries, zeros=count)
    said = zeros(having(profile, one, tensors=(info("weight", *shape),)))
    assert bool(said["tensors"]) is told
    assert f"{count:,} of {entries:,}" in said["summary"]


def test_a_share_too_small_for_a_digit_is_not_written_as_none(profile):
    one = Zeros(name="fc.weight", entries=1_000_000, zeros=3, source="mask")
    assert "(less than 0.1%)" in zeros(having(profile, one))["summary"]


def test_a_terminal_shows_eight_tensors_and_how_many_more(profile):
    many = [Zeros(name=f"a{n}.weight", entries=100, zeros=n, source="mask") for n in range(1, 31)]
    text = layers.TEXT.draw(having(profile, *many))
    assert text.count("behind a mask") == 8
    assert "… and 22 more tensors." in text


def test_names_of_tensors_never_become_markup(masked, markup, stranger):
    page = markup(layers.HTML.draw(masked))
    assert "script" not in page.tags
    assert f"block.{stranger}.weight: 50% zeros" in page.text
