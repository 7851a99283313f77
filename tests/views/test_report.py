from __future__ import annotations

import dataclasses
import html
import json
import re

import pytest

from effwidgets.records import Detail, Doubt, Plan, Score, SearchReport, Volumes, write_page
from effwidgets.views import report as view


@pytest.fixture
def report(study, stranger) -> SearchReport:
    timed = {
        number: (Score(metric="latency_s", value=0.001 * number, error=0.0002),) for number in (1, 2, 4)
    }  # 4 has one in the fixture already: replaced, so that all are alike
    candidates = tuple(
        dataclasses.replace(one, measures=timed.get(one.number, one.measures)) for one in study.candidates
    )
    fronts = (*study.fronts, dataclasses.replace(study.fronts[0], axis="latency_s", numbers=(1, 2, 4), knee=None))
    state = dataclasses.replace(study, candidates=candidates, fronts=fronts, state="finished", title=stranger)
    return SearchReport(
        state=state,
        made="2026-11-21T20:00:00+00:00",
        environment=(Detail(name="torch", value="2.13.0"), Detail(name="Processor", value=stranger)),
        asked=(Detail(name="Sampler", value="tpe, seed 7"),),
        histories=(Volumes(axis="macs", volumes=study.volumes, contributions=study.contributions),),
        doubts=(Doubt(axis="latency_s", number=2, by=1, chance=0.26),),
        chosen=(4, 1),
        code=f"study = explore(model)  # {stranger}",
    )


def test_strangers_text_never_becomes_markup(report, markup, stranger, tmp_path):
    text = write_page(report, tmp_path / "report.html").read_text(encoding="utf-8")
    page = markup(text)
    assert "script" not in page.tags
    assert page.text.count(stranger) > 5
    assert not [value for _, found in page.attributes for value in found if value.startswith("on")]


def test_the_page_fetches_nothing_and_may_run_nothing(report, markup, tmp_path):
    page = markup(write_page(report, tmp_path / "report.html").read_text(encoding="utf-8"))
    leading = [found[key] for _, found in page.attributes for key in ("href", "src") if key in found]
    assert leading
    assert all(place.startswith("#") for place in leading)
    [policy] = [found["content"] for tag, found in page.attributes if tag == "meta" and "http-equiv" in found]
    assert policy.startswith("default-src 'none'")


def test_every_link_leads_to_a_place_of_the_page(report, markup):
    page = markup(view.HTML.draw(report))
    places = [found["id"] for _, found in page.attributes if "id" in found]
    links = {found["href"][1:] for tag, found in page.attributes if tag == "a"}
    assert len(places) == len(set(places))
    assert links <= set(places)
    assert {"candidate-4", "candidate-1", "conditions", "again"} <= links


def test_the_recipe_on_the_page_is_the_plan(report):
    page = view.HTML.draw(report)
    blocks = [html.unescape(found) for found in re.findall(r"<code>(\{.*?\})</code>", page, re.DOTALL)]
    plans = [Plan.from_json(block) for block in blocks]
    assert plans[:2] == [report.state.candidates[4].plan, report.state.candidates[1].plan]
    json.loads(blocks[0])


def test_measured_costs_carry_their_error_and_doubt_and_counted_ones_none(report, markup):
    page = markup(view.HTML.draw(report))
    assert "2.00 ms ± 200 µs" in page.text
    assert "by 1, 26%" in page.text
    assert "3 of 9 candidates" in page.text
    fronts = view.HTML.draw(report).split('<section id="fronts">')[1].split("</section>")[0]
    assert fronts.count("May be beaten</th>") == 1  # of two fronts


def test_the_chosen_candidates_are_open_and_show_their_layers_before_and_after(report):
    page = view.HTML.draw(report)
    looks = re.findall(r'<details class="look"( open)?><summary>.*?<b>Candidate (\d+)</b>', page)
    assert [number for opened, number in looks if opened] == ["4", "1"]
    assert [number for opened, number in looks if not opened] == ["5", "2"]  # the rest of the fronts
    assert "<del>− Linear 32 → 10</del><ins>+ Linear 32 → 4</ins><ins>+ Linear 4 → 10</ins>" in page


def test_the_way_up_failures_history_and_conditions_are_said(report, markup, stranger):
    text = markup(view.HTML.draw(report)).text
    assert "repaired 97.1%" in text
    assert f"evaluate raised at block.{stranger}: <b>no</b>" in text
    assert "tpe, seed 7" in text
    assert "low rank" in text
    assert "Along FLOPs: 0.713" in text


def test_a_search_that_has_nothing_yet_has_a_report_too(study):
    state = dataclasses.replace(study, candidates=(), fronts=(), volumes=(), contributions=(), applied=None)
    empty = SearchReport(state=state, made="2026-11-21T20:00:00+00:00")
    assert "No candidate has a score yet" in view.HTML.draw(empty)
    assert "No candidate has a score yet" in view.TEXT.draw(empty)


def test_thousands_of_candidates_keep_the_page_small(report):
    many = tuple(dataclasses.replace(report.state.candidates[3], number=9 + index) for index in range(20_000))
    state = dataclasses.replace(report.state, candidates=(*report.state.candidates, *many))
    assert len(view.HTML.draw(dataclasses.replace(report, state=state))) < 9_000_000  # a mark is 300 bytes, a row 500


def test_the_report_survives_json(report):
    finite = dataclasses.replace(report.state, candidates=report.state.candidates[:8])  # the ninth scored NaN
    kept = dataclasses.replace(report, state=finite)
    assert SearchReport.from_dict(json.loads(json.dumps(kept.to_dict()))) == kept
