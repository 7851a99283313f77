from __future__ import annotations

import dataclasses
import json
import re

import pytest

from effwidgets.records import Front, Score, StudyState
from effwidgets.views import pareto as view
from effwidgets.views.wire import ParetoPayload


@pytest.fixture
def begun(study):
    return dataclasses.replace(study, candidates=(), fronts=(), applied=None, state="idle", seconds_left=None)


def test_the_payload_has_the_keys_and_types_of_the_wire(study, begun, misfits):
    assert misfits(view.payload(study), ParetoPayload) == []
    assert misfits(view.payload(begun), ParetoPayload) == []


def test_a_score_that_is_not_a_number_is_none_for_json_knows_no_nan(study):
    data = view.payload(study)
    assert data["candidates"][8]["values"]["score"] is None
    json.dumps(data, allow_nan=False)


def test_done_counts_what_is_through_and_failed_what_failed(study):
    data = view.payload(study)
    states = [candidate.state for candidate in study.candidates]
    assert (data["done"], data["failed"]) == (states.count("done") + states.count("failed"), 1)


def test_a_candidate_is_named_by_its_plan_and_coloured_by_its_family(study, stranger):
    rows = view.payload(study)["candidates"]
    assert [row["family"] for row in rows] == [
        "dense", "prune", "factorize", "bottleneck", "mixed", "mixed", "factorize", "factorize", "other",
    ]  # fmt: skip
    assert rows[0]["label"] == "Dense model"
    assert rows[1]["label"] == "Prune block.conv2, 32 → 20 channels"
    assert rows[4]["label"] == "Prune block.conv2 · Low rank fc"
    assert rows[1]["steps"][0]["settings"] == "32 → 20 channels, smallest L2 norm first"
    assert rows[4]["diff"][-1] == {
        "layer": "fc",
        "before": ["Linear 32 → 10"],
        "after": ["Linear 32 → 4", "Linear 4 → 10"],
    }


def test_the_text_shows_the_front_from_cheap_to_dear_and_names_failures(study, stranger):
    text = view.TEXT.draw(study)
    rows = [line for line in text.splitlines() if re.match(r"\d  ", line)]
    assert [row[0] for row in rows] == ["5", "2", "4", "1", "0"]
    assert f"Candidate 6 failed: evaluate raised at block.{stranger}: <b>no</b>" in text
    assert "FLOPs are 2 × MACs" in text


def test_nothing_scored_yet_is_said(begun):
    assert "No candidate has a score yet" in view.TEXT.draw(begun)
    assert "No candidate has a score yet" in view.HTML.draw(begun)
    assert "<svg" not in view.HTML.draw(begun)
    assert len(view.FIGURE.draw(begun).data) == 0


@pytest.mark.parametrize(
    ("state", "kept"),
    [("running", False), ("paused", False), ("finished", True), ("cancelled", True), ("failed", True)],
)
def test_only_the_picture_of_ended_work_stays_beside_the_live_view(study, markup, state, kept):
    _, root = markup(view.HTML.draw(dataclasses.replace(study, state=state))).attributes[0]
    assert root["class"] == ("effdl-static effdl-result" if kept else "effdl-static")
    assert root["data-effdl-view"] == "pareto"


def test_the_picture_has_a_mark_for_each_scored_candidate_and_a_summary(study, markup):
    page = markup(view.HTML.draw(study))
    numbers = [found["data-number"] for tag, found in page.attributes if tag == "g" and "data-number" in found]
    scored = [row["number"] for row in view.payload(study)["candidates"] if row["values"]["score"] is not None]
    assert sorted(map(int, numbers)) == scored
    [picture] = [found for tag, found in page.attributes if tag == "svg" and "viewbox" in found]
    assert picture["role"] == "img"
    assert "5 on the front" in picture["aria-label"]


def test_strangers_text_never_becomes_markup(study, markup, stranger):
    hostile: StudyState = dataclasses.replace(study, metric=stranger, title=stranger)
    for record in (study, hostile):
        page = markup(view.HTML.draw(record))
        assert "script" not in page.tags
        assert stranger in page.text
    figure = view.FIGURE.draw(hostile)
    for trace in figure.data:
        assert "<script" not in "".join(trace.text or ())
    assert "<script" not in figure.layout.title.text
    assert "<script" not in figure.layout.yaxis.title.text


def test_the_staircase_of_the_figure_runs_level_to_the_next_candidate(study):
    front = view.FIGURE.draw(study).data[0]
    assert front.name == "Front"
    assert list(front.y[:4]) == [0.93, 0.93, 0.961, 0.961]
    assert front.x[0] == 2 * study.candidates[5].cost.macs
    assert front.x[1] == front.x[2] == 2 * study.candidates[2].cost.macs


def test_a_lower_is_better_metric_is_said_and_drawn(study):
    flipped = dataclasses.replace(study, better="lower", metric="loss")
    assert "loss, lower is better" in view.HTML.draw(flipped)
    assert "loss, lower is better" in view.FIGURE.draw(flipped).layout.yaxis.title.text


def test_one_candidate_alone_is_drawn(study):
    alone = dataclasses.replace(study, candidates=study.candidates[:1], fronts=(), applied=None)
    assert "Scatter of 1 candidates" in view.HTML.draw(alone)


def test_thousands_of_candidates_keep_the_page_small(study):
    many = tuple(dataclasses.replace(study.candidates[3], number=9 + index) for index in range(20_000))
    page = view.HTML.draw(dataclasses.replace(study, candidates=(*study.candidates, *many)))
    assert len(page) < 1_000_000  # 1,500 marks of some 300 bytes each, and the table


def test_what_a_metric_measured_is_a_value_and_its_front_an_axis(study, markup):
    built = [
        dataclasses.replace(known, measures=(Score(metric="traffic_bytes", value=1e6 + known.number),))
        if known.cost
        else known
        for known in study.candidates
    ]
    fronts = (*study.fronts, Front(axis="traffic_bytes", numbers=(5, 0)))
    measured = dataclasses.replace(study, candidates=tuple(built), fronts=fronts)
    data = view.payload(measured)
    assert data["axes"][-1] == "traffic_bytes"
    assert [row["values"].get("traffic_bytes") for row in data["candidates"]] == [
        1e6 + known.number if known.cost else None for known in study.candidates
    ]
    page = markup(view.HTML.draw(measured))
    assert "traffic bytes" in page.text
    assert "1.00 MB" in page.text
