"""The list of places, technique by technique."""

from __future__ import annotations

import json

import pytest

from effwidgets.errors import UnknownNameError
from effwidgets.profiling import ProfileOptions
from effwidgets.profiling.profile import profile
from effwidgets.records import VIEWS, Knob, Site, Sites, Skip
from effwidgets.testing.contracts import HOSTILE, ViewContract, hostile
from effwidgets.testing.zoo import specimen
from effwidgets.transforms.offers import sites_of
from effwidgets.views.sites import draw_html, draw_text, knob_text


@pytest.fixture(scope="module")
def found() -> Sites:
    one = specimen("residual")
    known = profile(one.build(), one.inputs(), options=ProfileOptions(second_opinion=True))
    return sites_of(known, ("low_rank", "spatial_svd", "channel_prune"))


def test_every_site_and_every_skip_is_on_the_page(found: Sites) -> None:
    page = draw_html(found)
    for one in (*found.sites, *found.skips):
        assert ", ".join(one.layers) in page
    assert "it reaches the model&#x27;s output" in page


def test_the_text_names_settings_with_what_saves(found: Sites) -> None:
    text = draw_text(found)
    assert "✓ block1.conv1: rank 1 to 24 (saves up to 11)" in text
    assert "✗ head: it reaches the model's output, whose shape must stay" in text


def test_a_technique_without_a_place_says_so() -> None:
    one = specimen("perceptron")
    text = draw_text(sites_of(profile(one.build(), one.inputs()), ["spatial_svd"]))
    assert "No layer of its kind." in text


def test_it_is_found_by_layer_and_by_name(found: Sites) -> None:
    kinds = {type(one) for one in found.at("head")}
    assert kinds == {Site, Skip}
    assert found.technique("low_rank").phase == "structure"
    with pytest.raises(UnknownNameError, match="spatial_svd"):
        found.technique("spatial")
    assert Sites.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_a_warning_is_shown_with_its_technique() -> None:
    site = Site(transform="cp", layers=("a",), knobs=(), reason="it fits", warnings=("it runs slower",), advised=False)
    technique = sites_of(profile(specimen("perceptron").build(), specimen("perceptron").inputs()), ["low_rank"])
    record = Sites(
        model="Net",
        techniques=(
            technique.techniques[0].__class__(name="cp", family="x", phase="structure", exact=(), summary="s"),
        ),
        sites=(site,),
        skips=(),
    )
    assert "! it runs slower" in draw_text(record)
    assert "it runs slower" in draw_html(record)


def test_widths_in_steps_say_so() -> None:
    assert knob_text(Knob(name="channels", kind="int", low=4, high=16, multiple=4)) == "channels 4 to 16 in steps of 4"


@pytest.mark.parametrize("name", ["sites_text", "sites_html"])
def test_the_views_keep_their_promises(found: Sites, name: str) -> None:
    ViewContract(VIEWS[name]).check(found)
    assert HOSTILE not in draw_html(hostile(found))
