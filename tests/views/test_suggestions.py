from __future__ import annotations

import dataclasses

import pytest

from effwidgets.records import Cost, Desk, Suggestions
from effwidgets.views import suggestions as view
from effwidgets.views.wire import SuggestionsPayload


@pytest.fixture
def empty(suggestions):
    return dataclasses.replace(suggestions, suggestions=())


def test_the_payload_has_the_keys_and_types_of_the_wire(suggestions, desk, empty, misfits):
    for record in (suggestions, desk, empty):
        assert misfits(view.payload(record), SuggestionsPayload) == []


def test_a_plain_list_is_a_desk_on_which_nothing_was_done(suggestions):
    data = view.payload(suggestions)
    assert data == view.payload(Desk(suggestions=suggestions))
    assert (data["preview"], data["applied"], data["undo"], data["diff"]) == (None, None, 0, [])
    assert data["status"]["state"] == "idle"


def test_changes_are_after_minus_before_and_the_peak_too(suggestions):
    rows = view.payload(suggestions)["rows"]
    assert rows[0]["macs"] == -1_327_104
    assert rows[1]["inference_peak_bytes"] == 143_360 - 131_072
    assert rows[2]["inference_peak_bytes"] is None


def test_what_was_applied_is_shown_with_its_diff_and_what_was_rolled_back(desk, stranger):
    data = view.payload(desk)
    assert data["applied"]["indices"] == [0]
    assert data["diff"][0] == {
        "layer": "block.conv2",
        "before": ["Conv2d 3×3, 16 → 32, stride 2"],
        "after": ["Conv2d 3×3, 16 → 20, stride 2"],
    }
    assert data["applied"]["skipped"] == [f"Split block.{stranger}: rolled back: the output was not finite"]


def test_the_goal_is_always_among_the_goals_offered(suggestions):
    data = view.payload(dataclasses.replace(suggestions, goal="saved_bytes"))
    assert data["goal"] in data["goals"]
    assert len(set(data["goals"])) == len(data["goals"])


def test_the_text_lists_what_and_where_with_percentages_and_never_hides_bad_news(suggestions, stranger):
    text = view.TEXT.draw(suggestions)
    assert "Prune block.conv2, 32 → 20 channels" in text
    assert "−33%" in text
    assert f"#1: The inference peak grows at block.{stranger}." in text


def test_a_risk_that_was_not_measured_is_not_called_none(suggestions):
    last = next(line for line in view.TEXT.draw(suggestions).splitlines() if line.startswith("2  "))
    assert last.endswith("–")


def test_an_empty_list_says_so_and_gives_the_reasons(empty, stranger):
    text = view.TEXT.draw(empty)
    assert "Nothing here is worth doing" in text
    assert "its channels are added to a shortcut" in text
    assert "Nothing here is worth doing" in view.HTML.draw(empty)
    assert list(view.FIGURE.draw(empty).data[0].x) == []


def test_strangers_text_never_becomes_markup(desk, markup, stranger):
    page = markup(view.HTML.draw(desk))
    assert "script" not in page.tags
    assert f"The inference peak grows at block.{stranger}." in page.text
    figure = view.FIGURE.draw(desk)
    assert "<script" not in "".join(figure.data[0].y)


def test_the_page_can_be_hidden_by_its_live_twin(suggestions, markup):
    _, root = markup(view.HTML.draw(suggestions)).attributes[0]
    assert root["class"] == "effdl-static"
    assert (root["data-effdl-origin"], root["data-effdl-view"]) == ("DigitNet-00000001", "suggestions")


def test_long_lists_are_cut_with_a_line_that_says_how_many_more(suggestions):
    many: Suggestions = dataclasses.replace(suggestions, suggestions=suggestions.suggestions * 30)
    assert "and 60 more" in view.TEXT.draw(many)
    page = view.HTML.draw(many)
    assert "and 30 more" in page
    assert page.count("<tr>") == 61


def test_a_model_without_work_gives_no_division_by_zero(suggestions):
    idle = dataclasses.replace(suggestions, cost=Cost())
    assert "0%" in view.TEXT.draw(idle)
    assert list(view.FIGURE.draw(idle).data[0].x) == [0.0, 0.0, 0.0]


def test_the_bars_are_percent_of_the_whole_model(suggestions):
    flops, params = view.FIGURE.draw(suggestions).data
    assert flops.x[0] == pytest.approx(-100 * 1_327_104 / suggestions.cost.macs)
    assert params.x[0] == pytest.approx(-100 * 5_184 / suggestions.cost.params)
    assert "FLOPs (2 × MACs)" in flops.name


def test_a_warning_that_every_suggestion_carries_is_said_once(suggestions):
    warned = tuple(
        dataclasses.replace(one, warnings=("Give calibration data.", *one.warnings)) for one in suggestions.suggestions
    )
    found = dataclasses.replace(suggestions, suggestions=warned)
    for drawn in (view.TEXT.draw(found), view.HTML.draw(found)):
        assert drawn.count("Give calibration data.") == 1
        assert drawn.count("The inference peak grows") == 1
    alone = dataclasses.replace(suggestions, suggestions=warned[:1])
    assert view.TEXT.draw(alone).count("#0: Give calibration data.") == 1
